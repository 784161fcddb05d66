#pragma once
// session: what one make_mpi() holds for all groups of its world: MPI itself, two communicators of
// its own, where the ranks are, this host's arena, and the watcher.
//
// Collective to make. Thread-safe afterwards.

#include "mpi/watcher.hpp"
#include "shared_memory/arena.hpp"

#include <zero/collectives/mpi.hpp>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

namespace zero::collectives {

class session {
 public:
  // Blocks until every rank has come.
  explicit session(const mpi_options& options);
  session(const session&) = delete;
  session& operator=(const session&) = delete;
  ~session();

  [[nodiscard]] int rank() const noexcept { return rank_; }
  [[nodiscard]] int size() const noexcept { return size_; }
  [[nodiscard]] const std::vector<int>& hosts() const noexcept { return host_; }  // by rank
  [[nodiscard]] const std::shared_ptr<const arena>& pages() const noexcept { return pages_; }
  [[nodiscard]] std::uint64_t world_block() const noexcept { return world_block_; }
  [[nodiscard]] MPI_Comm messages() const noexcept { return messages_; }
  [[nodiscard]] watcher& ears() noexcept { return *watcher_; }

  // Names of groups: one more than the largest any rank of a group knows is new to all of them.
  [[nodiscard]] int next_group() const noexcept { return next_group_; }
  void set_next_group(int next) noexcept { next_group_ = next; }
  // Throws where MPI has no more tags for a group of that name.
  [[nodiscard]] int tag_of(int group) const;

  // The world's communicator is gone. Waits for the others, `longest` at most, and only if the
  // world `is_sound` ends MPI, where it was started here.
  void leave(bool is_sound, std::chrono::milliseconds longest) noexcept;

 private:
  void start(bool must_be_there);
  void duplicate(const void* ranks);
  void find_hosts(const mpi_options& options);
  void share_arena(const mpi_options& options);

  bool started_ = false;  // MPI, by this
  bool left_ = false;
  int rank_ = 0;
  int size_ = 1;
  int largest_tag_ = 32767;
  MPI_Comm messages_ = MPI_COMM_NULL;
  MPI_Comm notices_ = MPI_COMM_NULL;
  std::vector<int> host_;           // by rank
  std::vector<std::string> names_;  // by host
  std::shared_ptr<const arena> pages_;
  std::uint64_t world_block_ = 0;
  std::atomic<int> next_group_{1};
  std::unique_ptr<watcher> watcher_;
};

}  // namespace zero::collectives
