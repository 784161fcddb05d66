#pragma once
// mpi_communicator: a group of ranks on one or several hosts. Inside a host it is what
// shared_memory is; where the group spans hosts, the first rank of each finds out with the others
// whether all agree (verdicts), pieces cross by two_level, and what goes wrong is told by notices.
//
// Threads: those of shared_memory_communicator, and the watcher, which hears and looks.

#include "host_layout.hpp"
#include "mpi/session.hpp"
#include "mpi/two_level.hpp"
#include "mpi/verdicts.hpp"
#include "mpi/watcher.hpp"
#include "shared_memory/shared_memory_communicator.hpp"

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

namespace zero::collectives {

class mpi_communicator final : public shared_memory_communicator, private notice_listener {
 public:
  // Of a group: its name, and its ranks as the world numbers them.
  struct members {
    int group;
    std::vector<int> world_ranks;
    int rank;
    std::uint64_t block;  // of those on this host, in the same order
  };
  mpi_communicator(std::shared_ptr<session> all, members who, const mpi_communicator* around);
  ~mpi_communicator() override;

  [[nodiscard]] const char* backend() const noexcept override { return "mpi"; }
  [[nodiscard]] int host_of(int rank) const noexcept override;
  [[nodiscard]] const collectives::traffic& traffic() const noexcept override;

 private:
  // What a rank answered when asked how far it is.
  struct standing {
    bool is_there = false;
    std::uint64_t posted = 0;
    std::uint64_t done = 0;
    std::int64_t quiet = 0;  // nanoseconds since it moved
  };

  [[nodiscard]] static seat seat_of(const session& all, const members& who,
                                    const mpi_communicator* around);
  [[nodiscard]] static ranks_on_hosts hosts_of(const session& all, const members& who);

  std::unique_ptr<communicator> do_split(int color, int key) override;
  bool move(std::uint64_t k, const placement& own) override;
  bool attend() override;
  [[nodiscard]] bool wants_attention() const noexcept override;
  [[nodiscard]] bool forsaken(std::uint64_t k) const noexcept override;
  void poison_forsaken(std::uint64_t k) override;
  bool poison_late(std::uint64_t k, steady::duration waited) override;

  void hear(const notice& heard, outbox& out) override;
  void look(outbox& out) override;
  [[nodiscard]] notice about(notice::subject what) const;
  [[nodiscard]] notice about(const poison_record& first) const;
  void tell_all(const notice& what) const;
  [[nodiscard]] std::vector<int> gone_before(std::uint64_t k) const;
  [[nodiscard]] std::vector<standing> ask_all();
  [[nodiscard]] bool spans_hosts() const noexcept { return layout_.hosts() > 1; }

  std::shared_ptr<session> all_;
  members who_;
  bool is_world_;
  host_layout layout_;
  std::optional<two_level> between_;  // if the group spans hosts
  std::optional<verdicts> verdicts_;  // of the first rank of each host
  mutable collectives::traffic counted_;

  std::vector<std::atomic<std::uint64_t>> left_at_;  // by rank: operations it will ever announce
  std::mutex mutex_;                                 // over what follows
  std::condition_variable answered_;
  int question_ = 0;
  std::vector<standing> answers_;  // by rank, to `question_`
};

}  // namespace zero::collectives
