#include "train/device_ranks.hpp"

#include <zero/base/error.hpp>
#include <zero/collectives/device_ranks.hpp>
#include <zero/collectives/nccl.hpp>
#include <zero/collectives/shared_memory.hpp>

#include <fmt/format.h>

#include <exception>
#include <mutex>
#include <new>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace zero::cli {
namespace {

using collectives::one_device_world;
using collectives::shared_memory_world;

constexpr std::uint64_t bootstrap_bytes = 1U << 20;

// `peers` are what it was joined over, or null.
rank_place place_of(collectives::device_rank joined,
                    std::unique_ptr<collectives::communicator> peers) {
  return {std::move(joined.device), std::move(peers), std::move(joined.ranks)};
}

rank_place join_nccl(int ordinal, std::unique_ptr<collectives::communicator> peers) {
  collectives::device_rank joined = collectives::join_over_nccl(ordinal, *peers);
  return place_of(std::move(joined), std::move(peers));
}

// Where the threads of a run meet: on one device, or over NCCL.
class device_world {
 public:
  explicit device_world(int ranks) {
    if (ranks > 1 && cuda_device::count() >= ranks && collectives::nccl_compiled()) {
      peers_.emplace(shared_memory_world::create(ranks, bootstrap_bytes));
    } else {
      shared_.emplace(one_device_world::create(ranks));
    }
  }

  [[nodiscard]] rank_place join(int rank) {
    if (peers_) return join_nccl(rank, peers_->join(rank));
    return place_of(collectives::join_on_one(*shared_, rank, 0), nullptr);
  }

  // Ends the waits of those who came, for a rank that did not get so far.
  void give_up(int rank, const std::string& why) noexcept {
    if (peers_) peers_->report_lost(rank, why);
  }

 private:
  std::optional<shared_memory_world> peers_;
  std::optional<one_device_world> shared_;
};

// The failure that is told: the first, but a peer's loss only where nothing else went wrong.
class first_failure {
 public:
  void note(int rank, std::exception_ptr failure) {
    bool of_peer = false;
    try {
      std::rethrow_exception(failure);
    } catch (const peer_lost&) {
      of_peer = true;
    } catch (...) {
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    if (failure_ && (of_peer || !of_peer_)) return;
    failure_ = std::move(failure);
    rank_ = rank;
    of_peer_ = of_peer;
  }

  // After all ranks have ended.
  void rethrow() const {
    if (!failure_) return;
    try {
      std::rethrow_exception(failure_);
    } catch (const error& e) {
      throw rank_error(rank_, e.what(), e.kind());
    } catch (const std::bad_alloc&) {
      throw rank_error(rank_, "out of memory", error_class::resource);
    } catch (const std::exception& e) {
      throw rank_error(rank_, e.what(), error_class::failure);
    }
  }

 private:
  std::mutex mutex_;
  std::exception_ptr failure_;
  int rank_ = 0;
  bool of_peer_ = false;
};

}  // namespace

void require_device(const common_options& o) {
  if (o.device != compute_device::cuda || cuda_device::count() > 0) return;
  throw invalid_argument(fmt::format("--device: 'cuda' is not accepted; expected cpu here: {}",
                                     cuda_device::why_none()));
}

void run_device_ranks(const train_options& options, int ranks, const result_sink& sink) {
  device_world world(ranks);
  first_failure failure;
  std::mutex telling;
  const result_sink one_at_a_time = [&](const nlohmann::ordered_json& line) {
    const std::lock_guard<std::mutex> lock(telling);
    sink(line);
  };
  const auto run = [&](int rank) {
    try {
      run_training_rank(options, world.join(rank), one_at_a_time);
    } catch (const std::exception& e) {
      failure.note(rank, std::current_exception());
      world.give_up(rank, e.what());
    }
  };
  std::vector<std::thread> threads;
  threads.reserve(static_cast<std::size_t>(ranks));
  for (int rank = 1; rank < ranks; ++rank) threads.emplace_back(run, rank);
  run(0);
  for (std::thread& thread : threads) thread.join();
  failure.rethrow();
}

rank_place move_to_device(const rank_identity& identity, rank_place place) {
  try {
    if (cuda_device::count() < identity.local_size) {
      throw invalid_argument(fmt::format(
          "--device cuda: {} processes on this machine need a GPU each, and there are {}; without "
          "a launcher, --ranks {} are threads that share one",
          identity.local_size, cuda_device::count(), identity.who.size));
    }
    return join_nccl(identity.local_rank, std::move(place.ranks));
  } catch (const std::exception& e) {
    if (place.ranks) place.ranks->abort(e.what());
    throw;
  }
}

}  // namespace zero::cli
