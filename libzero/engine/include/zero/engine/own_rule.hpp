#pragma once
// own_rule: weights and states where they are, for an update rule or a look of the client's own.

#include <zero/base/typed_span.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>

#pragma GCC visibility push(default)
namespace zero {

// Most fp32 arrays of the client's rule, and most extra ones.
inline constexpr int most_own_states = 8;

// A run of elements of one parameter that this rank updates. Pointers are valid during the call.
struct state_range {
  std::size_t parameter = 0;  // registration index of the owner of the storage
  std::uint64_t offset = 0;   // of the first element, in the parameter
  std::uint64_t count = 0;
  int group = 0;
  std::uint64_t step = 0;       // updates made, the one at hand included
  float learning_rate = 0.0F;   // with the group's factor; 0 outside a step
  float* master = nullptr;      // fp32 weights
  const_typed_span parameters;  // as they are before the call; after it, made from master
  const_typed_span gradient;    // reduced, divided, unscaled and clipped; no data outside a step
  float* states[2 * most_own_states] = {};  // the rule's, then the extra ones
  int state_count = 0;
  bool on_device = false;  // work is queued on sharded_optimizer::stream()
};

// May throw: what it throws poisons the optimizer if anything may have changed.
using range_function = std::function<void(const state_range&)>;

enum class access : unsigned char { read, write };

}  // namespace zero
#pragma GCC visibility pop
