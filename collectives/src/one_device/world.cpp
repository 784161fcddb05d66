// one_device_world on a GPU.
#include "cuda/cuda_queue.hpp"
#include "one_device/one_device_ranks.hpp"

#include <zero/base/error.hpp>
#include <zero/collectives/one_device.hpp>

#include <string>
#include <utility>

namespace zero::collectives {

struct one_device_world::shared {
  shared(int size, int gpu) : ranks(size), ordinal(gpu) {}
  one_device_ranks ranks;
  int ordinal;
};

one_device_world::one_device_world(std::shared_ptr<shared> common) noexcept
    : shared_(std::move(common)) {}
one_device_world::one_device_world(one_device_world&&) noexcept = default;
one_device_world& one_device_world::operator=(one_device_world&&) noexcept = default;
one_device_world::~one_device_world() = default;

one_device_world one_device_world::create(int size, int ordinal) {
  if (ordinal < 0 || ordinal >= cuda_device::count()) {
    throw invalid_argument("[collectives.one_device] GPU " + std::to_string(ordinal) + " of " +
                           std::to_string(cuda_device::count()) + " " + cuda_device::why_none());
  }
  return one_device_world(std::make_shared<shared>(size, ordinal));
}

int one_device_world::size() const noexcept { return shared_->ranks.size(); }

std::unique_ptr<communicator> one_device_world::join(int rank, cuda_device& device) {
  if (device.ordinal() != shared_->ordinal) {
    throw invalid_argument("[collectives.one_device] rank " + std::to_string(rank) +
                           " brings GPU " + std::to_string(device.ordinal()) +
                           " to a world on GPU " + std::to_string(shared_->ordinal));
  }
  return shared_->ranks.join(rank, make_cuda_queue(device));
}

}  // namespace zero::collectives
