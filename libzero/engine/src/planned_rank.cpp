#include "plan_options.hpp"

#include <zero/engine/planned_rank.hpp>

#include <utility>

namespace zero {

planned_rank plan_rank(const partition::model_spec& model, const engine_options& options,
                       int world_size, memory_place place, units_of units) {
  partition::layout layout(model, layout_options_of(options, world_size));
  partition::plan_options wanted = plan_options_of(options, place);
  wanted.list_cells = false;
  wanted.sealed_units = units == units_of::sealed;
  partition::memory_plan memory(layout, std::move(wanted));
  return {std::move(layout), std::move(memory)};
}

}  // namespace zero
