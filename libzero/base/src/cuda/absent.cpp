// cuda_device where the library is built without CUDA: there are no devices.
#include <zero/base/cuda.hpp>

namespace zero {

struct cuda_device::state {
  page_resource none;
};

bool cuda_device::compiled() noexcept { return false; }
int cuda_device::count() noexcept { return 0; }
std::string cuda_device::why_none() { return "the library was built without CUDA"; }

cuda_device::cuda_device(int ordinal) {
  throw invalid_argument("[base.cuda_device] device " + std::to_string(ordinal) + ": " +
                         why_none());
}
cuda_device::~cuda_device() = default;

// The constructor never returns, so nothing below is ever called.
int cuda_device::ordinal() const noexcept { return -1; }
std::string cuda_device::name() const { return {}; }
std::uint64_t cuda_device::total_bytes() const noexcept { return 0; }
std::uint64_t cuda_device::free_bytes() const { return 0; }
memory_resource& cuda_device::memory() noexcept { return state_->none; }
memory_resource& cuda_device::pinned_memory() noexcept { return state_->none; }
std::uint64_t cuda_device::unpinned_bytes() const noexcept { return 0; }
bool cuda_device::reaches(const void* /*memory*/) const { return false; }
std::unique_ptr<stream> cuda_device::make_stream(lane /*role*/) { return {}; }
std::unique_ptr<stream> cuda_device::borrow_stream(void* /*native*/) { return {}; }
void cuda_device::set_deadline(std::int64_t /*milliseconds*/) noexcept {}

}  // namespace zero
