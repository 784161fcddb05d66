#include "tier_lane_mover.hpp"

#include <zero/base/error.hpp>

#include <algorithm>
#include <cstring>

namespace zero::offload {
namespace {

bool aligned(const void* memory, std::size_t alignment) {
  return reinterpret_cast<std::uintptr_t>(memory) % alignment == 0;
}

bool on_device(const move_request& what) { return what.place == memory_place::device; }

std::byte* resting(const move_request& what) { return what.store->in_place(what.record); }

void copy_here(void* to, const void* from, std::uint64_t bytes) {
  if (bytes > 0 && to != from) std::memcpy(to, from, bytes);
}

}  // namespace

mover::mover(copier& copies, const tier_lane_options& options)
    : copies_(copies),
      memory_(options.bounce_memory),
      block_bytes_(options.bounce_bytes),
      blocks_(options.bounces) {
  if (blocks_ > 0 && (memory_ == nullptr || block_bytes_ == 0)) {
    throw invalid_argument("[offload.tier_lane] bounces without memory");
  }
  free_.reserve(blocks_);
  for (std::size_t i = blocks_; i-- > 0;) free_.push_back(memory_ + i * block_bytes_);
}

std::string mover::name_of(const move_request& what) {
  const std::string record = " of record " + std::to_string(what.record);
  switch (what.kind) {
    case move_kind::fetch:
      return "the fetch" + record + " from";
    case move_kind::spill:
      return "the spill" + record + " to";
    case move_kind::amend:
      return "the change" + record + " on";
    case move_kind::copy_up:
      return "a copy to";
    case move_kind::copy_down:
      return "a copy from";
  }
  return "";
}

std::size_t mover::blocks_for(const move_request& what) const noexcept {
  if (what.store == nullptr) return 0;
  const bool rests = resting(what) != nullptr;
  if (what.kind == move_kind::amend) return (rests ? 0U : 1U) + (on_device(what) ? 1U : 0U);
  return !rests && on_device(what) ? 1U : 0U;
}

void mover::check(const move_request& what) const {
  const auto refuse = [&](const std::string& why) {
    throw invalid_argument("[offload.tier_lane] " + name_of(what) + " '" +
                           (what.store != nullptr ? what.store->name() : "device") + "': " + why);
  };
  const bool fetches = what.kind == move_kind::fetch;
  if (what.bytes > 0 && (fetches ? what.to : what.from) == nullptr) refuse("no memory");
  if (what.store == nullptr) {
    if (what.bytes > 0 && what.to == nullptr) refuse("no memory");
    return;
  }
  const tier_store& store = *what.store;
  if (what.record >= store.records()) refuse("of " + std::to_string(store.records()));
  const std::uint64_t whole = store.bytes(what.record);
  const bool amends = what.kind == move_kind::amend;
  if (!amends && what.bytes > whole) {
    refuse(std::to_string(what.bytes) + " bytes of " + std::to_string(whole));
  }
  if (amends && (what.change == nullptr || !*what.change)) refuse("no change");

  const std::size_t needed = blocks_for(what);
  if (needed > blocks_) {
    refuse("bounces: " + std::to_string(needed) + " needed of " + std::to_string(blocks_));
  }
  const bool rests = store.in_place(what.record) != nullptr;
  const std::uint64_t source = amends && on_device(what) ? what.bytes : 0;
  const std::uint64_t record = !rests && needed > 0 ? store.stride(what.record) : 0;
  if (std::max(source, record) > block_bytes_ && needed > 0) {
    refuse("bounces of " + std::to_string(block_bytes_) + " bytes for " +
           std::to_string(std::max(source, record)));
  }
  if (rests) return;
  const std::size_t alignment = store.alignment();
  if (needed > 0 ? !aligned(memory_, alignment) || block_bytes_ % alignment != 0
                 : whole > 0 && !aligned(fetches ? what.to : what.from, alignment)) {
    refuse("memory that is not aligned to " + std::to_string(alignment) + " bytes");
  }
}

bool mover::can_begin(const move_request& what) const { return blocks_for(what) <= free_.size(); }

std::byte* mover::take_block() noexcept {
  std::byte* const block = free_.back();
  free_.pop_back();
  return block;
}

void mover::give_back(std::byte*& block) noexcept {
  if (block != nullptr) free_.push_back(block);
  block = nullptr;
}

void mover::copy(move& m, const void* from, void* to, copy_way way) {
  if (m.what.bytes == 0) return;
  (way == copy_way::up ? up_ : down_).fetch_add(m.what.bytes, std::memory_order_relaxed);
  busy_time& timed = way == copy_way::up ? copying_up_ : copying_down_;
  const std::int64_t begun = trace_clock();
  m.copied = {copies_.copy(from, to, m.what.bytes, way), ++transfers_, nullptr};
  timed.begin(begun);
  if (m.copied.done.ready()) {  // a copier of the host is done by now, whenever we look again
    timed.end(trace_clock());
  } else {
    m.copied.timed = &timed;
  }
}

void mover::read(move& m, void* to) {
  read_.fetch_add(m.what.store->stride(m.what.record), std::memory_order_relaxed);
  const std::int64_t begun = trace_clock();
  m.stored = {m.what.store->read(m.what.record, to), ++transfers_, &reading_};
  reading_.begin(begun);
}

void mover::write(move& m, const void* from) {
  written_.fetch_add(m.what.store->stride(m.what.record), std::memory_order_relaxed);
  const std::int64_t begun = trace_clock();
  m.stored = {m.what.store->write(m.what.record, from), ++transfers_, &writing_};
  writing_.begin(begun);
}

void mover::begin(move& m) {
  m.begun = trace_clock();
  m.now = move::step::first;
  switch (m.what.kind) {
    case move_kind::fetch:
      return begin_fetch(m);
    case move_kind::spill:
      return begin_spill(m);
    case move_kind::amend:
      return begin_amend(m);
    case move_kind::copy_up:
      return copy(m, m.what.from, m.what.to, copy_way::up);
    case move_kind::copy_down:
      return copy(m, m.what.from, m.what.to, copy_way::down);
  }
}

void mover::begin_fetch(move& m) {
  const std::byte* const rests = resting(m.what);
  if (rests != nullptr && on_device(m.what)) {
    copy(m, rests, m.what.to, copy_way::up);
  } else if (rests != nullptr) {
    copy_here(m.what.to, rests, m.what.bytes);
  } else {
    if (on_device(m.what)) m.record_block = take_block();
    read(m, on_device(m.what) ? m.record_block : m.what.to);
  }
}

void mover::begin_spill(move& m) {
  std::byte* const rests = resting(m.what);
  if (on_device(m.what)) {
    if (rests == nullptr) m.record_block = take_block();
    copy(m, m.what.from, rests != nullptr ? rests : m.record_block, copy_way::down);
  } else if (rests != nullptr) {
    copy_here(rests, m.what.from, m.what.bytes);
  } else {
    write(m, m.what.from);
  }
}

void mover::begin_amend(move& m) {
  if (on_device(m.what)) {
    m.source_block = take_block();
    copy(m, m.what.from, m.source_block, copy_way::down);
  }
  if (resting(m.what) != nullptr) return;
  m.record_block = take_block();
  read(m, m.record_block);
}

// What comes after the transfers of the step it is at.
void mover::go_on(move& m) {
  const bool first = m.now == move::step::first;
  m.now = move::step::second;
  if (first && m.what.kind == move_kind::amend) {
    std::byte* const rests = resting(m.what);
    const void* const source = on_device(m.what) ? m.source_block : m.what.from;
    (*m.what.change)(source, rests != nullptr ? rests : m.record_block,
                     m.what.store->bytes(m.what.record));
    give_back(m.source_block);
    if (rests == nullptr) return write(m, m.record_block);
  } else if (first && m.record_block != nullptr) {
    if (m.what.kind == move_kind::fetch) {
      return copy(m, m.record_block, m.what.to, copy_way::up);
    }
    return write(m, m.record_block);
  }
  finish(m);
}

void mover::finish(move& m) noexcept {
  give_back(m.source_block);
  give_back(m.record_block);
  m.now = move::step::finished;
}

// Whether the store has done its part. Its transfers are done in the order in which they were
// queued, so of those that are not the first is enough to ask for.
bool mover::arrived(const move& m) noexcept {
  asked* free = nullptr;
  for (asked& a : unready_) {
    if (a.store == m.what.store && a.number < m.stored.number) return false;
    if (a.store == nullptr && free == nullptr) free = &a;
  }
  if (m.stored.done.ready()) return true;
  if (free != nullptr) *free = {m.what.store, m.stored.number};
  return false;
}

bool mover::advance(move& m) {
  const bool copied = m.copied.number != 0 && m.copied.done.ready();
  if (copied) wait_for(m.copied);
  const bool stored = m.stored.number != 0 && arrived(m);
  if (stored) wait_for(m.stored);
  if (m.copied.number != 0 || m.stored.number != 0) return copied || stored;
  go_on(m);
  return true;
}

// Of a record that was read this compares the checksum.
void mover::wait_for(move::transfer& t) {
  t.done.wait();
  t.number = 0;
  if (t.timed != nullptr) t.timed->end(trace_clock());
  t.timed = nullptr;
}

void mover::give_up(move& m) noexcept {
  for (move::transfer* const t : {&m.copied, &m.stored}) {
    if (t->number == 0) continue;
    t->number = 0;
    try {
      t->done.wait();
    } catch (...) {  // the first error is the one that counts
    }
  }
  finish(m);
}

tier_traffic mover::traffic() const noexcept {
  return {up_.load(std::memory_order_relaxed),
          down_.load(std::memory_order_relaxed),
          read_.load(std::memory_order_relaxed),
          written_.load(std::memory_order_relaxed),
          copying_up_.total(),
          copying_down_.total(),
          reading_.total(),
          writing_.total(),
          std::chrono::nanoseconds(0)};
}

}  // namespace zero::offload
