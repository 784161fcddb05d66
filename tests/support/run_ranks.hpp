#pragma once
// Ranks as threads: runs a body once per rank over a fresh shared_memory world.

#include <zero/base/bytes.hpp>
#include <zero/collectives/shared_memory.hpp>

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

namespace zero::testing {

using rank_body = std::function<void(collectives::communicator&)>;

inline constexpr std::uint64_t test_bytes_per_rank = std::uint64_t{256} << 20;

// What each rank's body threw, by rank; nullptr where it returned. Every rank's communicator lives
// until all bodies have ended, so that a rank that is done is not taken for one that fled.
inline std::vector<std::exception_ptr> try_ranks(int size, const rank_body& body,
                                                 std::uint64_t bytes = test_bytes_per_rank) {
  auto world = collectives::shared_memory_world::create(size, bytes);
  std::vector<std::unique_ptr<collectives::communicator>> ranks;
  for (int rank = 0; rank < size; ++rank) ranks.push_back(world.join(rank));
  std::vector<std::exception_ptr> errors(static_cast<std::size_t>(size));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      const auto at = static_cast<std::size_t>(rank);
      try {
        body(*ranks[at]);
      } catch (...) {
        errors[at] = std::current_exception();
        ranks[at].reset();  // as unwinding would: the others learn of it
      }
    });
  }
  for (std::thread& t : threads) t.join();
  return errors;
}

// The same, throwing the first error there is, by rank.
inline void run_ranks(int size, const rank_body& body, std::uint64_t bytes = test_bytes_per_rank) {
  for (const std::exception_ptr& error : try_ranks(size, body, bytes)) {
    if (error) std::rethrow_exception(error);
  }
}

}  // namespace zero::testing
