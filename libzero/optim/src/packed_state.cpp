// States into the formats they rest in and out of them, without an update.
#include "packed_pieces.hpp"

#include <zero/base/error.hpp>
#include <zero/optim/elementwise.hpp>
#include <zero/optim/packed.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

namespace zero::optim {
namespace {

// Half of what is cut off: rounds to the nearest, and leaves what is a code as it is.
constexpr std::array<std::uint16_t, format_block> half_bits = [] {
  std::array<std::uint16_t, format_block> bits{};
  for (std::uint16_t& b : bits) b = 0x8000U;
  return bits;
}();

void check_blocks(std::size_t count) {
  if (count % format_block == 0) return;
  throw invalid_argument("[optim.packed] a count that is not a multiple of 128");
}

}  // namespace

void unpack_state(state_format f, algorithm a, int number, const void* array, span<float> values) {
  check_blocks(values.size());
  switch (f) {
    case state_format::fp32:
      if (!values.empty()) std::memcpy(values.data(), array, values.size_bytes());
      return;
    case state_format::bf16:
      return convert({array, values.size(), dtype::bf16},
                     {values.data(), values.size(), dtype::fp32});
    case state_format::block8:
      for (std::size_t i = 0; i < values.size(); i += format_block) {
        detail::vector_pieces.decode(
            static_cast<const std::byte*>(array) + i / format_block * detail::code_block_bytes,
            detail::kind_of(a, number), values.data() + i);
      }
  }
}

void pack_state(state_format f, algorithm a, int number, span<const float> values, void* array) {
  check_blocks(values.size());
  switch (f) {
    case state_format::fp32:
      if (!values.empty()) std::memcpy(array, values.data(), values.size_bytes());
      return;
    case state_format::bf16:
      return convert({values.data(), values.size(), dtype::fp32},
                     {array, values.size(), dtype::bf16});
    case state_format::block8:
      for (std::size_t i = 0; i < values.size(); i += format_block) {
        detail::vector_pieces.encode(
            values.data() + i, half_bits.data(), detail::kind_of(a, number),
            static_cast<std::byte*>(array) + i / format_block * detail::code_block_bytes);
      }
  }
}

}  // namespace zero::optim
