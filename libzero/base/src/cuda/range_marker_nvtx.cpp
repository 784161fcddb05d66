// range_marker by NVTX, which does nothing unless a profiler has loaded itself into the process.
#include <zero/base/range_marker.hpp>

#include <nvtx3/nvtx3.hpp>

namespace zero {
namespace {

struct library {
  static constexpr const char* name = "libzero";
};

}  // namespace

range_marker::range_marker(const char* name) noexcept {
  const nvtx3::event_attributes attributes(name);
  nvtxDomainRangePushEx(nvtx3::domain::get<library>(), attributes.get());
}

range_marker::~range_marker() { nvtxDomainRangePop(nvtx3::domain::get<library>()); }

}  // namespace zero
