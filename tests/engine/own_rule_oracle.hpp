#pragma once
// A rule no optimizer has, whose result depends on where an element is and on all that it is told,
// and the toy client's training by it over whole arrays, without the library.

#include "engine/toy_client.hpp"

#include <cstdint>
#include <functional>
#include <vector>

namespace zero::testing {

inline constexpr int odd_states = 3;

// One element's update. state[0..2].
void odd_update(float& weight, float gradient, float* const* state, std::uint64_t i,
                float learning_rate, std::uint64_t step, std::size_t parameter,
                std::uint64_t element);

// The same on a range the engine shows, on the host.
void odd_rule(const state_range& range);

struct plain_result {
  std::vector<std::vector<float>> master;  // by parameter; tied and empty ones have none
  std::vector<std::vector<float>> states[odd_states];
  std::vector<double> norms;
};
// What `run`, which has the odd rule, comes to. `before` may change the options of each step.
using change_of_options = std::function<void(engine_options&, int step)>;
[[nodiscard]] plain_result train_plain(toy_run run, int world,
                                       const change_of_options& before = {});

// `run` by the odd rule.
[[nodiscard]] toy_run with_odd_rule(toy_run run);

}  // namespace zero::testing
