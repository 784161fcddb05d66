#include "call_order.hpp"

#include <zero/base/error.hpp>

#include <string>

namespace zero::client {
namespace {

[[noreturn]] void refuse(const char* call, const std::string& why) {
  throw invalid_argument(std::string("[client.") + call + "] " + why);
}

std::string named(int unit) { return "unit " + std::to_string(unit); }

}  // namespace

call_order::call_order(int units, int most_micro_batches, bool sharded)
    : units_(static_cast<std::size_t>(units)), most_(most_micro_batches), sharded_(sharded) {}

void call_order::check_unit(const char* call, int unit) const {
  if (unit >= 0 && static_cast<std::size_t>(unit) < units_.size()) return;
  refuse(call, named(unit) + " of " + std::to_string(units_.size()));
}

void call_order::check_gradients_open(const char* call) const {
  if (norm_asked_) {
    refuse(call, "zero_gradient_norm was asked for: no gradient may be added before the step");
  }
}

void call_order::expect_idle(const char* call) const {
  for (std::size_t unit = 0; unit < units_.size(); ++unit) {
    const unit_calls& calls = units_[unit];
    if (!calls.forward && !calls.backward) continue;
    refuse(call, named(static_cast<int>(unit)) + " is between zero_" +
                     (calls.backward ? "backward" : "forward") + "_begin and its end");
  }
}

void call_order::may_begin_micro_batch(int index, int count) const {
  constexpr const char* call = "micro_batch";
  const std::string named_index =
      "micro-batch " + std::to_string(index) + " of " + std::to_string(count);
  if (count < 1 || index < 0 || index >= count) refuse(call, named_index);
  if (count > most_) {
    refuse(call, named_index + ": the configuration allows " + std::to_string(most_) +
                     " in a step (accumulate)");
  }
  expect_idle(call);
  check_gradients_open(call);
  if (index == 0) {
    if (backward_seen_ || index_ > 0) {
      refuse(call, named_index + " where gradients of this step are there already: step first");
    }
    return;
  }
  if (index != index_ + 1 || count != count_) {
    refuse(call, named_index + " after " +
                     (index_ < 0 ? std::string("none")
                                 : std::to_string(index_) + " of " + std::to_string(count_)));
  }
}

void call_order::may_evaluate() const { expect_idle("evaluate"); }

void call_order::may_begin_forward(int unit) const {
  check_unit("forward_begin", unit);
  if (at(unit).forward) {
    refuse("forward_begin", named(unit) + " has begun already: zero_forward_end comes first");
  }
}

void call_order::may_end_forward(int unit) const {
  check_unit("forward_end", unit);
  if (!at(unit).forward) {
    refuse("forward_end", named(unit) + " has not begun: zero_forward_begin comes first");
  }
}

void call_order::may_begin_backward(int unit) const {
  constexpr const char* call = "backward_begin";
  check_unit(call, unit);
  check_gradients_open(call);
  if (at(unit).backward) {
    refuse(call, named(unit) + " has begun already: zero_backward_end comes first");
  }
  if (at(unit).ended) {
    refuse(call, "the backward of " + named(unit) +
                     " has ended in this micro-batch: zero_micro_batch or zero_step comes first");
  }
}

void call_order::may_end_backward(int unit) const {
  constexpr const char* call = "backward_end";
  check_unit(call, unit);
  check_gradients_open(call);
  if (at(unit).ended) {
    refuse(call, "the backward of " + named(unit) +
                     " has ended in this micro-batch: zero_micro_batch or zero_step comes first");
  }
  if (sharded_ && !whole(unit)) {
    refuse(call, named(unit) + " has not begun: zero_backward_begin comes first");
  }
}

void call_order::may_step(const char* call) const {
  expect_idle(call);
  if (last_micro_batch()) return;
  refuse(call, "micro-batch " + std::to_string(index_ + 1) + " of " + std::to_string(count_) +
                   " has not begun");
}

void call_order::may_ask_gradient(int unit) const {
  check_gradients_open("gradient");
  if (at(unit).ended) {
    refuse("gradient", "the backward of " + named(unit) + " has ended in this micro-batch");
  }
  if (sharded_ && !whole(unit)) {
    refuse("gradient", named(unit) + " has not begun: zero_backward_begin comes first");
  }
}

void call_order::may_change_weights(const char* call) const {
  expect_idle(call);
  if (backward_seen_ || norm_asked_ || index_ > 0) {
    refuse(call, "gradients of this step are there already: it belongs between two steps");
  }
}

void call_order::micro_batch_begun(int index, int count) {
  index_ = index;
  count_ = count;
  evaluating_ = false;
  for (unit_calls& unit : units_) unit = {};
}

void call_order::evaluating() noexcept {
  evaluating_ = true;
  for (unit_calls& unit : units_) unit.seen = false;
}

void call_order::begin_micro_batch_unsaid() noexcept {
  evaluating_ = false;
  if (index_ < 0) {
    index_ = 0;
    count_ = 1;
  }
}

void call_order::forward_begun(int unit) noexcept {
  if (!evaluating_) begin_micro_batch_unsaid();
  at(unit).forward = true;
}

void call_order::forward_ended(int unit) noexcept {
  at(unit).forward = false;
  at(unit).seen = true;
}

void call_order::backward_begun(int unit) noexcept {
  begin_micro_batch_unsaid();
  backward_seen_ = true;
  at(unit).forward = false;  // it goes on as the backward
  at(unit).backward = true;
}

void call_order::backward_ended(int unit) noexcept {
  begin_micro_batch_unsaid();
  backward_seen_ = true;
  at(unit).forward = false;
  at(unit).backward = false;
  at(unit).ended = true;
}

void call_order::stepped() noexcept {
  index_ = -1;
  count_ = 1;
  backward_seen_ = false;
  evaluating_ = false;
  norm_asked_ = false;
  for (unit_calls& unit : units_) unit = {};
}

}  // namespace zero::client
