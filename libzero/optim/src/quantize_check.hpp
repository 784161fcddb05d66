#pragma once
// The checks that every path of quantize.hpp shares.

#include <zero/base/error.hpp>
#include <zero/base/typed_span.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

namespace zero::optim::detail {

// All throw invalid_argument.

inline void check_bits(int bits) {
  if (bits != 4 && bits != 8) {
    throw invalid_argument("[optim.quantize] " + std::to_string(bits) + " bits: accepted are 4, 8");
  }
}

inline void check_elements(const const_typed_span& values) {
  if (values.type == dtype::byte) {
    throw invalid_argument("[optim.quantize] dtype byte cannot be computed with");
  }
}

inline void check_run(const std::byte* run) {
  if (reinterpret_cast<std::uintptr_t>(run) % sizeof(float) != 0) {
    throw invalid_argument("[optim.quantize] a quantized run is not aligned to 4 bytes");
  }
}

inline void check_terms(int terms) {
  if (terms < 1) {
    throw invalid_argument("[optim.quantize] a sum of " + std::to_string(terms) + " terms");
  }
}

}  // namespace zero::optim::detail
