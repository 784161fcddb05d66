#pragma once
// process_watch: notices when the process of a peer on this machine is gone, and tells all ranks. A
// thread of its own beside the work: it sleeps until the kernel says that a process has ended.
//
// It shares no lock with anyone and allocates nothing until it has something to report. Where the
// kernel has no pidfd (before Linux 5.3) or processes cannot see each other, deadlines are all
// there is.

#include "shared_memory/arena.hpp"

#include <poll.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace zero::collectives {

// Poisons the group in `block`, if nothing did before, and wakes its ranks: those named are lost.
void report_lost(const arena& pages, std::uint64_t block, const std::vector<int>& world_ranks,
                 const std::string& reason) noexcept;

class process_watch {
 public:
  // Says of rank `own` of the world that it is in this process, and watches the processes of all
  // other ranks of the group in `block` from when they do the same. Ranks of this process need no
  // watching: the thread ends when it finds that all are. Throws error of class resource.
  process_watch(std::shared_ptr<const arena> pages, std::uint64_t block, int own);
  process_watch(const process_watch&) = delete;
  process_watch& operator=(const process_watch&) = delete;
  ~process_watch();

 private:
  using clock = std::chrono::steady_clock;
  struct peer {
    int world_rank = -1;
    bool is_known = false;     // its process is, and needs no more looking for
    std::int32_t process = 0;  // that ended and is to be reported
    clock::time_point report_at = clock::time_point::max();
  };

  void run() noexcept;
  [[nodiscard]] bool admit(std::size_t index) noexcept;
  [[nodiscard]] bool all_known() const noexcept;
  void take_note(std::size_t index) noexcept;
  void report_due();
  [[nodiscard]] bool has_left(std::size_t index) const noexcept;

  std::shared_ptr<const arena> pages_;
  std::uint64_t block_;
  std::vector<peer> peers_;      // by rank of the group
  std::vector<pollfd> watched_;  // the same, and last what ends the thread
  std::thread thread_;
};

}  // namespace zero::collectives
