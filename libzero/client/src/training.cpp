// One micro-batch and one step.

#include "agreement.hpp"
#include "handle.hpp"
#include "ranges_shown.hpp"
#include "settings.hpp"

#include <zero/base/error.hpp>
#include <zero/base/trace.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace zero::client {

void sum_over_ranks(zero_optimizer& z, double* values, std::size_t count) {
  if (z.reach().size() == 1 || count == 0) return;
  const auto ranks = static_cast<std::size_t>(z.reach().size());
  std::vector<double>& all = z.summed;
  all.resize(count * ranks);
  z.staging.all_gather(z.reach(), values, all.data(), count * sizeof(double), "sum");
  for (std::size_t i = 0; i < count; ++i) {
    double sum = 0;
    for (std::size_t rank = 0; rank < ranks; ++rank) sum += all[rank * count + i];
    values[i] = sum;
  }
}

slice_place place_of(const zero_optimizer& z, const session& s, const char* name, int slice,
                     const char* call) {
  const std::size_t index = z.segments.owner(z.segments.find(name, call));
  for (const slice_place& place : s.places) {
    if (place.segment == index && place.slice == slice) return place;
  }
  throw invalid_argument(std::string("[client.") + call + "] slice " + std::to_string(slice) +
                         " of segment '" + z.segments.all()[index].name + "', which has " +
                         std::to_string(z.segments.all()[index].slices));
}

void** checked_out(void** out, const char* call) {
  if (out == nullptr) throw invalid_argument(std::string("[client.") + call + "] a null pointer");
  return out;
}

// Gradients of this micro-batch that nobody said are final are so now.
void finish_micro_batch(session& s, bool last) {
  for (auto unit = s.units.rbegin(); unit != s.units.rend(); ++unit) {
    if (s.order->reduced(*unit) || !s.trainable[static_cast<std::size_t>(*unit)]) continue;
    s.form->end_gradients(*unit, last);
    s.order->gradients_reduced(*unit);
  }
}

namespace {

class timed {
 public:
  explicit timed(visit_cost& cost) : cost_(cost), begin_(trace_clock()) {}
  timed(const timed&) = delete;
  timed& operator=(const timed&) = delete;
  ~timed() {
    ++cost_.count;
    cost_.nanoseconds += static_cast<std::uint64_t>(trace_clock() - begin_);
  }

 private:
  visit_cost& cost_;
  std::int64_t begin_;
};

void make_whole(session& s, int unit) {
  const timed timer(s.begins);
  s.form->make_whole(unit);
}

void release(session& s, int unit) {
  const timed timer(s.ends);
  s.form->release(unit);
}

void begin_micro_batch(zero_optimizer& z, session& s, int index, int count) {
  s.order->may_begin_micro_batch(index, count);
  z.gate.changes();
  if (index > 0) finish_micro_batch(s, false);
  s.order->micro_batch_begun(index, count);
  s.form->begin_micro_batch(pass::train);
}

void begin_forward(session& s, int unit) {
  s.order->may_begin_forward(unit);
  // The next forward of an evaluation, unless others are in use: then a unit comes twice in one.
  const bool idle = std::none_of(s.units.begin(), s.units.end(),
                                 [&](int other) { return s.order->whole(other); });
  if (idle && s.order->is_evaluating() && s.order->seen(unit)) {
    s.order->evaluating();
    s.form->begin_micro_batch(pass::evaluate);
  }
  if (!s.order->whole(unit)) make_whole(s, unit);
  s.order->forward_begun(unit);
}

void end_forward(zero_optimizer& z, session& s, int unit) {
  s.order->may_end_forward(unit);
  z.gate.changes();
  s.order->forward_ended(unit);
  if (!s.order->whole(unit)) release(s, unit);
}

void begin_backward(zero_optimizer& z, session& s, int unit) {
  s.order->may_begin_backward(unit);
  const bool was_whole = s.order->whole(unit);
  if (!was_whole) make_whole(s, unit);
  try {
    s.form->begin_gradients(unit);
  } catch (const invalid_argument&) {  // no room for them: as before
    if (!was_whole) release(s, unit);
    throw;
  }
  z.gate.changes();
  s.order->backward_begun(unit);
}

void end_backward(zero_optimizer& z, session& s, int unit) {
  s.order->may_end_backward(unit);
  z.gate.changes();
  const bool whole = s.order->whole(unit);
  s.order->backward_ended(unit);
  if (s.trainable[static_cast<std::size_t>(unit)]) {
    s.form->end_gradients(unit, s.order->last_micro_batch());
  }
  s.order->gradients_reduced(unit);
  if (whole) release(s, unit);
}

void check_step(const session& s, const char* call, double learning_rate) {
  s.order->may_step(call);
  if (!std::isfinite(static_cast<float>(learning_rate))) {
    throw invalid_argument(std::string("[client.") + call + "] the learning rate is not finite");
  }
}

// `update` is empty for a built-in rule.
void step(zero_optimizer& z, session& s, double learning_rate, const range_function& update,
          double* loss) {
  z.gate.changes();
  // Added up in the client's memory, micro-batches are one reduction to the engine.
  if (z.config.reduce_at == ZERO_AT_BOUNDARY) {
    agree(z.reach(), z.staging,
          "step after " + std::to_string(s.order->micro_batches()) + " micro-batches");
  }
  finish_micro_batch(s, true);
  const auto rate = static_cast<float>(learning_rate);
  bool changed = true;
  if (update) {
    changed = !s.engine->step(rate, update).skipped;
  } else if (z.on_device()) {
    s.engine->queue_step(rate);  // what became of it is asked for by whoever wants to know
  } else {
    changed = !s.engine->step(rate).skipped;
  }
  s.order->stepped();
  s.updated = true;
  s.form->stepped(changed);
  if (loss == nullptr) return;
  sum_over_ranks(z, loss, 1);
  *loss /= z.reach().size();
}

double gradient_norm(zero_optimizer& z, session& s) {
  s.order->may_step("gradient_norm");
  z.gate.changes();
  finish_micro_batch(s, true);
  s.order->norm_asked();
  return s.engine->gradient_norm();
}

}  // namespace
}  // namespace zero::client

using zero::client::enter_ordered;
using zero::client::enter_work;
using zero::client::session;

zero_status zero_micro_batch(zero_optimizer* z, int32_t index, int32_t count) {
  return enter_ordered(z, "micro_batch", nullptr, [&](zero_optimizer& own, session& s) {
    zero::client::begin_micro_batch(own, s, index, count);
  });
}

zero_status zero_evaluate(zero_optimizer* z) {
  return enter_ordered(z, "evaluate", nullptr, [](zero_optimizer& own, session& s) {
    s.order->may_evaluate();
    own.gate.changes();
    s.order->evaluating();
    s.form->begin_micro_batch(zero::pass::evaluate);
  });
}

zero_status zero_forward_begin(zero_optimizer* z, int32_t unit, void* stream) {
  return enter_work(z, "forward_begin", [&](zero_optimizer& own, session& s) {
    zero::client::begin_forward(s, unit);
    own.streams.depart(stream);
  });
}

zero_status zero_forward_end(zero_optimizer* z, int32_t unit, void* stream) {
  return enter_ordered(z, "forward_end", stream, [&](zero_optimizer& own, session& s) {
    zero::client::end_forward(own, s, unit);
  });
}

zero_status zero_backward_begin(zero_optimizer* z, int32_t unit, void* stream) {
  return enter_work(z, "backward_begin", [&](zero_optimizer& own, session& s) {
    zero::client::begin_backward(own, s, unit);
    own.streams.depart(stream);
  });
}

zero_status zero_backward_end(zero_optimizer* z, int32_t unit, void* stream) {
  return enter_ordered(z, "backward_end", stream, [&](zero_optimizer& own, session& s) {
    zero::client::end_backward(own, s, unit);
  });
}

zero_status zero_step(zero_optimizer* z, double learning_rate, double* loss) {
  return enter_ordered(z, "step", nullptr, [&](zero_optimizer& own, session& s) {
    zero::client::check_step(s, "step", learning_rate);
    if (own.config.rule == ZERO_OWN_RULE) {
      throw zero::invalid_argument(
          "[client.step] the rule is the client's: zero_step_with takes it");
    }
    zero::client::step(own, s, learning_rate, {}, loss);
  });
}

zero_status zero_step_with(zero_optimizer* z, double learning_rate, zero_update_function update,
                           void* user, double* loss) {
  return enter_ordered(z, "step_with", nullptr, [&](zero_optimizer& own, session& s) {
    zero::client::check_step(s, "step_with", learning_rate);
    if (own.config.rule != ZERO_OWN_RULE) {
      throw zero::invalid_argument("[client.step_with] the rule is a built-in one: zero_step");
    }
    const auto show = zero::client::shown_to(own, update, user, "step_with");
    zero::client::step(own, s, learning_rate, show, loss);
  });
}

zero_status zero_gradient_norm(zero_optimizer* z, double* out) {
  return enter_ordered(z, "gradient_norm", nullptr, [&](zero_optimizer& own, session& s) {
    if (out == nullptr) throw zero::invalid_argument("[client.gradient_norm] a null pointer");
    *out = zero::client::gradient_norm(own, s);
  });
}

zero_status zero_skip(zero_optimizer* z) {
  return enter_work(z, "skip", [](zero_optimizer&, session& s) { s.engine->skip_next_step(); });
}

// Not through the gate: another thread than the one at work may say it.
zero_status zero_alive(zero_optimizer* z) {
  if (z == nullptr) return ZERO_INVALID;
  z->reach().progress();
  return ZERO_OK;
}

zero_status zero_last_step(zero_optimizer* z, zero_step_result* out) {
  return enter_work(z, "last_step", [&](zero_optimizer&, session& s) {
    if (!s.updated) throw zero::invalid_argument("[client.last_step] no step has been made");
    zero_step_result now{};
    const zero::step_result last = s.engine->last_step();
    now.step = last.step;
    now.gradient_norm = last.gradient_norm;
    now.skipped = last.skipped ? 1 : 0;
    now.loss_scale = static_cast<double>(last.loss_scale);
    zero::client::write_sized(&now, sizeof now, out, "last_step");
  });
}

zero_status zero_loss_scale(zero_optimizer* z, double* out) {
  return enter_work(z, "loss_scale", [&](zero_optimizer&, session& s) {
    if (out == nullptr) throw zero::invalid_argument("[client.loss_scale] a null pointer");
    *out = static_cast<double>(s.engine->loss_scale());
  });
}

zero_status zero_parameter(zero_optimizer* z, const char* name, int32_t slice, void** out) {
  return enter_work(z, "parameter", [&](zero_optimizer& own, session& s) {
    *zero::client::checked_out(out, "parameter") =
        s.form->parameter(zero::client::place_of(own, s, name, slice, "parameter"));
  });
}

zero_status zero_gradient(zero_optimizer* z, const char* name, int32_t slice, void** out) {
  return enter_work(z, "gradient", [&](zero_optimizer& own, session& s) {
    const auto place = zero::client::place_of(own, s, name, slice, "gradient");
    if (!own.segments.all()[place.segment].trainable) {
      throw zero::invalid_argument("[client.gradient] segment '" +
                                   own.segments.all()[place.segment].name + "' is frozen");
    }
    s.order->may_ask_gradient(place.unit);
    *zero::client::checked_out(out, "gradient") = s.form->gradient(place);
    own.streams.depart(nullptr);
  });
}
