// step: the recipe. reduce -> clip -> update -> publish, and the first gathers of what comes next.

#include "plan_options.hpp"
#include "state.hpp"
#include "verb_timer.hpp"

#include <zero/base/error.hpp>

#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace zero {

void sharded_optimizer::state::expect_none_held(const char* call) const {
  for (std::size_t unit = 0; unit < units.size(); ++unit) {
    if (parameter_slots.holds(static_cast<int>(unit)) == 0) continue;
    throw invalid_argument(std::string("[engine.") + call + "] unit '" +
                           layout.model().units[unit].name +
                           "' is still held: release it before its parameters change");
  }
}

void sharded_optimizer::state::finish_gradients() {
  for (std::size_t unit = 0; unit < units.size(); ++unit) {
    if (units[unit].calls == units[unit].reductions) abandon(static_cast<int>(unit));
    units[unit].open = false;  // on top of kept gradients they are part of the step
  }
  const verb_timer timer(*this, phase::reduce, -1);
  finish_reductions();
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
  finish_gradients();
  progress_early(true);
  clip(learning_rate);
  // Only operations over the same ranks are in order with each other.
  wait_gathered();
  wait_published();
  forget_gathered();
  own_rule = rule;
  update_all(learning_rate);
  own_rule = nullptr;
  norm_taken = leave_out = false;
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
  ++step_calls;
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
    ++taken;
    scale.record(now.finite == 0);
    if (early.in_step && last_result.skipped) {
      broken = std::make_exception_ptr(
          desync("[engine.step] some rank wanted a step left out that was announced and begun",
                 ranks_that([](const optim::step_vote& vote) { return vote.leave_out != 0; })));
      std::rethrow_exception(broken);
    }
    return;
  }
  const std::exception_ptr told = dissent();
  if (early.in_step) broken = told;  // some of it has been applied
  std::rethrow_exception(told);
}

// Votes lie in the order of pieces, of which rank 0 owns the first.
std::vector<int> sharded_optimizer::state::ranks_that(
    const std::function<bool(const optim::step_vote&)>& voted) {
  const optim::step_vote* const all = read_votes();
  std::vector<int> found;
  for (int rank = 0; rank < ranks.size(); ++rank) {
    if (voted(all[plan.groups().piece_of(rank)])) found.push_back(rank);
  }
  return found;
}

// The minority is named; of parties of one size the one with the lowest rank counts as the larger.
std::exception_ptr sharded_optimizer::state::dissent() {
  const optim::step_vote* const all = read_votes();
  const auto vote_of = [&](int rank) -> const optim::step_vote& {
    return all[plan.groups().piece_of(rank)];
  };
  const auto others_than = [&](int rank) {
    const optim::step_vote& own = vote_of(rank);
    return ranks_that([&own](const optim::step_vote& vote) {
      return vote.learning_rate != own.learning_rate || vote.reductions != own.reductions ||
             vote.constants != own.constants;
    });
  };
  int usual = 0;
  std::vector<int> others = others_than(usual);
  for (int rank = 1; rank < ranks.size(); ++rank) {
    std::vector<int> fewer = others_than(rank);
    if (fewer.size() >= others.size()) continue;
    others = std::move(fewer);
    usual = rank;
  }
  const optim::step_vote& right = vote_of(usual);
  const optim::step_vote& other = vote_of(others.front());
  std::string how = "learning rate " + std::to_string(other.learning_rate) + " after " +
                    std::to_string(other.reductions) + " reductions, not " +
                    std::to_string(right.learning_rate) + " after " +
                    std::to_string(right.reductions);
  if (other.constants != right.constants) how += ", and with other constants of groups";
  const std::string why = "[engine.step] rank " + format_ranks(others) +
                          " steps otherwise than rank " + std::to_string(usual) + ": " + how;
  ranks.record_failure(why);
  return std::make_exception_ptr(desync(why, others));
}

// ---- what may be said before it ----

void sharded_optimizer::state::expect_not_begun(const char* call) const {
  if (!early.on) return;
  throw invalid_argument(std::string("[engine.") + call +
                         "] the step was announced, and parts of it may have been made on some "
                         "rank: call it before announce_step");
}

void sharded_optimizer::state::skip_next_step() {
  expect_whole();
  expect_not_begun("skip_next_step");
  leave_out = true;
}

void sharded_optimizer::state::set_group(int group, const parameter_group& constants) {
  expect_whole();
  if (group < 0 || static_cast<std::size_t>(group) >= options.groups.size()) {
    throw invalid_argument("[engine.set_group] group " + std::to_string(group) + " of " +
                           std::to_string(options.groups.size()));
  }
  expect_not_begun("set_group");
  options.groups[static_cast<std::size_t>(group)] = constants;
  groups_digest = digest_of_groups(options);
}

}  // namespace zero
