#include <zero/engine/reports.hpp>

namespace zero {

const char* name_of(phase p) noexcept {
  switch (p) {
    case phase::fetch:
      return "fetch";
    case phase::gather:
      return "gather";
    case phase::compute:
      return "compute";
    case phase::release:
      return "release";
    case phase::reduce:
      return "reduce";
    case phase::clip:
      return "clip";
    case phase::update:
      return "update";
    case phase::publish:
      return "publish";
    case phase::spill:
      return "spill";
    case phase::exposed_communication:
      return "exposed_communication";
  }
  return "unknown";
}

}  // namespace zero
