#include "device_ranks.hpp"

#include <zero/base/error.hpp>
#include <zero/collectives/one_device.hpp>

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

// Where the threads of a run meet: on one device.
class device_world {
 public:
  explicit device_world(int ranks) : shared_(one_device_world::create(ranks)) {}

  [[nodiscard]] rank_place join(int rank) {
    rank_place place;
    place.device = std::make_unique<cuda_device>(0);
    place.ranks = shared_.join(rank, *place.device);
    return place;
  }

 private:
  one_device_world shared_;
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
  const auto run = [&](int rank) {
    try {
      run_training_rank(options, world.join(rank), sink);
    } catch (const std::exception&) {
      failure.note(rank, std::current_exception());
    }
  };
  std::vector<std::thread> threads;
  threads.reserve(static_cast<std::size_t>(ranks));
  for (int rank = 1; rank < ranks; ++rank) threads.emplace_back(run, rank);
  run(0);
  for (std::thread& thread : threads) thread.join();
  failure.rethrow();
}

rank_place join_on_device(const rank_identity& identity) {
  throw invalid_argument(fmt::format(
      "--device cuda: ranks that {} started need a GPU each and NCCL, which is not in this build; "
      "without a launcher, --ranks {} are threads that share one GPU",
      identity.source, identity.who.size));
}

}  // namespace zero::cli
