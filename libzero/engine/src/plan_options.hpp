#pragma once
// What engine_options come to: checked, and as partition takes them. Pure.

#include <zero/collectives/communicator.hpp>
#include <zero/engine/options.hpp>
#include <zero/partition/memory_plan.hpp>

#include <cstdint>

namespace zero {

// fp32 arrays the update rule keeps of an element; and all, the extra ones included.
[[nodiscard]] int rule_states(const engine_options& options) noexcept;
[[nodiscard]] int all_states(const engine_options& options) noexcept;

// `options` with what they leave open filled in. Throws invalid_argument for what cannot be.
[[nodiscard]] engine_options checked(engine_options options, const partition::model_spec& model,
                                     const collectives::communicator& ranks);

// Of the constants of all groups: what ranks that step must have alike.
[[nodiscard]] std::uint32_t digest_of_groups(const engine_options& options);

// What the plan of `options` is made from. Throws invalid_argument for states that cannot be.
[[nodiscard]] partition::plan_options plan_options_of(const engine_options& options,
                                                      memory_place place);
[[nodiscard]] partition::layout_options layout_options_of(const engine_options& options,
                                                          int world_size);

// Compares version, options and model with every rank. Throws desync.
void handshake(collectives::communicator& ranks, const partition::layout& layout,
               const engine_options& options);

}  // namespace zero
