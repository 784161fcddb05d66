#include <zero/optim/formats.hpp>

namespace zero::optim {

const char* name_of(state_format f) noexcept {
  switch (f) {
    case state_format::fp32:
      return "fp32";
    case state_format::bf16:
      return "bf16";
    case state_format::block8:
      return "block8";
  }
  return "";
}

const char* name_of(master_format f) noexcept {
  switch (f) {
    case master_format::fp32:
      return "fp32";
    case master_format::remainder:
      return "remainder";
    case master_format::none:
      return "none";
  }
  return "";
}

std::uint32_t block_bytes(state_format f) noexcept {
  return f == state_format::fp32 ? 512 : f == state_format::bf16 ? 256 : 132;
}

std::uint32_t block_bytes(master_format f) noexcept {
  return f == master_format::fp32 ? 512 : f == master_format::remainder ? 256 : 0;
}

}  // namespace zero::optim
