// The calling thread's side: construction, queueing, waiting, split.
#include "shared_memory/shared_memory_communicator.hpp"

#include "shared_memory/desync.hpp"
#include "shared_memory/poison.hpp"

#include <zero/base/error.hpp>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

namespace zero::collectives {
namespace {

constexpr std::int64_t longest_deadline = 1000LL * 3600 * 24 * 365;  // so that sums do not wrap

}  // namespace

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
  op.source = nowhere;
  std::strncpy(op.name.data(), how.name, op.name.size() - 1);
  return op;
}

shared_memory_communicator::shared_memory_communicator(const std::shared_ptr<const arena>& pages,
                                                       std::uint64_t block, int rank,
                                                       const shared_memory_communicator* around)
    : shared_memory_communicator(seat{{rank, static_cast<int>(pages->block(block).size)},
                                      pages,
                                      block,
                                      rank,
                                      pages->slot_of(block, rank).world_rank,
                                      around,
                                      agreement::inside}) {
  open();
}

shared_memory_communicator::shared_memory_communicator(const seat& s)
    : communicator(s.who),
      pages_(s.pages),
      own_segment_(s.around != nullptr ? nullptr
                                       : std::make_unique<segment>(
                                             pages_->file(), pages_->segment_offset(s.world_rank),
                                             pages_->header().bytes_per_rank)),
      segment_(s.around != nullptr ? s.around->segment_ : own_segment_.get()),
      group_(*pages_, s.block, s.local_rank, s.around != nullptr ? &s.around->group_ : nullptr,
             s.where),
      is_world_(s.around == nullptr),
      mover_(group_),
      deadline_(s.around != nullptr ? s.around->deadline_.load() : initial_deadline) {}

void shared_memory_communicator::open() {
  segment_->add_observer(*this);
  if (alone()) return;
  try {
    if (is_world_) {
      watch_ = std::make_unique<process_watch>(pages_, group_.block(), own_world_rank());
    }
    start_lane();
  } catch (const std::exception& why) {
    segment_->remove_observer(*this);
    watch_.reset();
    group_.leave();
    left_ = true;
    throw error(std::string("[collectives.shared_memory] starting a lane: ") + why.what(),
                error_class::resource);
  }
}

shared_memory_communicator::~shared_memory_communicator() {
  if (left_) return;
  end_lane();
  leave();
}

void shared_memory_communicator::end_lane() noexcept {
  const std::uint64_t queued = queued_.load();
  if (queued > group_.completed() && group_.poisoned() == nullptr) {
    const int me = own_world_rank();
    group_.poison(
        error_class::peer_lost, {me},
        "rank " + std::to_string(me) + " left with " + group_.title(queued - 1) + " outstanding");
  }
  stop_.store(true);
  ring(group_.own_lane());
  if (lane_.joinable()) lane_.join();
}

void shared_memory_communicator::leave() noexcept {
  if (std::exchange(left_, true)) return;
  segment_->remove_observer(*this);
  watch_.reset();
  group_.leave();
}

bool shared_memory_communicator::move(std::uint64_t k, const placement& own) {
  return mover_.run(k, own, patience());
}

void shared_memory_communicator::set_deadline(std::chrono::milliseconds deadline) noexcept {
  deadline_.store(std::clamp<std::int64_t>(deadline.count(), 0, longest_deadline));
  if (is_world_) pages_->entry(own_world_rank()).deadline.store(deadline_.load());
}

steady::duration shared_memory_communicator::patience() const noexcept {
  return std::chrono::milliseconds(deadline_.load());
}

void shared_memory_communicator::abort(const std::string& reason) noexcept {
  const int me = own_world_rank();
  group_.poison(error_class::peer_lost, {me}, "rank " + std::to_string(me) + " aborted: " + reason);
}

// ---- queueing ---------------------------------------------------------------------------------

completion shared_memory_communicator::do_all_gather(const_typed_span shard, typed_span full,
                                                     const call& how) {
  return queue(make_operation(operation_kind::all_gather, shard.type, full.type, shard.count, how),
               shard, full, how);
}

completion shared_memory_communicator::do_reduce_scatter(const_typed_span full, typed_span shard,
                                                         write_mode mode, const call& how) {
  operation op =
      make_operation(operation_kind::reduce_scatter, full.type, shard.type, shard.count, how);
  op.mode = mode;
  return queue(op, full, shard, how);
}

completion shared_memory_communicator::do_all_to_all(const_typed_span in, typed_span out,
                                                     const call& how) {
  const std::uint64_t piece = in.count / static_cast<std::uint64_t>(size());
  return queue(make_operation(operation_kind::all_to_all, in.type, out.type, piece, how), in, out,
               how);
}

completion shared_memory_communicator::do_all_reduce(typed_span data, const call& how) {
  return queue(make_operation(operation_kind::all_reduce, data.type, data.type, data.count, how),
               data, data, how);
}

completion shared_memory_communicator::do_broadcast(typed_span data, int root, const call& how) {
  operation op = make_operation(operation_kind::broadcast, data.type, data.type, data.count, how);
  op.root = root;
  return queue(op, data, data, how);
}

completion shared_memory_communicator::do_barrier(const call& how) {
  return queue(make_operation(operation_kind::barrier, dtype::byte, dtype::byte, 0, how), {}, {},
               how);
}

completion shared_memory_communicator::queue(operation op, const_typed_span in, typed_span out,
                                             const call& how) {
  check_usable();
  const std::uint64_t k = queued_.load();
  if (k >= group_.completed() + ring_size) wait(k - ring_size);
  const bool can_begin = alone() || how.after.ready();
  if (can_begin) wait_for_work_before(how);

  record& r = records_[k % ring_size];
  r.after = how.after;
  r.name = *how.name != '\0' ? how.name : name_of(op.kind);
  r.place = take_place();
  r.op = op;
  place(r, in, out);
  const bool is_read = op.kind != operation_kind::broadcast || op.root == rank();
  if (!alone() && is_read && r.op.source == nowhere) traffic_.staged += in.bytes();
  // What cannot be posted at once keeps what follows back, so that posts stay in order.
  r.posted = can_begin && posted_.load() == k;
  const bool posts = r.posted;
  queued_.store(k + 1);  // from here on the lane may read the record
  if (posts) {
    group_.post(k, r.op);
    posted_.store(k + 1);
  } else {
    ring(group_.own_lane());
  }
  if (alone()) static_cast<void>(run(k, r));
  return {*this, k};
}

// Puts in the addresses of the arena's own mapping where there are such, whatever address the
// caller named the memory by: mappings may go once the completion is waited for, and one block at
// two addresses is seen to be one.
void shared_memory_communicator::place(record& r, const_typed_span in,
                                       typed_span out) const noexcept {
  std::byte* const shared_in = segment_->resolve(in.data, in.bytes());
  std::byte* const shared_out = segment_->resolve(out.data, out.bytes());
  r.own.in = shared_in != nullptr ? shared_in : static_cast<const std::byte*>(in.data);
  r.own.out = shared_out != nullptr ? shared_out : static_cast<std::byte*>(out.data);
  r.in_bytes = in.bytes();
  r.out_bytes = out.bytes();
  r.op.source = shared_in != nullptr ? pages_->file().offset_of(shared_in)
                : in.count == 0      ? 0  // nothing of it is read
                                     : nowhere;
}

void shared_memory_communicator::wait_for_work_before(const call& how) {
  try {
    how.after.wait();
  } catch (...) {
    fail();
    throw;
  }
}

void shared_memory_communicator::check_nothing_outstanding() const {
  if (queued_.load() <= group_.completed()) return;
  throw invalid_argument("[collectives] split with " + group_.title(queued_.load() - 1) +
                         " outstanding");
}

std::unique_ptr<communicator> shared_memory_communicator::do_split(int color, int key) {
  check_usable();
  check_nothing_outstanding();
  const operation op = make_operation(operation_kind::split, dtype::byte, dtype::byte, 0, call{});
  slot& mine = group_.slot_of(rank());
  mine.color = color;
  mine.key = key;
  queue(op, {}, {}, {}).wait();  // all have said their color

  std::vector<int> members;
  for (int i = 0; i < size(); ++i) {
    if (group_.slot_of(i).color == color) members.push_back(i);
  }
  std::stable_sort(members.begin(), members.end(),
                   [&](int a, int b) { return group_.slot_of(a).key < group_.slot_of(b).key; });
  const int count = static_cast<int>(members.size());
  if (members.front() == rank()) {
    const std::uint64_t block = pages_->allocate_block(count);
    for (int i = 0; block != 0 && i < count; ++i) {
      pages_->slot_of(block, i).world_rank =
          group_.world_rank(members[static_cast<std::size_t>(i)]);
    }
    mine.block = block;
  }
  queue(op, {}, {}, {}).wait();  // every first rank has laid out its group
  const std::uint64_t block = group_.slot_of(members.front()).block;
  if (block == 0) {
    throw out_of_memory("[collectives.shared_memory] control pages for one more group", 0, 0);
  }
  const auto own = std::find(members.begin(), members.end(), rank());
  return std::make_unique<shared_memory_communicator>(
      pages_, block, static_cast<int>(own - members.begin()), this);
}

// ---- waiting ----------------------------------------------------------------------------------

void shared_memory_communicator::wait(std::uint64_t ticket) {
  const auto over = [&] {
    return group_.completed() > ticket || group_.poisoned() != nullptr || forsaken(ticket);
  };
  for (;;) {
    check_usable();
    const std::uint64_t before = group_.completed();
    if (before > ticket) return;
    if (forsaken(ticket)) {
      poison_forsaken(ticket);
      continue;
    }
    const steady::duration limit = patience();
    if (group_.wait_for(group_.own_caller(), over, ticket, limit)) continue;
    if (!poison_late(ticket, limit)) continue;  // slow, but it goes on
    if (group_.poisoned() == nullptr && group_.completed() == before) {
      // A peer died while it wrote down the first error.
      throw peer_lost("[collectives] no answer, and no error to be read", {});
    }
  }
}

bool shared_memory_communicator::ready(std::uint64_t ticket) const noexcept {
  return group_.completed() > ticket || group_.poisoned() != nullptr || forsaken(ticket);
}

void shared_memory_communicator::check_usable() const {
  const poison_record* const poison = group_.poisoned();
  if (poison == nullptr) return;
  // Who catches this frees the memory. The lane stops at the end of its piece.
  ring(group_.own_lane());
  wait_on(
      group_.own_caller(), [&] { return !moving_.load(); }, steady::time_point::max());
  try {
    if (failed_.load()) std::rethrow_exception(own_error_);
    throw_poison(*poison, backend());
  } catch (...) {
    record_caught();
    throw;
  }
}

void shared_memory_communicator::before_release(const std::byte* block,
                                                std::uint64_t bytes) noexcept {
  const auto touches = [&](const std::byte* first, std::uint64_t count) {
    return count > 0 && first < block + bytes && block < first + count;
  };
  for (std::uint64_t k = group_.completed(); k < queued_.load(); ++k) {
    const record& r = records_[k % ring_size];
    if (!touches(r.own.in, r.in_bytes) && !touches(r.own.out, r.out_bytes)) continue;
    const int me = own_world_rank();
    group_.poison(error_class::peer_lost, {me},
                  "rank " + std::to_string(me) + " freed memory of " + group_.title(k) +
                      ", which is outstanding");
    return;
  }
}

}  // namespace zero::collectives
