#pragma once
// peer_table: what the ranks of one group on one device show each other: their events and their
// staging memory. In the memory of the process; the ranks are its threads.
//
// Each rank writes its own entry, before it posts the operation (or comes to the meeting) for which
// peers read it.

#include "device/executor.hpp"
#include "device/queue.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace zero::collectives {

struct peer {
  std::unique_ptr<event_ring> events;   // slots: see below
  std::atomic<bool> joined{false};      // events are there
  std::atomic<bool> moving{false};      // its lane may be queueing work
  std::atomic<std::uint64_t> begun{0};  // operations whose part it began to queue
  std::byte* staging = nullptr;         // of the device, once it was needed
};

// Slots of the event ring: per operation, its memory is ready; per operation, its part is done; two
// for meetings within operations, in turn.
inline constexpr std::size_t ready_slots = 0;
inline constexpr std::size_t done_slots = outstanding;
inline constexpr std::size_t meeting_slots = 2 * outstanding;
inline constexpr std::size_t event_slots = meeting_slots + 2;

struct peer_table {
  explicit peer_table(std::size_t size) : peers(size) {}
  std::vector<peer> peers;  // by rank of the group
};

// Tables by the group's block in the arena: one as long as a rank of that group has it.
class peer_tables {
 public:
  [[nodiscard]] std::shared_ptr<peer_table> of(std::uint64_t block, int size) {
    const std::lock_guard lock(mutex_);
    std::weak_ptr<peer_table>& known = tables_[block];
    std::shared_ptr<peer_table> table = known.lock();
    if (table == nullptr) {
      table = std::make_shared<peer_table>(static_cast<std::size_t>(size));
      known = table;
    }
    return table;
  }

 private:
  std::mutex mutex_;
  std::map<std::uint64_t, std::weak_ptr<peer_table>> tables_;
};

}  // namespace zero::collectives
