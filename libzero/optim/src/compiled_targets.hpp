#pragma once
// Which instruction sets the vector paths are compiled for: all that Highway offers but SSSE3 and
// SSE4. Those have no fused multiply-add, which then bounds the pass, and the scalar target
// computes it faster. Include before any header of Highway. A build may say otherwise.

#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4)
#endif
