#pragma once
// call_order: where a client is between two steps, and which calls may come next. It knows no
// memory and moves nothing.
//
// Plain values. may_* throw invalid_argument that names the call and the unit; the others record
// what has been done.

#include <vector>

namespace zero::client {

class call_order {
 public:
  // `sharded`: parameters are not there between uses, so that a backward must have begun to end.
  call_order(int units, int most_micro_batches, bool sharded);

  void may_begin_micro_batch(int index, int count) const;
  void may_evaluate() const;
  void may_begin_forward(int unit) const;
  void may_end_forward(int unit) const;
  void may_begin_backward(int unit) const;
  void may_end_backward(int unit) const;
  // Between steps or micro-batches, with no unit in use. `call` for the message.
  void may_step(const char* call) const;
  void expect_idle(const char* call) const;
  void may_ask_gradient(int unit) const;
  // No gradient has been made since the last step.
  void may_change_weights(const char* call) const;

  void micro_batch_begun(int index, int count);
  void evaluating() noexcept;
  void forward_begun(int unit) noexcept;
  void forward_ended(int unit) noexcept;
  void backward_begun(int unit) noexcept;
  void backward_ended(int unit) noexcept;
  void gradients_reduced(int unit) noexcept { at(unit).reduced = true; }
  void norm_asked() noexcept { norm_asked_ = true; }
  void stepped() noexcept;

  // Its parameters are between a begin and the last end.
  [[nodiscard]] bool whole(int unit) const noexcept {
    return at(unit).forward || at(unit).backward;
  }
  [[nodiscard]] bool in_backward(int unit) const noexcept { return at(unit).backward; }
  // Its gradients of this micro-batch have gone to the others.
  [[nodiscard]] bool reduced(int unit) const noexcept { return at(unit).reduced; }
  [[nodiscard]] bool is_evaluating() const noexcept { return evaluating_; }
  // Its forward has ended in this evaluation: another one begins.
  [[nodiscard]] bool seen(int unit) const noexcept { return at(unit).seen; }
  // No further micro-batch comes before the step.
  [[nodiscard]] bool last_micro_batch() const noexcept {
    return index_ < 0 || index_ + 1 >= count_;
  }
  [[nodiscard]] int micro_batches() const noexcept { return index_ < 0 ? 1 : index_ + 1; }
  // A micro-batch of this step has been begun before the one now asked for.
  [[nodiscard]] bool has_micro_batch() const noexcept { return index_ >= 0; }

 private:
  struct unit_calls {
    bool forward = false;
    bool backward = false;
    bool ended = false;  // its backward, in this micro-batch
    bool reduced = false;
    bool seen = false;
  };
  [[nodiscard]] const unit_calls& at(int unit) const noexcept {
    return units_[static_cast<std::size_t>(unit)];
  }
  [[nodiscard]] unit_calls& at(int unit) noexcept { return units_[static_cast<std::size_t>(unit)]; }
  void check_unit(const char* call, int unit) const;
  void check_gradients_open(const char* call) const;
  void begin_micro_batch_unsaid() noexcept;

  std::vector<unit_calls> units_;
  int most_;
  bool sharded_;
  int index_ = -1;  // of the micro-batch at hand
  int count_ = 1;
  bool backward_seen_ = false;  // in this step
  bool evaluating_ = false;
  bool norm_asked_ = false;
};

}  // namespace zero::client
