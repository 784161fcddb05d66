#pragma once
// One rank's end of a thread_transport, and worlds of such ranks.

#include "support/thread_transport.hpp"

#include <zero/collectives/transport.hpp>

#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace zero::testing {

class rank_means final : public collectives::transport {
 public:
  rank_means(std::shared_ptr<thread_transport> all, int rank, bool has_broadcast)
      : all_(std::move(all)), rank_(rank), has_broadcast_(has_broadcast) {}

  void all_gather(const void* own, void* all, std::size_t bytes) override {
    check(all_->all_gather(rank_, own, all, bytes), "all_gather");
  }
  void all_to_all(const void* in, void* out, std::size_t bytes_of_piece) override {
    check(all_->all_to_all(rank_, in, out, bytes_of_piece), "all_to_all");
  }
  void broadcast(void* bytes, std::size_t count, int root) override {
    if (!has_broadcast_) throw std::runtime_error("there is no broadcast");
    check(all_->broadcast(rank_, bytes, count, root), "broadcast");
  }
  [[nodiscard]] bool has_broadcast() const noexcept override { return has_broadcast_; }

 private:
  static void check(bool worked, const char* function) {
    if (!worked) throw std::runtime_error(std::string(function) + " of the client failed");
  }
  std::shared_ptr<thread_transport> all_;
  int rank_;
  bool has_broadcast_;
};

// Runs the body on every rank of a fresh world; what each threw, at the start or in the body.
inline std::vector<std::exception_ptr> try_transport(
    const std::shared_ptr<thread_transport>& all, int size, bool has_broadcast,
    const std::function<void(collectives::communicator&)>& body) {
  std::vector<std::exception_ptr> errors(static_cast<std::size_t>(size));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        const auto ranks = collectives::make_transport(
            std::make_shared<rank_means>(all, rank, has_broadcast), {rank, size});
        body(*ranks);
      } catch (...) {
        errors[static_cast<std::size_t>(rank)] = std::current_exception();
      }
    });
  }
  for (std::thread& t : threads) t.join();
  return errors;
}

inline void run_transport(int size, bool has_broadcast,
                          const std::function<void(collectives::communicator&)>& body) {
  const auto all = std::make_shared<thread_transport>(size);
  for (const auto& error : try_transport(all, size, has_broadcast, body)) {
    if (error) std::rethrow_exception(error);
  }
}

}  // namespace zero::testing
