#pragma once
// cuda_queue: a communication stream of a GPU as a device_queue.
//
// Thread-safe as device_queue is.

#include "device/queue.hpp"

#include <zero/base/cuda.hpp>

#include <memory>

namespace zero::collectives {

// `device` must outlive it. Throws cuda_error.
[[nodiscard]] std::unique_ptr<device_queue> make_cuda_queue(cuda_device& device);

}  // namespace zero::collectives
