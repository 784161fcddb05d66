#pragma once
// arena_offer: how ranks that are processes of one machine (or threads) come to share an arena that
// none of them inherited. Rank 0 makes it and listens on a socket that has a name no one can guess
// and no file; each other rank names itself there and is handed the arena's descriptor.
//
// One thread.

#include "arena/local_socket.hpp"
#include "shared_memory/arena.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace zero::collectives {

class arena_offer {
 public:
  // Throws invalid_argument, out_of_memory, io_error.
  explicit arena_offer(int size);

  // What the others need to know, and nobody else should.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  // Blocks until every other rank has it. Throws peer_lost naming those who did not come.
  [[nodiscard]] std::shared_ptr<const arena> hand_out(std::chrono::milliseconds patience);

 private:
  std::shared_ptr<const arena> pages_;
  std::string name_;
  local_socket socket_;
};

// Rank `rank`'s side. Blocks. Throws peer_lost naming rank 0 when there is no answer.
[[nodiscard]] std::shared_ptr<const arena> accept_arena(const std::string& name, int rank,
                                                        std::chrono::milliseconds patience);

}  // namespace zero::collectives
