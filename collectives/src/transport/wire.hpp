#pragma once
// wire: one rank's end of a transport, for the world and every group split from it.
//
// Work goes in rounds. In each every rank of the world says what it is about to do, and then
// whatever has all its ranks there is done, by calls that all ranks make; a rank whose group is not
// complete says the same again in the next. So calls always match, whatever ranks want: also when
// they differ, when one has failed and when one leaves, after which nobody calls any more.
//
// One thread, but for abort. Allocates nothing after construction but errors.

#include "shared_memory/control.hpp"
#include "shared_memory/mover.hpp"

#include <zero/collectives/transport.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace zero::collectives {

// Where a rank sits in a group.
struct seat_on_wire {
  std::uint64_t group = 0;       // its name, which no other group has
  int rank = 0;                  // in it
  std::vector<int> world_ranks;  // by rank of the group
  std::vector<int> ascending;    // ranks of the group in the order of the world
};

class wire {
 public:
  // Collective; tries all functions.
  wire(std::shared_ptr<transport> means, world w);
  wire(const wire&) = delete;
  wire& operator=(const wire&) = delete;

  [[nodiscard]] const world& who() const noexcept { return who_; }

  // This rank's part of an operation. Blocks until it is done by the ranks of the group.
  void run(const seat_on_wire& seat, const operation& op, const placement& own);
  // Throws the first error there was; tells it the others first, if they do not know it.
  void check();
  // This rank failed with `why`; the others are told now.
  void fail(const std::exception_ptr& why) noexcept;
  // Likewise, later: see check. Any thread.
  void abort(const std::string& reason) noexcept;
  // The last call. Blocks until every rank makes its own, unless there has been an error.
  void leave() noexcept;

 private:
  enum class state : std::int32_t { works, failed, left };
  struct announcement {
    std::uint64_t group;
    std::int32_t group_size;
    state says;
    operation op;
  };
  // Why a rank failed.
  struct last_words {
    std::array<char, 512> text;
  };
  // Bytes between each two ranks of a group.
  struct volume {
    std::uint64_t exchanged = 0;  // a piece for each
    std::uint64_t spread = 0;     // the same for all
  };

  struct cargo;  // one rank's operation, and where its bytes are

  // A function of the transport that failed is the end: nobody knows how far the others came.
  template <typename Call>
  void through(Call call) {
    try {
      call();
    } catch (...) {
      is_over_ = true;
      keep(std::current_exception(), {}, true);
      throw;
    }
  }
  void try_functions();
  [[nodiscard]] bool take_part(state says, const cargo* own);
  void announce(state says, const cargo* own);
  [[nodiscard]] bool anybody(state says) const noexcept;
  [[nodiscard]] std::vector<int> whoever(state says) const;
  [[nodiscard]] bool hear();
  void tell() noexcept;
  void exchange_last_words();
  void agree() const;
  [[nodiscard]] bool is_complete(int world_rank) const noexcept;
  [[nodiscard]] volume largest() const;
  [[nodiscard]] static volume volume_of(const operation& op, int size) noexcept;
  void keep(std::exception_ptr why, const std::string& words, bool is_known) noexcept;

  void exchange(const cargo* own, std::uint64_t bytes);
  void spread(const cargo* own, std::uint64_t bytes, bool is_of_all);
  void take_exchanged(const cargo& own, std::uint64_t at, std::uint64_t length);

  std::shared_ptr<transport> means_;
  world who_;
  std::uint64_t chunk_;                    // bytes of a piece, at most
  std::vector<announcement> said_;         // by rank
  std::unique_ptr<std::byte[]> outgoing_;  // a chunk for each rank
  std::unique_ptr<std::byte[]> incoming_;  // likewise
  std::vector<const void*> from_;          // what is summed
  bool is_over_ = false;                   // no function is called any more
  std::atomic<bool> failed_{false};        // error_ is there
  std::mutex mutex_;                       // over what follows
  std::exception_ptr error_;
  bool is_known_ = true;  // by the others
  last_words words_{};
};

}  // namespace zero::collectives
