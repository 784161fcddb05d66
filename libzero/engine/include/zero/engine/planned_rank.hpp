#pragma once
// planned_rank: what one rank of a run would hold and say, without a run: the layout and the plan
// that a sharded_optimizer made with the same arguments is made by.
//
// Plain values; the same for every rank.

#include <zero/base/memory_resource.hpp>
#include <zero/engine/options.hpp>
#include <zero/partition/layout.hpp>
#include <zero/partition/memory_plan.hpp>

#pragma GCC visibility push(default)
namespace zero {

// Whether units are those of the model, or one stands for many that nobody sees: then each use of
// it gathers it, as each of the many would be, and its transients say nothing.
enum class units_of : unsigned char { model, sealed };

struct planned_rank {
  partition::layout layout;
  partition::memory_plan memory;  // does not list its cells
};

// Of a world of `world_size` ranks whose communicator has memory of `place`. Allocates nothing of
// the model's size: its time and memory grow with units and parameters, not with their elements or
// the ranks, but where options.tiers.optimizer_ratio is neither 0 nor 1, with the cells that a rank
// has. Throws what sharded_optimizer refuses.
[[nodiscard]] planned_rank plan_rank(const partition::model_spec& model,
                                     const engine_options& options, int world_size,
                                     memory_place place = memory_place::host,
                                     units_of units = units_of::model);

}  // namespace zero
#pragma GCC visibility pop
