#pragma once
// The checks that the vector paths of elementwise.hpp and their references share.

#include <zero/base/error.hpp>
#include <zero/base/typed_span.hpp>

#include <string>

namespace zero::optim::detail {

// Throws invalid_argument.
inline void check_values(const const_typed_span& values) {
  if (values.type == dtype::byte) {
    throw invalid_argument("[optim.elementwise] dtype byte cannot be computed with");
  }
}

// Throws invalid_argument.
inline void check_pair(const const_typed_span& in, const const_typed_span& out) {
  check_values(in);
  check_values(out);
  if (in.count != out.count) {
    throw invalid_argument("[optim.elementwise] " + std::to_string(in.count) + " elements in, " +
                           std::to_string(out.count) + " out");
  }
}

}  // namespace zero::optim::detail
