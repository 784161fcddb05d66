#pragma once
// one_device: ranks that are threads of one process and share one GPU. Each reduces straight from
// its peers' buffers by a kernel on its own stream, so that every run of many ranks can be had on
// a machine with one card. Compiles without CUDA.

#include <zero/base/cuda.hpp>
#include <zero/collectives/communicator.hpp>

#include <memory>

#pragma GCC visibility push(default)
namespace zero::collectives {

class one_device_world {
 public:
  // For `size` >= 1 ranks on GPU `ordinal`. Throws invalid_argument where the library was built
  // without CUDA or there is no such device, cuda_error, out_of_memory.
  [[nodiscard]] static one_device_world create(int size, int ordinal = 0);

  one_device_world(one_device_world&&) noexcept;
  one_device_world& operator=(one_device_world&&) noexcept;
  ~one_device_world();

  [[nodiscard]] int size() const noexcept;

  // This rank's communicator; each rank joins once, with its own cuda_device of that GPU, whose
  // memory() is the communicator's and which must outlive it. Does not block. Thread-safe. The
  // world may be destroyed before the communicator.
  [[nodiscard]] std::unique_ptr<communicator> join(int rank, cuda_device& device);

 private:
  struct [[gnu::visibility("hidden")]] shared;
  explicit one_device_world(std::shared_ptr<shared> common) noexcept;
  std::shared_ptr<shared> shared_;
};

}  // namespace zero::collectives
#pragma GCC visibility pop
