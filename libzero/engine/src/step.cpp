// step: the recipe. reduce -> clip -> update -> publish, and the first gathers of what comes next.

#include "state.hpp"
#include "verb_timer.hpp"

#include <zero/base/error.hpp>

#include <cmath>
#include <string>
#include <utility>

namespace zero {

void sharded_optimizer::state::expect_none_held(const char* call) const {
  for (std::size_t unit = 0; unit < units.size(); ++unit) {
    if (parameter_slots.holds(static_cast<int>(unit)) == 0) continue;
    throw invalid_argument(std::string("[engine.") + call + "] unit '" +
                           layout.model().units[unit].name +
                           "' is still held: release it before its parameters change");
  }
}

// Every rank queues the same whatever the decision will be: one that is not to be applied leaves
// everything as it is where the update runs, so the host need not know it.
void sharded_optimizer::state::queue_step(float learning_rate, const range_function* rule) {
  expect_whole();
  expect_rule(rule);
  settle();
  expect_none_held("step");
  if (!std::isfinite(learning_rate)) {
    throw invalid_argument("[engine.step] the learning rate is not finite");
  }
  if (early.announced && learning_rate != early.learning_rate) {
    throw invalid_argument("[engine.step] the learning rate is not the announced one");
  }
  for (std::size_t unit = 0; unit < units.size(); ++unit) {
    if (units[unit].calls == units[unit].reductions) abandon(static_cast<int>(unit));
    units[unit].open = false;  // on top of kept gradients they are part of the step
  }
  {
    const verb_timer timer(*this, phase::reduce, -1);
    finish_reductions();
  }
  progress_early(true);
  clip(learning_rate);
  // Only operations over the same ranks are in order with each other.
  wait_gathered();
  wait_published();
  forget_gathered();
  own_rule = rule;
  update_all(learning_rate);
  own_rule = nullptr;
  early.in_step = !early.cells.empty();
  early.cells.clear();
  early.begun = early.done = 0;
  early.announced = early.on = false;
  for (bucket_storage& b : buckets) b.early = false;
  read_cell = partition::no_record;
  for (unit_progress& unit : units) {
    unit.calls = 0;
    unit.reductions = 0;
    unit.zeroed = false;
  }
  begin(pass::train);
}

void sharded_optimizer::state::settle() {
  if (!std::exchange(undecided, false)) return;
  decided.wait();
  const optim::step_decision& now = *decision_read();
  last_result.step = steps = now.steps;
  last_result.gradient_norm = now.norm;
  last_result.skipped = now.applied == 0;
  last_result.loss_scale = scale.value();
  if (now.dissenting == 0) {
    scale.record(now.finite == 0);
    return;
  }
  const optim::step_vote* all = votes();
  std::vector<optim::step_vote> read;
  if (host_staging) {
    read.resize(static_cast<std::size_t>(ranks.size()));
    work.read(all, read.data(), read.size() * sizeof(optim::step_vote));
    queue.record().wait();
    all = read.data();
  }
  std::vector<int> others;
  // Votes lie in the order of pieces, of which rank 0 owns the first.
  for (int rank = 1; rank < ranks.size(); ++rank) {
    const optim::step_vote& vote = all[plan.groups().piece_of(rank)];
    if (vote.learning_rate != all[0].learning_rate || vote.reductions != all[0].reductions) {
      others.push_back(rank);
    }
  }
  const optim::step_vote& other = all[plan.groups().piece_of(others.front())];
  const auto told = std::make_exception_ptr(desync(
      "[engine.step] rank " + format_ranks(others) +
          " steps otherwise than rank 0: learning rate " + std::to_string(other.learning_rate) +
          " after " + std::to_string(other.reductions) + " reductions, not " +
          std::to_string(all[0].learning_rate) + " after " + std::to_string(all[0].reductions),
      others));
  if (early.in_step) broken = told;  // some of it has been applied
  std::rethrow_exception(told);
}

}  // namespace zero
