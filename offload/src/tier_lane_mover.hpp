#pragma once
// What a tier_lane does with one move: which transfers it takes, through which block of the bounce
// memory, and what comes after each.
//
// A move is at rest between calls: begin() and advance() queue transfers and return. Checks and
// names may be asked by any thread, everything else by the lane's alone. Nothing is allocated
// after construction unless an error is thrown.

#include <zero/offload/tier_lane.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace zero::offload {

enum class move_kind : unsigned char { fetch, spill, amend, copy_up, copy_down };

// As it was asked for.
struct move_request {
  move_kind kind = move_kind::fetch;
  memory_place place = memory_place::host;  // of what is not the record
  tier_store* store = nullptr;              // none of a copy
  std::size_t record = 0;
  const void* from = nullptr;  // of all but a fetch
  void* to = nullptr;          // of a fetch and a copy
  std::uint64_t bytes = 0;     // of what is not the record
  const amendment* change = nullptr;
  int tag = -1;

  [[nodiscard]] bool is_fetch() const noexcept {
    return kind == move_kind::fetch || kind == move_kind::copy_up;
  }
  [[nodiscard]] bool changes_record() const noexcept {
    return kind == move_kind::spill || kind == move_kind::amend;
  }
  // Whether one of the two must be over before the other may begin.
  [[nodiscard]] bool collides(const move_request& other) const noexcept {
    return store != nullptr && store == other.store && record == other.record &&
           (changes_record() || other.changes_record());
  }
};

// How long at least one of several was under way. Begun and ended by the lane's thread, read by
// any.
class busy_time {
 public:
  void begin(std::int64_t now) noexcept {
    if (open_++ == 0) since_ = now;
  }
  void end(std::int64_t now) noexcept {
    if (--open_ == 0) total_.fetch_add(now - since_, std::memory_order_relaxed);
  }
  [[nodiscard]] std::chrono::nanoseconds total() const noexcept {
    return std::chrono::nanoseconds(total_.load(std::memory_order_relaxed));
  }

 private:
  std::size_t open_ = 0;
  std::int64_t since_ = 0;  // trace_clock()
  std::atomic<std::int64_t> total_{0};
};

// As far as it has come. Of its own transfers at most one is under way with the copier and one
// with the store.
struct move {
  struct transfer {
    completion done;
    std::uint64_t number = 0;    // counts the lane's; 0: none under way
    busy_time* timed = nullptr;  // of its direction, unless it was done at once
  };
  enum class step : unsigned char { waiting, first, second, finished };

  move_request what;
  step now = step::waiting;
  transfer copied;
  transfer stored;
  std::byte* source_block = nullptr;  // on its way from a device
  std::byte* record_block = nullptr;  // the record, between a store and where it is wanted
  std::int64_t begun = 0;             // trace_clock()
};

class mover {
 public:
  mover(copier& copies, const tier_lane_options& options);
  mover(const mover&) = delete;
  mover& operator=(const mover&) = delete;

  // Throws invalid_argument for what can never be.
  void check(const move_request& what) const;
  // "the fetch of record 3 from", before the name of a store.
  [[nodiscard]] static std::string name_of(const move_request& what);

  // Whether the bounce blocks it needs are free.
  [[nodiscard]] bool can_begin(const move_request& what) const;
  void begin(move& m);
  // Before going through moves to advance them: stores are asked anew.
  void look_again() noexcept { unready_ = {}; }
  // Takes what has been transferred and queues what comes then. False if nothing has changed.
  bool advance(move& m);
  // Blocks until it is done.
  static void wait_for(move::transfer& t);
  // Blocks until no memory is in use for it any more, and ends it.
  void give_up(move& m) noexcept;

  [[nodiscard]] tier_traffic traffic() const noexcept;

 private:
  // A transfer that was not done when it was asked for; later ones of the store are not, then.
  struct asked {
    const tier_store* store = nullptr;
    std::uint64_t number = 0;
  };

  [[nodiscard]] bool arrived(const move& m) noexcept;
  [[nodiscard]] std::size_t blocks_for(const move_request& what) const noexcept;
  [[nodiscard]] std::byte* take_block() noexcept;
  void give_back(std::byte*& block) noexcept;
  void copy(move& m, const void* from, void* to, copy_way way);
  void read(move& m, void* to);
  void write(move& m, const void* from);
  void begin_fetch(move& m);
  void begin_spill(move& m);
  void begin_amend(move& m);
  void go_on(move& m);
  void finish(move& m) noexcept;

  copier& copies_;
  std::byte* memory_;
  std::uint64_t block_bytes_;
  std::size_t blocks_;
  std::vector<std::byte*> free_;
  std::uint64_t transfers_ = 0;
  std::array<asked, 4> unready_;
  busy_time copying_up_;
  busy_time copying_down_;
  busy_time reading_;
  busy_time writing_;
  std::atomic<std::uint64_t> up_{0};
  std::atomic<std::uint64_t> down_{0};
  std::atomic<std::uint64_t> read_{0};
  std::atomic<std::uint64_t> written_{0};
};

}  // namespace zero::offload
