// The calling thread's side: construction, queueing, split; and the lane's.
#include "device/device_communicator.hpp"

#include "shared_memory/desync.hpp"

#include <zero/base/error.hpp>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

namespace zero::collectives {
namespace {

constexpr std::int64_t default_deadline = 30'000;                    // milliseconds
constexpr std::int64_t longest_deadline = 1000LL * 3600 * 24 * 365;  // so that sums do not wrap

operation make_operation(operation_kind kind, dtype in, dtype out, std::uint64_t count,
                         const call& how) noexcept {
  operation op{};
  op.kind = kind;
  op.in = in;
  op.out = out;
  op.mode = write_mode::overwrite;
  op.root = -1;
  op.tag = how.tag;
  op.step = how.step;
  op.count = count;
  std::strncpy(op.name.data(), how.name, op.name.size() - 1);
  return op;
}

}  // namespace

device_communicator::device_communicator(std::shared_ptr<device_lane> lane, std::uint64_t block,
                                         int rank, const device_communicator* around,
                                         const executor::maker& make,
                                         std::shared_ptr<memory_resource> memory,
                                         const char* backend)
    : communicator({rank, static_cast<int>(lane->pages()->block(block).size)}),
      lane_(std::move(lane)),
      memory_(std::move(memory)),
      group_(*lane_->pages(), block, rank, around != nullptr ? &around->group_ : nullptr),
      backend_(backend),
      deadline_(around != nullptr ? around->deadline_.load() : default_deadline) {
  try {
    if (around == nullptr) {
      watch_ = std::make_unique<process_watch>(lane_->pages(), block, group_.world_rank(rank));
    }
    executor_ = make(group_, block);
  } catch (...) {
    watch_.reset();
    group_.leave();
    throw;
  }
}

device_communicator::~device_communicator() {
  const std::uint64_t queued = queued_.load();
  if (queued > group_.completed() && group_.poisoned() == nullptr) {
    const int me = group_.world_rank(rank());
    group_.poison(
        error_class::peer_lost, {me},
        "rank " + std::to_string(me) + " left with " + group_.title(queued - 1) + " outstanding");
  }
  wait_on(
      group_.own_caller(), [&] { return carried_out_.load() == queued; },
      steady::time_point::max());
  executor_->quiet(group_.poisoned() != nullptr, patience());
  watch_.reset();
  executor_.reset();  // before the last to leave frees the block for another group
  group_.leave();
}

void device_communicator::set_deadline(std::chrono::milliseconds deadline) noexcept {
  deadline_.store(std::clamp<std::int64_t>(deadline.count(), 0, longest_deadline));
}

steady::duration device_communicator::patience() const noexcept {
  return std::chrono::milliseconds(deadline_.load());
}

void device_communicator::abort(const std::string& reason) noexcept {
  const int me = group_.world_rank(rank());
  group_.poison(error_class::peer_lost, {me}, "rank " + std::to_string(me) + " aborted: " + reason);
}

// ---- queueing ---------------------------------------------------------------------------------

completion device_communicator::do_all_gather(const_typed_span shard, typed_span full,
                                              const call& how) {
  return queue(make_operation(operation_kind::all_gather, shard.type, full.type, shard.count, how),
               shard, full, how);
}

completion device_communicator::do_reduce_scatter(const_typed_span full, typed_span shard,
                                                  write_mode mode, const call& how) {
  operation op =
      make_operation(operation_kind::reduce_scatter, full.type, shard.type, shard.count, how);
  op.mode = mode;
  return queue(op, full, shard, how);
}

completion device_communicator::do_all_to_all(const_typed_span in, typed_span out,
                                              const call& how) {
  const std::uint64_t piece = in.count / static_cast<std::uint64_t>(size());
  return queue(make_operation(operation_kind::all_to_all, in.type, out.type, piece, how), in, out,
               how);
}

completion device_communicator::do_all_reduce(typed_span data, const call& how) {
  return queue(make_operation(operation_kind::all_reduce, data.type, data.type, data.count, how),
               data, data, how);
}

completion device_communicator::do_broadcast(typed_span data, int root, const call& how) {
  operation op = make_operation(operation_kind::broadcast, data.type, data.type, data.count, how);
  op.root = root;
  return queue(op, data, data, how);
}

completion device_communicator::do_barrier(const call& how) {
  return queue(make_operation(operation_kind::barrier, dtype::byte, dtype::byte, 0, how), {}, {},
               how);
}

completion device_communicator::queue(operation op, const_typed_span in, typed_span out,
                                      const call& how) {
  check_usable();
  const std::uint64_t k = queued_.load();
  if (k >= outstanding) wait(k - outstanding);
  record& r = records_[k % outstanding];
  r.after = how.after;
  if (how.after.ready()) {  // its error is thrown here, and the lane has nothing to look at
    try {
      how.after.wait();
    } catch (...) {
      fail();
      throw;
    }
    r.after = {};
  }
  r.name = *how.name != '\0' ? how.name : name_of(op.kind);
  r.place = take_place();
  device_queue& device = lane_->queue();
  // The spans are the operation's own to write or read: what is const here is only not written.
  r.own = {static_cast<std::byte*>(const_cast<void*>(in.data)), static_cast<std::byte*>(out.data),
           in.bytes() == 0 || device.reaches(in.data, in.bytes()),
           out.bytes() == 0 || device.reaches(out.data, out.bytes())};
  r.op = op;
  r.op.source = executor_->source_of(r.own);
  count_staged(r, in, out);
  queued_.store(k + 1);
  lane_->push(*this, k);
  return {*this, k};
}

void device_communicator::count_staged(const record& r, const_typed_span in,
                                       typed_span out) noexcept {
  if (size() == 1) return;
  if (!r.own.in_reached) traffic_.staged += in.bytes();
  if (!r.own.out_reached && in.data != out.data) traffic_.staged += out.bytes();
}

std::unique_ptr<communicator> device_communicator::do_split(int color, int key) {
  check_usable();
  const std::uint64_t queued = queued_.load();
  if (queued > group_.completed() || (queued > 0 && !device_done(queued - 1))) {
    throw invalid_argument("[collectives] split with " + group_.title(queued - 1) + " outstanding");
  }
  const operation op = make_operation(operation_kind::split, dtype::byte, dtype::byte, 0, call{});
  slot& mine = group_.slot_of(rank());
  mine.color = color;
  mine.key = key;
  queue(op, {}, {}, {}).wait();  // all have said their color

  const arena& pages = *lane_->pages();
  std::vector<int> members, colors;
  for (int i = 0; i < size(); ++i) {
    if (group_.slot_of(i).color == color) members.push_back(i);
    colors.push_back(group_.slot_of(i).color);
  }
  std::stable_sort(members.begin(), members.end(),
                   [&](int a, int b) { return group_.slot_of(a).key < group_.slot_of(b).key; });
  std::sort(colors.begin(), colors.end());
  colors.erase(std::unique(colors.begin(), colors.end()), colors.end());
  const int count = static_cast<int>(members.size());
  mine.block = nowhere;
  if (members.front() == rank()) {
    const std::uint64_t block = pages.allocate_block(count);
    for (int i = 0; block != 0 && i < count; ++i) {
      pages.slot_of(block, i).world_rank = group_.world_rank(members[static_cast<std::size_t>(i)]);
    }
    mine.block = block;
  }
  queue(op, {}, {}, {}).wait();  // every first rank has laid out its group
  for (int i = 0; i < size(); ++i) {
    if (group_.slot_of(i).block == 0) {  // whose ever it is: nobody goes on to split the device's
      throw out_of_memory("[collectives] control pages for one more group", 0, 0);
    }
  }
  const std::uint64_t block = group_.slot_of(members.front()).block;
  const auto own = std::find(members.begin(), members.end(), rank()) - members.begin();
  const auto number = std::lower_bound(colors.begin(), colors.end(), color) - colors.begin();
  const executor::maker make = executor_->split(static_cast<int>(number), static_cast<int>(own));
  return std::make_unique<device_communicator>(lane_, block, static_cast<int>(own), this, make,
                                               memory_, backend_);
}

// ---- the lane ---------------------------------------------------------------------------------

void device_communicator::carry_out(std::uint64_t k) noexcept {
  try {
    if (group_.poisoned() == nullptr) post_and_run(k);
  } catch (...) {
    fail();
  }
  executor_->moving().store(false);
  bell& caller = group_.own_caller();
  carried_out_.store(k + 1);  // from here on this may be destroyed
  ring(caller);
}

void device_communicator::post_and_run(std::uint64_t k) {
  const record& r = records_[k % outstanding];
  lane_->queue().lane().wait(r.after);
  executor_->prepare(k);
  group_.post(k, r.op);
  // No deadline here: whoever waits for a completion has one, and ends this by poisoning.
  wait_on(
      group_.own_lane(), [&] { return group_.gate_open(k) || group_.poisoned() != nullptr; },
      steady::time_point::max());
  if (run(k, r)) group_.finish(k);
}

bool device_communicator::run(std::uint64_t k, const record& r) {
  trace_event event;
  event.name = r.name;
  event.where = zero::lane::communication;
  event.unit = r.op.tag;
  if (trace_ != nullptr) event.begin = trace_clock();
  // Either this sees the poison, or who threw it sees `moving` and waits for it.
  note_begin(r.place);
  executor_->moving().store(true);
  if (group_.poisoned() != nullptr) return false;
  bool went = false;
  try {
    went = executor_->run(k, r.own, patience());
  } catch (...) {
    executor_->conclude(k);  // some of it may be queued
    throw;
  }
  executor_->conclude(k);
  executor_->moving().store(false);
  if (went)
    note_end(r.place);  // queued by this rank: when the device has done it is its own affair
  if (went && trace_ != nullptr) {
    event.end = trace_clock();
    trace_->record(event);
  }
  return went;
}

}  // namespace zero::collectives
