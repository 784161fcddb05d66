// Weights and states between steps, where they are: shown to the client, and exchanged.

#include "cell_walk.hpp"
#include "plan_options.hpp"
#include "state.hpp"

#include <zero/base/error.hpp>

#include <algorithm>
#include <string>

namespace zero {

void sharded_optimizer::state::expect_between_steps(const char* call) const {
  expect_no_early(call);
  for (std::size_t unit = 0; unit < units.size(); ++unit) {
    if (units[unit].calls == 0) continue;
    throw invalid_argument(std::string("[engine.") + call + "] gradients of unit '" +
                           layout.model().units[unit].name +
                           "' were reduced since the last step: step first");
  }
}

void sharded_optimizer::state::expect_state(int number, const char* call) const {
  if (number < 0 || number >= all_states(options)) {
    throw invalid_argument(std::string("[engine.") + call + "] state " + std::to_string(number) +
                           " of " + std::to_string(all_states(options)));
  }
  if (options.formats.states == optim::state_format::fp32) return;
  throw invalid_argument(std::string("[engine.") + call + "] states rest in " +
                         name_of(options.formats.states) + ", not in fp32");
}

void sharded_optimizer::state::expect_wide(const char* call) const {
  if (options.formats.states == optim::state_format::fp32 &&
      options.formats.master == optim::master_format::fp32) {
    return;
  }
  throw invalid_argument(std::string("[engine.") + call + "] states rest in " +
                         name_of(options.formats.states) + " and master weights in " +
                         name_of(options.formats.master) + ": both must be in fp32");
}

void sharded_optimizer::state::prepare_to_change(const char* call) {
  expect_none_held(call);
  wait_gathered();
  wait_published();
  forget_gathered();
}

void sharded_optimizer::state::visit(access how, const range_function& see) {
  expect_whole();
  settle();
  expect_wide("visit");
  expect_between_steps("visit");
  if (!see) throw invalid_argument("[engine.visit] there is no function to call");
  const bool writes = how == access::write;
  if (writes) {
    prepare_to_change("visit");
  } else {
    wait_published();
  }
  try {
    walk_cells(writes ? errand::write : errand::read, [&](std::size_t index) {
      const partition::cell& c = plan.cells()[index];
      cell_under_way& area = under_way[block_of[index]];
      if (writes) clear_padding(index, area);
      show_cell(index, area, 0.0F, {}, see);
      if (writes) {
        make_parameters(index, area);
        if (tiered(c.bucket)) spill_cell(index, area);
      } else if (tiered(c.bucket) && !c.down) {
        area.used = queue.record();
      }
    });
  } catch (...) {
    if (writes) {
      broken = std::current_exception();
      ranks.abort("[engine.visit] rank " + std::to_string(ranks.rank()) +
                  " threw while weights and states were changed");
    }
    // What is on its way to blocks arrives before anything else is brought there.
    if (tiers.any()) tiers.lane().drain();
    read_cell = partition::no_record;
    throw;
  }
  read_cell = partition::no_record;
}

void sharded_optimizer::state::swap_with_state(int number) {
  expect_whole();
  settle();
  expect_state(number, "swap_with_state");
  expect_wide("swap_with_state");
  expect_between_steps("swap_with_state");
  prepare_to_change("swap_with_state");
  walk_cells(errand::write, [&](std::size_t index) {
    cell_under_way& area = under_way[block_of[index]];
    clear_padding(index, area);
    swap_cell(index, area, number);
    make_parameters(index, area);
    if (tiered(plan.cells()[index].bucket)) spill_cell(index, area);
  });
  read_cell = partition::no_record;
}

void sharded_optimizer::state::swap_cell(std::size_t index, const cell_under_way& area,
                                         int number) {
  const partition::cell& c = plan.cells()[index];
  const std::size_t array = static_cast<std::size_t>(number) + (c.master ? 1 : 0);
  auto* const values = reinterpret_cast<float*>(area.optimizer + plan.array_offset(c, array));
  auto* const master = c.master ? reinterpret_cast<float*>(area.optimizer + plan.array_offset(c, 0))
                                : static_cast<float*>(area.parameter.data);
  const bool here = c.down || work.place() == memory_place::host;
  const std::uint64_t at_once = partition::staging_bytes / sizeof(float);
  for (const update_run& run : runs[index]) {
    if (here) {
      std::swap_ranges(master + run.offset, master + run.offset + run.count, values + run.offset);
      continue;
    }
    for (std::uint64_t done = 0; done < run.count; done += at_once) {
      const std::uint64_t count = std::min(at_once, run.count - done);
      const auto part = [&](float* first) { return typed_span{first, count, dtype::fp32}; };
      const typed_span one = part(master + run.offset + done);
      const typed_span other = part(values + run.offset + done);
      work.copy(one, part(staging.as<float>()));
      work.copy(other, one);
      work.copy(part(staging.as<float>()), other);
    }
  }
}

}  // namespace zero
