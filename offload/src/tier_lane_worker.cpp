#include "tier_lane_worker.hpp"

#include <zero/base/error.hpp>

#include <algorithm>
#include <cerrno>
#include <limits>

namespace zero::offload {

tier_lane::worker::worker(copier& copies, const tier_lane_options& options)
    : mover_(copies, options), deadline_(options.deadline), ring_(options.depth) {
  if (options.depth == 0) throw invalid_argument("[offload.tier_lane] a depth of 0");
  fetches_.owner = this;
  spills_.owner = this;
  thread_ = std::thread([this] { run(); });
}

tier_lane::worker::~worker() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  queued_more_.notify_one();
  thread_.join();  // stores and copier bound how long a transfer takes
  // Other lanes may wait for a move of this one still: they are told, and gone first.
  std::unique_lock<std::mutex> lock(mutex_);
  if (waiting_ > 0 && error_ == nullptr) {
    error_ = std::make_exception_ptr(
        invalid_argument("[offload.tier_lane] ended while a move was waited for"));
    failed_.store(true, std::memory_order_release);
  }
  changed_.notify_all();
  changed_.wait(lock, [&] { return waiting_ == 0; });
}

// Blocks until it is over, as long as moves end; throws the first error, which may be that for a
// deadline none has. find() says what is waited for.
template <typename Find, typename Condition>
void tier_lane::worker::await(std::unique_lock<std::mutex>& lock, Find find, Condition over) {
  ++waiting_;
  struct leaving {  // the lock is held still
    worker& lane;
    ~leaving() {
      if (--lane.waiting_ == 0) lane.changed_.notify_all();
    }
  } const left{*this};
  while (error_ == nullptr && !over()) {
    const std::uint64_t seen = ends_;
    const bool in_time = changed_.wait_for(
        lock, deadline_, [&] { return error_ != nullptr || over() || ends_ != seen; });
    if (in_time) continue;
    const move_request& late = find().m.what;
    error_ = std::make_exception_ptr(
        io_error("[offload.tier_lane] waiting for " + mover::name_of(late),
                 late.store != nullptr ? late.store->name() : "device", ETIMEDOUT));
    failed_.store(true, std::memory_order_release);
    changed_.notify_all();
    queued_more_.notify_one();
  }
  if (error_ != nullptr) std::rethrow_exception(error_);
}

completion tier_lane::worker::queue(const move_request& what) {
  mover_.check(what);
  std::unique_lock<std::mutex> lock(mutex_);
  await(
      lock, [&]() -> place& { return at(ended_); },
      [&] { return queued_ - ended_ < ring_.size(); });
  place& p = at(queued_++);
  p.m.what = what;
  p.m.now = move::step::waiting;
  p.side = what.is_fetch() ? &fetches_ : &spills_;
  p.ticket = ++p.side->queued;
  const completion ticket(*p.side, p.ticket);
  lock.unlock();
  queued_more_.notify_one();
  return ticket;
}

void tier_lane::worker::wait(tickets& side, std::uint64_t ticket) {
  const auto over = [&] { return side.done.load(std::memory_order_acquire) >= ticket; };
  if (over() && !failed_.load(std::memory_order_acquire)) return;
  std::unique_lock<std::mutex> lock(mutex_);
  const auto find = [&]() -> place& {
    std::uint64_t number = ended_;
    while (at(number).side != &side || at(number).ticket != ticket) ++number;
    return at(number);
  };
  await(lock, find, over);
}

void tier_lane::worker::drain() {
  std::unique_lock<std::mutex> lock(mutex_);
  const std::uint64_t all = queued_;
  await(
      lock, [&]() -> place& { return at(ended_); }, [&] { return ended_ >= all; });
}

// ---- the lane's thread -------------------------------------------------------------------------

void tier_lane::worker::run() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    queued_more_.wait(
        lock, [&] { return stop_ || first_ < begun_ || (error_ == nullptr && begun_ < queued_); });
    if (stop_ && first_ == begun_) return;
    const std::exception_ptr failed = error_;
    const bool over = stop_ || failed != nullptr;
    const std::uint64_t seen = queued_;
    lock.unlock();
    bool changed = true;
    try {
      if (failed != nullptr) std::rethrow_exception(failed);  // somebody has waited too long
      changed = turn(over ? begun_ : seen) || wait_for_oldest();
    } catch (...) {
      give_up(std::current_exception());
    }
    lock.lock();
    if (changed) {
      if (napped_) usual_ += (clock::now() - still_since_ - usual_) / 4;
      still_since_ = clock::now();
      napped_ = false;
      continue;
    }
    napped_ = !queued_more_.wait_for(
        lock, nap(), [&] { return queued_ != seen || over != (stop_ || error_ != nullptr); });
  }
}

// Several stores, or a store and copies, cannot be waited for together: they are asked from time to
// time. The first time after half of what it usually takes until something changes: a long
// transfer costs little, and a short one does not seem long.
tier_lane::worker::clock::duration tier_lane::worker::nap() const {
  using std::chrono::microseconds;
  const bool first = clock::now() - still_since_ < usual_ / 2;
  return std::clamp<clock::duration>(usual_ / (first ? 2 : 4), microseconds(20),
                                     microseconds(1000));
}

bool tier_lane::worker::turn(std::uint64_t until) {
  bool changed = false;
  mover_.look_again();
  // Following one may end others before which it stood: their places are not ours any more.
  for (std::uint64_t n = first_; n < begun_; n = std::max(n + 1, first_)) changed |= follow(at(n));
  // One at a time: what is under way does not wait for all that could begin.
  if (begun_ < until && may_begin(at(begun_).m)) {
    place& p = at(begun_++);
    moving_.begin(trace_clock());
    mover_.begin(p.m);
    follow(p);
    changed = true;
  }
  return changed;
}

bool tier_lane::worker::may_begin(const move& m) {
  std::size_t of_store = 0;
  for (std::uint64_t n = first_; n < begun_; ++n) {
    const move& other = at(n).m;
    if (other.now == move::step::finished) continue;
    if (m.what.collides(other.what)) return false;
    if (other.what.store != nullptr && other.what.store == m.what.store) ++of_store;
  }
  if (of_store > 0 && m.what.store->in_place(m.what.record) == nullptr &&
      of_store >= m.what.store->depth()) {
    return false;
  }
  return mover_.can_begin(m.what);
}

bool tier_lane::worker::follow(place& p) {
  if (p.m.now == move::step::finished) return false;
  bool changed = false;
  while (p.m.now != move::step::finished && mover_.advance(p.m)) changed = true;
  if (p.m.now != move::step::finished) return changed;
  moving_.end(trace_clock());
  if (trace_recorder* const recorder = trace_.load(std::memory_order_relaxed)) {
    const bool in = p.m.what.is_fetch();
    recorder->record({in ? "fetch" : "spill", in ? lane::copy_in : lane::copy_out, p.m.what.tag,
                      p.m.begun, trace_clock()});
  }
  publish();
  return true;
}

// Tells which moves are over: of each side those that have no unfinished one before them.
void tier_lane::worker::publish() {
  bool fetch_open = false, spill_open = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (std::uint64_t n = first_; n < begun_ && !(fetch_open && spill_open); ++n) {
      place& p = at(n);
      bool& open = p.side == &fetches_ ? fetch_open : spill_open;
      if (p.m.now != move::step::finished) {
        open = true;
      } else if (!open) {
        p.side->done.store(p.ticket, std::memory_order_release);
      }
    }
    while (first_ < begun_ && at(first_).m.now == move::step::finished) ++first_;
    ended_ = first_;
    ++ends_;
  }
  changed_.notify_all();
}

// Blocks until the oldest transfer is done, if all under way are of one store or all are copies:
// then none of the others can be done long before it.
bool tier_lane::worker::wait_for_oldest() {
  move* oldest = nullptr;
  std::uint64_t lowest = std::numeric_limits<std::uint64_t>::max();
  const tier_store* only = nullptr;
  for (std::uint64_t n = first_; n < begun_; ++n) {
    move& m = at(n).m;
    for (const move::transfer* const t : {&m.copied, &m.stored}) {
      if (t->number == 0) continue;
      const tier_store* const store = t == &m.stored ? m.what.store : nullptr;
      if (oldest != nullptr && store != only) return false;
      only = store;
      if (t->number >= lowest) continue;
      lowest = t->number;
      oldest = &m;
    }
  }
  if (oldest == nullptr) return false;
  mover::wait_for(only != nullptr ? oldest->stored : oldest->copied);
  return true;
}

// Waits until none of the memory is in use, and only then tells why.
void tier_lane::worker::give_up(const std::exception_ptr& why) noexcept {
  for (std::uint64_t n = first_; n < begun_; ++n) mover_.give_up(at(n).m);
  first_ = begun_;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (error_ == nullptr) error_ = why;
    failed_.store(true, std::memory_order_release);
  }
  changed_.notify_all();
}

}  // namespace zero::offload
