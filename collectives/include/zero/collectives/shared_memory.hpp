#pragma once
// shared_memory: ranks are threads of one process or processes of one machine over one arena of
// shared anonymous memory (a memfd; it has no name and leaves nothing behind).
//
// The arena is created once, by whoever starts the ranks, and handed down as a file descriptor.

#include <zero/collectives/communicator.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#pragma GCC visibility push(default)
namespace zero::collectives {

class shared_memory_world {
 public:
  // An arena for `size` >= 1 ranks. bytes_per_rank bounds what each rank can allocate from
  // memory(); it costs addresses, not memory, until used; 0 takes the machine's memory size.
  // Throws out_of_memory or io_error.
  [[nodiscard]] static shared_memory_world create(int size, std::uint64_t bytes_per_rank = 0);

  // The arena behind a descriptor inherited from the process that created it. Takes the
  // descriptor over unless it throws: invalid_argument if it is no arena of this version.
  [[nodiscard]] static shared_memory_world attach(int descriptor);

  shared_memory_world(shared_memory_world&&) noexcept;
  shared_memory_world& operator=(shared_memory_world&&) noexcept;
  ~shared_memory_world();

  [[nodiscard]] int size() const noexcept;
  // For handing down; close-on-exec is set, clear it in the child that should have it.
  [[nodiscard]] int descriptor() const noexcept;

  // This rank's communicator. Each rank joins once. Does not block. Thread-safe. The world may be
  // destroyed before the communicator.
  [[nodiscard]] std::unique_ptr<communicator> join(int rank);

  // Whether it has.
  [[nodiscard]] bool has_joined(int rank) const;

  // What a rank last gave of itself, for whoever started it: when it moved (communicator::
  // set_deadline says what that is), by the trace clock in nanoseconds, and how long others wait
  // for it when it does not. Nothing until it has joined.
  struct life_sign {
    std::int64_t moved;
    std::chrono::milliseconds deadline;
  };
  [[nodiscard]] std::optional<life_sign> sign_of_life(int rank) const;

  // Tells every rank that `rank` is gone: their waits throw peer_lost naming it, with `reason`.
  // For the parent that saw a child die. The first report stays. Thread-safe.
  void report_lost(int rank, const std::string& reason) noexcept;

 private:
  struct [[gnu::visibility("hidden")]] arena;
  explicit shared_memory_world(std::shared_ptr<arena> mapped) noexcept;
  std::shared_ptr<arena> arena_;
};

}  // namespace zero::collectives
#pragma GCC visibility pop
