#pragma once
// Ranks as threads, each with a communicator that it is handed.

#include <zero/collectives/communicator.hpp>

#include <exception>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

namespace zero::testing {

using joined_ranks = std::vector<std::unique_ptr<collectives::communicator>>;

// What each rank's body threw; a rank that throws leaves at once, the others when all have ended.
inline std::vector<std::exception_ptr> try_joined(
    joined_ranks& ranks, const std::function<void(collectives::communicator&)>& body) {
  std::vector<std::exception_ptr> errors(ranks.size());
  std::vector<std::thread> threads;
  for (std::size_t at = 0; at < ranks.size(); ++at) {
    threads.emplace_back([&, at] {
      try {
        body(*ranks[at]);
      } catch (...) {
        errors[at] = std::current_exception();
        ranks[at].reset();
      }
    });
  }
  for (std::thread& t : threads) t.join();
  ranks.clear();
  return errors;
}

inline void run_joined(joined_ranks& ranks,
                       const std::function<void(collectives::communicator&)>& body) {
  for (const std::exception_ptr& error : try_joined(ranks, body)) {
    if (error) std::rethrow_exception(error);
  }
}

}  // namespace zero::testing
