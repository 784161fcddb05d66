#include "nccl/arena_offer.hpp"

#include "device/poll.hpp"

#include <zero/base/error.hpp>

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <optional>
#include <utility>

namespace zero::collectives {
namespace {

std::string random_name() {
  std::uint64_t numbers[2];
  if (getrandom(numbers, sizeof numbers, 0) != static_cast<ssize_t>(sizeof numbers)) {
    throw io_error("getrandom", "", errno);
  }
  return "libzero-" + std::to_string(numbers[0]) + "-" + std::to_string(numbers[1]);
}

}  // namespace

arena_offer::arena_offer(int size)
    : pages_(std::make_shared<arena>(arena::create_exactly(size, 1))), name_(random_name()) {
  std::optional<local_socket> made = local_socket::listen(name_, size);
  if (!made) throw io_error("listening", name_, EADDRINUSE);
  socket_ = *std::move(made);
}

std::shared_ptr<const arena> arena_offer::hand_out(std::chrono::milliseconds patience) {
  const auto end = socket_clock::now() + patience;
  std::vector<int> missing;
  for (int rank = 1; rank < pages_->size(); ++rank) missing.push_back(rank);
  while (!missing.empty()) {
    if (!socket_.readable(end)) {
      throw peer_lost("[collectives.nccl] rank 0 waited for " +
                          std::string(missing.size() == 1 ? "rank " : "ranks ") +
                          format_ranks(missing) + " to come",
                      missing);
    }
    const std::optional<local_socket> peer = socket_.accept();
    if (!peer) continue;
    std::int32_t rank = -1;
    // Who went again stays among the missing.
    if (!peer->readable(end) || !peer->receive(&rank, sizeof rank)) continue;
    const auto found = std::find(missing.begin(), missing.end(), rank);
    if (found == missing.end()) continue;  // it gets no answer
    const char answer = 'a';
    if (peer->send(&answer, sizeof answer, pages_->file().descriptor())) missing.erase(found);
  }
  return pages_;
}

std::shared_ptr<const arena> accept_arena(const std::string& name, int rank,
                                          std::chrono::milliseconds patience) {
  const auto end = socket_clock::now() + patience;
  const auto lost = [&](const std::string& what) {
    return peer_lost("[collectives.nccl] rank " + std::to_string(rank) + " " + what +
                         " rank 0, which must be of the same machine",
                     {0});
  };
  local_socket own = local_socket::make();
  if (!poll([&] { return own.connect(name); }, patience)) throw lost("found no");
  const std::int32_t number = rank;
  if (!own.send(&number, sizeof number) || !own.readable(end)) throw lost("had no answer from");
  char answer = 0;
  int handed = -1;
  if (!own.receive(&answer, sizeof answer, &handed) || handed < 0) throw lost("was refused by");
  return std::make_shared<arena>(arena::attach(handed));
}

}  // namespace zero::collectives
