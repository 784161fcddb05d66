#pragma once
// ending: a rank that failed is over in a bounded time, whatever its destructors still wait for: a
// disk that does not answer, a device, a peer.

#include <chrono>

namespace zero::cli {

// From now on this process has so long to end by itself; then it ends with `exit_code` at once.
// Later calls do not put it off. Throws nothing: without a thread to spare there is no bound.
void end_within(std::chrono::milliseconds limit, int exit_code) noexcept;

}  // namespace zero::cli
