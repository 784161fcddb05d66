#pragma once
// What the runtime of a GPU copies by itself: the ceiling of transfers. Without CUDA there is a
// twin that throws.
//
// One thread. Nothing of it outlives the device.

#include <zero/base/cuda.hpp>

#include <cstddef>
#include <functional>

namespace zero::bench {

// Copies `bytes` in pieces of `piece`, one after the other on one stream, and says how many seconds
// it took on the device. Host memory is pinned.
using plain_copies =
    std::function<double(void* to, const void* from, std::size_t bytes, std::size_t piece)>;

// Throws cuda_error, and invalid_argument where the library was built without CUDA.
[[nodiscard]] plain_copies make_plain_copies(cuda_device& device);

}  // namespace zero::bench
