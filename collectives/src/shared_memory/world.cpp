#include "shared_memory/process_watch.hpp"
#include "shared_memory/shared_memory_communicator.hpp"

#include <zero/base/error.hpp>
#include <zero/collectives/shared_memory.hpp>

#include <string>
#include <utility>

namespace zero::collectives {

struct shared_memory_world::arena : collectives::arena {
  explicit arena(collectives::arena&& made) noexcept : collectives::arena(std::move(made)) {}
};

shared_memory_world::shared_memory_world(std::shared_ptr<arena> mapped) noexcept
    : arena_(std::move(mapped)) {}
shared_memory_world::shared_memory_world(shared_memory_world&&) noexcept = default;
shared_memory_world& shared_memory_world::operator=(shared_memory_world&&) noexcept = default;
shared_memory_world::~shared_memory_world() = default;

shared_memory_world shared_memory_world::create(int size, std::uint64_t bytes_per_rank) {
  return shared_memory_world(
      std::make_shared<arena>(collectives::arena::create(size, bytes_per_rank)));
}

shared_memory_world shared_memory_world::attach(int descriptor) {
  return shared_memory_world(std::make_shared<arena>(collectives::arena::attach(descriptor)));
}

int shared_memory_world::size() const noexcept { return arena_->size(); }

int shared_memory_world::descriptor() const noexcept { return arena_->file().descriptor(); }

bool shared_memory_world::has_joined(int rank) const {
  if (rank < 0 || rank >= size()) {
    throw invalid_argument("[collectives.shared_memory] rank " + std::to_string(rank) + " of " +
                           std::to_string(size()));
  }
  return arena_->entry(rank).joined.load() != 0;
}

std::optional<shared_memory_world::life_sign> shared_memory_world::sign_of_life(int rank) const {
  if (!has_joined(rank)) return std::nullopt;
  const rank_entry& entry = arena_->entry(rank);
  return life_sign{entry.moved.load(), std::chrono::milliseconds(entry.deadline.load())};
}

std::unique_ptr<communicator> shared_memory_world::join(int rank) {
  static_cast<void>(has_joined(rank));  // refuses what is no rank
  rank_entry& entry = arena_->entry(rank);
  if (entry.joined.exchange(1) != 0) {
    throw invalid_argument("[collectives.shared_memory] rank " + std::to_string(rank) +
                           " has joined before");
  }
  entry.deadline.store(initial_deadline);
  return std::make_unique<shared_memory_communicator>(arena_, arena_->header().world_block, rank,
                                                      nullptr);
}

void shared_memory_world::report_lost(int rank, const std::string& reason) noexcept {
  collectives::report_lost(*arena_, arena_->header().world_block, {rank}, reason);
}

}  // namespace zero::collectives
