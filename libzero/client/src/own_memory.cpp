#include "own_memory.hpp"

#include <zero/base/error.hpp>

#include <string>

namespace zero::client {

void own_memory::check_all(const segment_list& segments) const {
  for (const segment& s : segments.all()) check(s);
}

void own_memory::check(const segment& s) const {
  if (!s.tied_to.empty()) return;  // it is where its owner is
  check(s, s.parameter, range_use::parameters);
  check(s, s.gradient, range_use::gradients);
}

// Memory that is given back must be the library's to give back, and whole tensors lie in it.
void own_memory::check(const segment& s, const void* memory, range_use use) const {
  if (memory == nullptr || s.bytes() == 0) return;
  const bool of_gradient = use == range_use::gradients;
  const std::string begin = std::string("[client.commit] the ") +
                            (of_gradient ? "gradient" : "parameter") + " of segment '" + s.name;
  for (const auto& range : of_gradient ? parameters : gradients) {
    if (range->overlaps(memory, s.bytes())) {
      throw invalid_argument(begin + "' lies in a range of the other kind");
    }
  }
  for (const auto& range : of_gradient ? gradients : parameters) {
    if (range->contains(memory, s.bytes())) return;
    if (range->overlaps(memory, s.bytes())) {
      throw invalid_argument(begin + "' reaches out of its range");
    }
  }
  if (of_gradient ? gradients_stay() : parameters_stay()) {
    if (device == nullptr || device->reaches(memory)) return;
    throw invalid_argument(begin + "' is not in memory of device " +
                           std::to_string(device->ordinal()));
  }
  throw invalid_argument(begin + "' is not in memory of zero_range, and stage " +
                         std::to_string(stage) +
                         " gives it back between uses: take it from zero_range, or attach null "
                         "pointers and let the library place it");
}

}  // namespace zero::client
