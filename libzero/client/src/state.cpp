// Weights and states: shown, exchanged, read and written.

#include "agreement.hpp"
#include "handle.hpp"
#include "kept_values.hpp"
#include "ranges_shown.hpp"

#include <zero/base/error.hpp>
#include <zero/optim/elementwise.hpp>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

namespace zero::client {
namespace {

void check_state(const session& s, int state, const char* call) {
  const engine_options& o = s.engine->options();
  const int own = o.own_states >= 0 ? o.own_states : optim::state_count(o.algorithm);
  const int states = own + o.extra_states;
  if (state == ZERO_MASTER || (state >= 0 && state < states)) return;
  throw invalid_argument(std::string("[client.") + call + "] state " + std::to_string(state) +
                         " of " + std::to_string(states));
}

// The parameter's elements in the order of ranks, as each holds them.
struct gathered_runs {
  std::size_t index = 0;                    // in the model
  std::vector<std::vector<kept_run>> runs;  // by rank
  std::size_t most = 0;                     // elements of a rank
};

gathered_runs runs_of_all(const zero_optimizer& z, const session& s, std::size_t index) {
  gathered_runs all;
  all.index = index;
  for (int rank = 0; rank < z.reach().size(); ++rank) {
    all.runs.push_back(runs_of(s.engine->layout(), s.engine->options().policy, rank)[index]);
    std::size_t count = 0;
    for (const kept_run& run : all.runs.back()) count += run.count;
    all.most = std::max(all.most, count);
  }
  return all;
}

std::size_t index_of(const session& s, const slice_place& place) {
  std::size_t index = 0;
  while (s.places[index].segment != place.segment || s.places[index].slice != place.slice) ++index;
  return index;
}

std::string told(const char* call, const zero_optimizer& z, const slice_place& place, int state) {
  return std::string(call) + " of '" + z.segments.slice_name(place.segment, place.slice) +
         "', state " + std::to_string(state);
}

const float* array_of(const state_range& range, int state) {
  return state == ZERO_MASTER ? range.master : range.states[state];
}

// Of what is not updated there are no master weights but the parameters.
void read_frozen(zero_optimizer& z, session& s, const slice_place& place, float* out) {
  const gathered_unit gathered = s.engine->gather(place.unit);
  const const_typed_span values = gathered.parameter(place.position);
  if (out == nullptr) return;
  z.staging.read(values, [&](std::uint64_t offset, const const_typed_span& part) {
    optim::convert(part, {out + offset, part.count, dtype::fp32});
  });
}

void read_state(zero_optimizer& z, session& s, const slice_place& place, int state, float* out) {
  if (!z.segments.all()[place.segment].trainable) return read_frozen(z, s, place, out);
  const gathered_runs all = runs_of_all(z, s, index_of(s, place));
  const auto ranks = static_cast<std::size_t>(z.reach().size());
  const auto rank = static_cast<std::size_t>(z.reach().rank());
  std::vector<float> values(all.most * ranks);
  float* const own = values.data() + rank * all.most;
  s.engine->visit(access::read, [&](const state_range& range) {
    if (range.parameter != all.index) return;
    float* at = own;
    for (const kept_run& run : all.runs[rank]) {
      if (range.offset >= run.offset && range.offset < run.offset + run.count) {
        at += range.offset - run.offset;
        break;
      }
      at += run.count;
    }
    const std::size_t bytes = range.count * sizeof(float);
    if (range.on_device) {
      z.work().read(array_of(range, state), at, bytes);
    } else {
      std::memcpy(at, array_of(range, state), bytes);
    }
  });
  z.work().queue().record().wait();
  if (ranks > 1 && all.most > 0) {
    z.staging.all_gather(z.reach(), own, values.data(), all.most * sizeof(float), "read state");
  }
  if (out == nullptr) return;
  for (std::size_t other = 0; other < ranks; ++other) {
    const float* at = values.data() + other * all.most;
    for (const kept_run& run : all.runs[other]) {
      std::memcpy(out + run.offset, at, run.count * sizeof(float));
      at += run.count;
    }
  }
}

void write_state(zero_optimizer& z, session& s, const slice_place& place, int state,
                 const float* values) {
  const segment& of = z.segments.all()[place.segment];
  if (!of.trainable) {
    throw invalid_argument("[client.write_state] segment '" + of.name +
                           "' is frozen: write it between zero_full_begin and zero_full_end");
  }
  z.gate.changes();
  agree(z.reach(), z.staging, told("write_state", z, place, state));
  const std::size_t index = index_of(s, place);
  s.engine->visit(access::write, [&](const state_range& range) {
    if (range.parameter != index) return;
    float* const to = state == ZERO_MASTER ? range.master : range.states[state];
    const std::size_t bytes = range.count * sizeof(float);
    if (range.on_device) {
      z.work().write(values + range.offset, to, bytes);
    } else {
      std::memcpy(to, values + range.offset, bytes);
    }
  });
  z.work().queue().record().wait();  // the values are the caller's again
  s.form->stepped(state == ZERO_MASTER);
}

void full_begin(zero_optimizer& z, session& s, int where, int how) {
  s.order->may_change_weights("full_begin");
  if (where != ZERO_ON_ALL && where != ZERO_ON_RANK_0) {
    throw invalid_argument("[client.full_begin] " + std::to_string(where) +
                           " is neither ZERO_ON_ALL nor ZERO_ON_RANK_0");
  }
  if (how != ZERO_READ && how != ZERO_WRITE && how != (ZERO_READ | ZERO_WRITE)) {
    throw invalid_argument("[client.full_begin] access " + std::to_string(how));
  }
  z.gate.changes();
  agree(z.reach(), z.staging,
        "full_begin on " + std::string(where == ZERO_ON_ALL ? "all" : "rank 0") + ", access " +
            std::to_string(how));
  s.full_here = where == ZERO_ON_ALL || z.reach().rank() == 0;
  s.form->full_begin(s.full_here);
  s.full = true;
  s.full_written = (how & ZERO_WRITE) != 0;
}

}  // namespace
}  // namespace zero::client

using zero::client::enter_ordered;
using zero::client::enter_work;
using zero::client::session;

zero_status zero_visit(zero_optimizer* z, int access, zero_update_function visit, void* user) {
  return enter_ordered(z, "visit", nullptr, [&](zero_optimizer& own, session& s) {
    s.order->may_change_weights("visit");
    if (access != ZERO_READ && access != (ZERO_READ | ZERO_WRITE)) {
      throw zero::invalid_argument("[client.visit] access " + std::to_string(access) +
                                   " is neither ZERO_READ nor ZERO_READ | ZERO_WRITE");
    }
    const auto show = zero::client::shown_to(own, visit, user, "visit");
    if (access == ZERO_READ) return s.engine->visit(zero::access::read, show);
    own.gate.changes();
    zero::client::agree(own.reach(), own.staging, "visit to write");
    s.engine->visit(zero::access::write, show);
    s.form->stepped(true);
  });
}

zero_status zero_swap(zero_optimizer* z, int32_t state) {
  return enter_ordered(z, "swap", nullptr, [&](zero_optimizer& own, session& s) {
    s.order->may_change_weights("swap");
    if (state == ZERO_MASTER) throw zero::invalid_argument("[client.swap] state -1");
    zero::client::check_state(s, state, "swap");
    own.gate.changes();
    zero::client::agree(own.reach(), own.staging, "swap with state " + std::to_string(state));
    s.engine->swap_with_state(state);
    s.form->stepped(true);
  });
}

zero_status zero_read_state(zero_optimizer* z, const char* name, int32_t slice, int32_t state,
                            int where, float* out) {
  return enter_ordered(z, "read_state", nullptr, [&](zero_optimizer& own, session& s) {
    s.order->may_change_weights("read_state");
    const auto place = zero::client::place_of(own, s, name, slice, "read_state");
    zero::client::check_state(s, state, "read_state");
    if (where != ZERO_ON_ALL && where != ZERO_ON_RANK_0) {
      throw zero::invalid_argument("[client.read_state] " + std::to_string(where) +
                                   " is neither ZERO_ON_ALL nor ZERO_ON_RANK_0");
    }
    const bool here = where == ZERO_ON_ALL || own.reach().rank() == 0;
    if (here && out == nullptr) throw zero::invalid_argument("[client.read_state] a null pointer");
    if (state != ZERO_MASTER && !own.segments.all()[place.segment].trainable) {
      throw zero::invalid_argument("[client.read_state] segment '" +
                                   own.segments.all()[place.segment].name +
                                   "' is frozen and has no states");
    }
    zero::client::agree(own.reach(), own.staging,
                        zero::client::told("read_state", own, place, state));
    zero::client::read_state(own, s, place, state, here ? out : nullptr);
  });
}

zero_status zero_write_state(zero_optimizer* z, const char* name, int32_t slice, int32_t state,
                             const float* values) {
  return enter_ordered(z, "write_state", nullptr, [&](zero_optimizer& own, session& s) {
    s.order->may_change_weights("write_state");
    const auto place = zero::client::place_of(own, s, name, slice, "write_state");
    zero::client::check_state(s, state, "write_state");
    if (values == nullptr) throw zero::invalid_argument("[client.write_state] a null pointer");
    zero::client::write_state(own, s, place, state, values);
  });
}

zero_status zero_full_begin(zero_optimizer* z, int where, int access) {
  return enter_ordered(z, "full_begin", nullptr, [&](zero_optimizer& own, session& s) {
    zero::client::full_begin(own, s, where, access);
  });
}

zero_status zero_full_end(zero_optimizer* z) {
  return enter_ordered(z, "full_end", nullptr, [](zero_optimizer& own, session& s) {
    if (!s.full) throw zero::invalid_argument("[client.full_end] zero_full_begin comes first");
    own.gate.changes();
    zero::client::agree(own.reach(), own.staging, "full_end");
    s.full = false;
    s.form->full_end(s.full_here, s.full_written);
  });
}

zero_status zero_digest(zero_optimizer* z, char out[33]) {
  return enter_work(z, "digest", [&](zero_optimizer& own, session& s) {
    s.order->expect_idle("digest");
    if (out == nullptr) throw zero::invalid_argument("[client.digest] a null pointer");
    zero::client::agree(own.reach(), own.staging, "digest");
    const std::string hex = zero::to_hex(s.engine->parameters_digest());
    std::memcpy(out, hex.c_str(), 33);
  });
}

zero_status zero_sum(zero_optimizer* z, double* values, size_t count) {
  return enter_work(z, "sum", [&](zero_optimizer& own, session&) {
    if (values == nullptr && count > 0) {
      throw zero::invalid_argument("[client.sum] a null pointer");
    }
    own.gate.changes();
    zero::client::agree(own.reach(), own.staging, "sum of " + std::to_string(count) + " values");
    zero::client::sum_over_ranks(own, values, count);
  });
}
