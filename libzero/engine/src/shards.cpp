// shards: the whole state out of wherever it rests, and into it.

#include "cell_walk.hpp"
#include "plan_options.hpp"
#include "shard_parts.hpp"
#include "shard_window.hpp"

#include <zero/base/error.hpp>

#include <cmath>
#include <cstring>
#include <string>
#include <utility>

namespace zero {
namespace {

using partition::no_record;
using partition::tier;
using partition::tier_class;

// One visit of all parts, in their order. What `room` is handed to fills it, or looks at it.
class shard_visit {
 public:
  using room_function = std::function<void(const shard_room&)>;

  shard_visit(sharded_optimizer::state& of, errand why, const room_function& room)
      : of_(of), why_(why), room_(room), window_(of) {
    parts_ = parts_of(of, reads(why) ? shard_use::saved : shard_use::kept);
  }

  // What `room` threw when it was filled; nothing was filled after that. Reading throws it on.
  std::exception_ptr go() {
    of_.walk_cells(why_, [this](std::size_t cell) { visit_cell(cell); });
    while (next_ < parts_.size()) visit_frozen();
    return failed_;
  }

 private:
  void visit_cell(std::size_t cell) {
    cell_under_way& area = of_.under_way[of_.block_of[cell]];
    for (; next_ < parts_.size() && parts_[next_].cell == cell; ++next_) {
      const shard_part& part = parts_[next_];
      window_.open(part, area);
      if (reads(why_)) {
        window_.read();
        show(part);
      } else {
        window_.clear();
        show(part);
        window_.write();
      }
    }
    if (!of_.tiered(of_.plan.cells()[cell].bucket)) return;
    if (!reads(why_)) {
      of_.spill_cell(cell, area);
    } else if (!of_.plan.cells()[cell].down) {
      area.used = of_.queue.record();
    }
  }

  void show(const shard_part& part) {
    const int states = all_states(of_.options);
    for (const parameter_run& run : part.runs) {
      shard_room there = room_of(run, {window_.weights(), part.count, dtype::fp32});
      there.state_count = states;
      for (int i = 0; i < states; ++i) there.states[i] = window_.state(i) + run.offset;
      hand_out(there);
    }
  }

  static shard_room room_of(const parameter_run& run, const typed_span& part) {
    shard_room room;
    room.where = {run.parameter, run.parameter_offset, run.count};
    room.weights = part.part(run.offset, run.count);
    return room;
  }

  void hand_out(const shard_room& room) {
    if (failed_ != nullptr) return;
    if (reads(why_)) return room_(room);
    try {
      room_(room);
    } catch (...) {
      failed_ = std::current_exception();
    }
  }

  // One part on the device, or the parts of one cell below it.
  void visit_frozen() {
    const shard_part& first = parts_[next_];
    const bucket_storage& b = of_.buckets[first.bucket];
    if (b.plan->parameter_tier == tier::device) {
      const typed_span rests =
          of_.parameters_over(first.bucket, b.plan->parameters).part(first.at, first.count);
      std::byte* const here = window_.take(rests.data, rests.bytes(), why_);
      show_frozen({here, rests.count, rests.type}, first.at);
      if (!reads(why_)) window_.give(rests.data, rests.bytes());
      return;
    }
    const partition::cell& c = of_.plan.cells()[first.cell];
    offload::tier_store& store = *of_.tiers.store(tier_class::parameters);
    std::byte* here = store.in_place(c.parameter_record);
    const bool brought = here == nullptr;
    if (brought) here = window_.room(store.stride(c.parameter_record));
    const typed_span values{here, c.count, b.shape->type};
    const offload::move_end end{here, memory_place::host};
    offload::tier_lane& lane = of_.tiers.lane();
    if (brought && reads(why_)) {
      lane.fetch(store, c.parameter_record, end, values.bytes(), b.shape->unit).wait();
    }
    show_frozen(values, 0);
    if (brought && !reads(why_)) {
      lane.spill(end, values.bytes(), store, c.parameter_record, b.shape->unit).wait();
    }
  }

  // `values` begin at element `from` of the cell, or of the shard.
  void show_frozen(const typed_span& values, std::uint64_t from) {
    if (!reads(why_)) std::memset(values.data, 0, values.bytes());
    const shard_part& first = parts_[next_];
    const std::uint64_t end = from + values.count;
    for (; next_ < parts_.size() && parts_[next_].bucket == first.bucket &&
           parts_[next_].cell == first.cell && parts_[next_].at < end;
         ++next_) {
      const shard_part& part = parts_[next_];
      for (const parameter_run& run : part.runs) {
        hand_out(room_of(run, values.part(part.at - from, part.count)));
      }
    }
  }

  sharded_optimizer::state& of_;
  errand why_;
  const room_function& room_;
  shard_window window_;
  std::vector<shard_part> parts_;
  std::size_t next_ = 0;  // of parts_
  std::exception_ptr failed_;
};

// What is on its way to blocks arrives before anything else is brought there.
void end_walk(sharded_optimizer::state& s) {
  if (s.tiers.any()) s.tiers.lane().drain();
  s.read_cell = no_record;
}

// Every rank tells every other whether its shards were filled. Throws on all if some were not.
void agree_filled(sharded_optimizer::state& s, const std::exception_ptr& failed) {
  optim::step_vote vote;
  vote.leave_out = failed != nullptr ? 1U : 0U;
  optim::step_vote* const own = s.votes() + s.groups.world().rank();
  s.work.set(vote, own);
  if (!s.alone()) {
    const auto count = static_cast<std::size_t>(s.ranks.size());
    s.wait(s.groups.world().all_gather({own, sizeof *own, dtype::byte},
                                       {s.votes(), sizeof *own * count, dtype::byte},
                                       s.call_of("write_shards", -3)));
  }
  const std::vector<int> failing =
      s.ranks_that([](const optim::step_vote& v) { return v.leave_out != 0; });
  s.half_written = !failing.empty();
  s.broken = nullptr;
  if (failing.empty()) return;
  const std::string who = "rank " + format_ranks(failing);
  s.broken = std::make_exception_ptr(invalid_argument(
      "[engine] " + who +
      " could not fill its shards, and what there is is no state: write_shards must succeed"));
  if (failed != nullptr) std::rethrow_exception(failed);
  throw error("[engine.write_shards] " + who + " could not fill its shards");
}

void read_all(sharded_optimizer::state& s, const read_shard_function& see) {
  s.expect_whole();
  s.settle();
  s.expect_between_steps("read_shards");
  if (!see) throw invalid_argument("[engine.read_shards] there is no function to call");
  s.wait_published();
  s.queue.record().wait();
  const shard_visit::room_function show = [&see](const shard_room& room) {
    shard_values values;
    values.where = room.where;
    values.weights = room.weights;
    values.state_count = room.state_count;
    for (int i = 0; i < room.state_count; ++i) values.states[i] = room.states[i];
    see(values);
  };
  try {
    shard_visit(s, errand::save, show).go();
  } catch (...) {
    end_walk(s);
    throw;
  }
  s.read_cell = no_record;
}

void write_all(sharded_optimizer::state& s, const write_shard_function& fill) {
  if (!s.half_written) s.expect_whole();
  s.settle();
  s.expect_between_steps("write_shards");
  if (!fill) throw invalid_argument("[engine.write_shards] there is no function to call");
  s.prepare_to_change("write_shards");
  s.queue.record().wait();
  std::exception_ptr failed;
  try {
    failed = shard_visit(s, errand::replace, fill).go();
    end_walk(s);
    s.wait_published();
  } catch (...) {
    s.half_written = false;  // nothing mends that
    s.broken = std::current_exception();
    s.ranks.abort("[engine.write_shards] rank " + std::to_string(s.ranks.rank()) +
                  " could not bring its shards to where they rest");
    throw;
  }
  agree_filled(s, failed);
}

}  // namespace

std::vector<shard_extent> sharded_optimizer::saved_extents() const {
  return extents_of(parts_of(*state_, shard_use::saved));
}

void sharded_optimizer::read_shards(const read_shard_function& see) { read_all(*state_, see); }

std::vector<shard_extent> sharded_optimizer::kept_extents() const {
  return extents_of(parts_of(*state_, shard_use::kept));
}

void sharded_optimizer::write_shards(const write_shard_function& fill) { write_all(*state_, fill); }

std::vector<std::string> sharded_optimizer::state_names() const {
  const engine_options& o = state_->options;
  std::vector<std::string> names;
  for (int i = 0; i < rule_states(o); ++i) {
    names.push_back(o.own_states >= 0 ? "own." + std::to_string(i)
                                      : optim::state_name(o.algorithm, i));
  }
  for (int i = 0; i < o.extra_states; ++i) names.push_back("extra." + std::to_string(i));
  return names;
}

training_progress sharded_optimizer::progress() const {
  state_->expect_whole();
  state_->settle();
  return {state_->steps, state_->taken, state_->scale.save()};
}

// The count of updates lies where the update runs: it corrects moments there and keys rounding.
void sharded_optimizer::resume(const training_progress& from) {
  state& s = *state_;
  s.expect_whole();
  s.settle();
  s.expect_between_steps("resume");
  s.expect_not_begun("resume");
  const float scale = from.loss_scale.value;
  if (from.steps < from.updates || !std::isfinite(scale) || scale <= 0.0F) {
    throw invalid_argument("[engine.resume] " + std::to_string(from.updates) + " updates in " +
                           std::to_string(from.steps) + " steps with a loss scale of " +
                           std::to_string(scale) + " are no progress");
  }
  optim::step_decision decision;
  decision.steps = from.updates;
  s.work.write(&decision, s.decision_here(), sizeof decision);
  s.queue.record().wait();
  *s.decision_read() = decision;
  s.steps = from.updates;
  s.taken = from.steps;
  s.step_calls = static_cast<std::int64_t>(from.steps);  // ranks that resume elsewhere are told
  if (s.options.loss_scale.dynamic) s.scale.load(from.loss_scale);
  s.last_result = {};
  s.last_result.step = s.steps;
  s.last_result.loss_scale = s.scale.value();
}

}  // namespace zero
