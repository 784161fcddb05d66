#include "value_staging.hpp"

#include <zero/base/error.hpp>

#include <algorithm>
#include <cstring>
#include <string>

namespace zero::client {

value_staging::value_staging(optim::processor& work, memory_resource& memory)
    : work_(work), memory_(memory) {
  if (work_.place() == memory_place::host) return;
  here_ = work_.host_memory().allocate(piece_bytes);
  try {
    there_ = memory_.allocate(piece_bytes);
  } catch (...) {
    work_.host_memory().deallocate(here_, piece_bytes);
    throw;
  }
}

value_staging::~value_staging() {
  if (here_ == nullptr) return;
  try {
    work_.queue().record().wait();
  } catch (...) {
    // After an error nothing is done any more.
  }
  memory_.deallocate(there_, piece_bytes);
  work_.host_memory().deallocate(here_, piece_bytes);
}

void value_staging::read(const const_typed_span& there, const look& see) {
  if (here_ == nullptr) return see(0, there);
  const std::uint64_t at_once = piece_bytes / size_of(there.type);
  for (std::uint64_t done = 0; done < there.count; done += at_once) {
    const const_typed_span part = there.part(done, std::min(at_once, there.count - done));
    work_.read(part.data, here_, part.bytes());
    work_.queue().record().wait();
    see(done, {here_, part.count, part.type});
  }
}

void value_staging::all_gather(collectives::communicator& ranks, const void* own, void* all,
                               std::size_t bytes, const char* name) {
  const auto size = static_cast<std::size_t>(ranks.size());
  const auto* const from = static_cast<const std::byte*>(own);
  auto* const to = static_cast<std::byte*>(all);
  if (here_ == nullptr) {
    collectives::call how;
    how.name = name;
    ranks.all_gather({own, bytes, dtype::byte}, {all, bytes * size, dtype::byte}, how).wait();
    return;
  }
  const std::size_t most = piece_bytes / size;
  if (most == 0) {
    throw invalid_argument(std::string("[client] ") + name + " among " + std::to_string(size) +
                           " ranks is not supported on a GPU");
  }
  for (std::size_t done = 0; done < bytes; done += most) {
    const std::size_t some = std::min(most, bytes - done);
    all_gather_piece(ranks, from + done, some, name);
    for (std::size_t rank = 0; rank < size; ++rank) {
      std::memcpy(to + rank * bytes + done, static_cast<const std::byte*>(here_) + rank * some,
                  some);
    }
  }
}

// Leaves the pieces of all ranks, back to back, on the host.
void value_staging::all_gather_piece(collectives::communicator& ranks, const std::byte* own,
                                     std::size_t bytes, const char* name) {
  auto* const there = static_cast<std::byte*>(there_);
  const auto rank = static_cast<std::size_t>(ranks.rank());
  const std::size_t all = bytes * static_cast<std::size_t>(ranks.size());
  std::memcpy(here_, own, bytes);
  work_.write(here_, there + rank * bytes, bytes);
  collectives::call how;
  how.name = name;
  how.after = work_.queue().record();
  work_.queue().wait(
      ranks.all_gather({there + rank * bytes, bytes, dtype::byte}, {there, all, dtype::byte}, how));
  work_.read(there, here_, all);
  work_.queue().record().wait();
}

}  // namespace zero::client
