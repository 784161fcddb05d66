#pragma once
// cuda_copier: copies between host memory and a device on two streams of its own, one a way, so
// that the two ways and what is computed go on side by side.
//
// One thread at a time. Host memory that is not pinned makes copy() block while the bytes pass a
// buffer of the driver's. Completions must not outlive it; its end waits for what was queued.

#include <zero/base/copier.hpp>
#include <zero/base/cuda.hpp>

#include <memory>

namespace zero::cuda {

class cuda_copier final : public copier {
 public:
  // `device` must outlive it.
  explicit cuda_copier(cuda_device& device);
  completion copy(const void* from, void* to, std::size_t bytes, copy_way way) override;

 private:
  int ordinal_;
  std::unique_ptr<stream> up_;
  std::unique_ptr<stream> down_;
};

}  // namespace zero::cuda
