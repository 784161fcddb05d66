#include "text.hpp"

#include <zero/base/error.hpp>
#include <zero/partition/model_spec.hpp>

#include <algorithm>

namespace zero::partition {
namespace {

constexpr std::uint64_t limit = (std::uint64_t{1} << 63) - 1;

}  // namespace

std::uint64_t element_count(const std::vector<std::uint64_t>& shape) {
  // First, so that [2^40, 2^40, 0] is as empty as [0, 2^40, 2^40].
  if (std::find(shape.begin(), shape.end(), std::uint64_t{0}) != shape.end()) return 0;
  std::uint64_t count = 1;
  for (const std::uint64_t extent : shape) {
    if (extent > limit / count) {
      throw invalid_argument("shape " + format_shape(shape) + " has more than 2^63 - 1 elements");
    }
    count *= extent;
  }
  return count;
}

std::uint64_t element_count(const model_spec& model) {
  std::uint64_t total = 0;
  for (const unit_spec& unit : model.units) {
    for (const parameter_spec& parameter : unit.parameters) {
      if (!parameter.tied_to.empty()) continue;
      const std::uint64_t count = element_count(parameter.shape);
      if (count > limit - total) {
        throw invalid_argument("parameter " + quoted(parameter.name) +
                               ": the model has more than 2^63 - 1 elements with it");
      }
      total += count;
    }
  }
  return total;
}

}  // namespace zero::partition
