// one_device_world where the library is built without CUDA: there is no GPU to share.
#include <zero/base/error.hpp>
#include <zero/collectives/one_device.hpp>

#include <string>
#include <utility>

namespace zero::collectives {

struct one_device_world::shared {};

one_device_world::one_device_world(std::shared_ptr<shared> common) noexcept
    : shared_(std::move(common)) {}
one_device_world::one_device_world(one_device_world&&) noexcept = default;
one_device_world& one_device_world::operator=(one_device_world&&) noexcept = default;
one_device_world::~one_device_world() = default;

one_device_world one_device_world::create(int size, int ordinal) {
  throw invalid_argument("[collectives.one_device] " + std::to_string(size) + " ranks on GPU " +
                         std::to_string(ordinal) + ": " + cuda_device::why_none());
}

// No world is ever made, so nothing below is called.
int one_device_world::size() const noexcept { return 0; }
std::unique_ptr<communicator> one_device_world::join(int /*rank*/, cuda_device& /*device*/) {
  return {};
}

}  // namespace zero::collectives
