#pragma once
// Which instruction sets the vector paths are compiled for: all that Highway offers but SSSE3 and
// SSE4. Those have no fused multiply-add, which then bounds the pass, and the scalar target
// computes it faster. Include before any header of Highway.

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4)
