// What ranks of several hosts tell each other of a group besides the work, and what is made of it.
#include "mpi/mpi_communicator.hpp"
#include "shared_memory/poison.hpp"

#include <zero/base/error.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>

namespace zero::collectives {
namespace {

constexpr std::chrono::milliseconds time_to_answer{2000};

std::string seconds(steady::duration time) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g s", std::chrono::duration<double>(time).count());
  return text;
}

std::string rank_list(const std::vector<int>& ranks) {
  return (ranks.size() == 1 ? "rank " : "ranks ") + format_ranks(ranks);
}

}  // namespace

notice mpi_communicator::about(notice::subject what) const {
  notice n{};
  n.about = what;
  n.group = who_.group;
  n.from = own_world_rank();
  return n;
}

notice mpi_communicator::about(const poison_record& first) const {
  notice n = about(notice::subject::poison);
  n.kind = first.kind;
  n.culprits = first.count;
  std::copy(first.ranks.begin(), first.ranks.end(), n.ranks.begin());
  std::copy(first.text.begin(), first.text.end(), n.text.begin());
  return n;
}

void mpi_communicator::tell_all(const notice& what) const {
  for (const int r : who_.world_ranks) {
    if (r != own_world_rank()) all_->ears().say(what, r);
  }
}

// ---- the watcher's thread ---------------------------------------------------------------------

void mpi_communicator::hear(const notice& heard, outbox& out) {
  const auto found = std::find(who_.world_ranks.begin(), who_.world_ranks.end(), heard.from);
  const auto from = static_cast<std::size_t>(found - who_.world_ranks.begin());
  switch (heard.about) {
    case notice::subject::alive:
      return;
    case notice::subject::poison: {
      // Who told us tells the others; what the watcher found out itself comes from nobody.
      if (heard.from >= 0) static_cast<void>(ranks_here().claim_telling());
      const std::vector<int> ranks(heard.ranks.begin(), heard.ranks.begin() + heard.culprits);
      ranks_here().poison(static_cast<error_class>(heard.kind), ranks, heard.text.data());
      return;
    }
    case notice::subject::left:
      if (from < left_at_.size()) left_at_[from].store(heard.posted);
      ring(ranks_here().own_caller());
      ring(ranks_here().own_lane());
      return;
    case notice::subject::question: {
      notice answer = about(notice::subject::answer);
      const slot& mine = ranks_here().slot_of(ranks_here().rank());
      answer.number = heard.number;
      answer.posted = mine.posted.load();
      answer.done = mine.done.load();
      answer.quiet = std::chrono::nanoseconds(ranks_here().quiet()).count();
      out.emplace_back(heard.from, answer);
      return;
    }
    case notice::subject::answer: {
      const std::lock_guard lock(mutex_);
      if (heard.number != question_ || from >= answers_.size()) return;
      answers_[from] = {true, heard.posted, heard.done, heard.quiet};
      answered_.notify_all();
      return;
    }
  }
}

// One rank of each host tells the ranks of all other hosts, so that it is told even if some of
// those are gone.
void mpi_communicator::look(outbox& out) {
  if (!spans_hosts()) return;
  const poison_record& first = ranks_here().own_poison();
  if (!is_set(first) || !ranks_here().claim_telling()) return;
  const notice lost = about(first);
  for (int r = 0; r < size(); ++r) {
    if (host_of(r) == host_of(rank())) continue;
    out.emplace_back(who_.world_ranks[static_cast<std::size_t>(r)], lost);
  }
}

// ---- who is waited for ------------------------------------------------------------------------

std::vector<int> mpi_communicator::gone_before(std::uint64_t k) const {
  std::vector<int> gone;
  for (std::size_t r = 0; r < left_at_.size(); ++r) {
    if (left_at_[r].load() <= k) gone.push_back(who_.world_ranks[r]);
  }
  return gone;
}

bool mpi_communicator::forsaken(std::uint64_t k) const noexcept {
  if (!spans_hosts()) return shared_memory_communicator::forsaken(k);
  return ranks_here().forsaken(k) || std::any_of(left_at_.begin(), left_at_.end(),
                                                 [k](const auto& at) { return at.load() <= k; });
}

void mpi_communicator::poison_forsaken(std::uint64_t k) {
  if (ranks_here().forsaken(k)) return shared_memory_communicator::poison_forsaken(k);
  const std::vector<int> gone = gone_before(k);
  ranks_here().poison(error_class::peer_lost, gone,
                      rank_list(gone) + " left before " + ranks_here().title(k));
}

// How far every rank is. Blocks until all have answered, but not for long.
std::vector<mpi_communicator::standing> mpi_communicator::ask_all() {
  notice question = about(notice::subject::question);
  std::unique_lock lock(mutex_);
  question.number = ++question_;
  answers_.assign(who_.world_ranks.size(), {});
  const slot& mine = ranks_here().slot_of(ranks_here().rank());
  answers_[static_cast<std::size_t>(rank())] = {
      true, mine.posted.load(), mine.done.load(),
      std::chrono::nanoseconds(ranks_here().quiet()).count()};
  lock.unlock();  // the watcher must not be waited for with it
  tell_all(question);
  lock.lock();
  answered_.wait_for(lock, time_to_answer, [this] {
    return std::all_of(answers_.begin(), answers_.end(),
                       [](const standing& p) { return p.is_there; });
  });
  return answers_;
}

bool mpi_communicator::poison_late(std::uint64_t k, steady::duration waited) {
  if (!spans_hosts()) return shared_memory_communicator::poison_late(k, waited);
  const std::uint64_t stuck = std::min(k, ranks_here().completed());
  const std::vector<standing> all = ask_all();
  if (ranks_here().poisoned() != nullptr || ranks_here().completed() > stuck) return true;
  std::vector<int> silent, missing, behind;
  bool is_begun = true;  // by all
  for (std::size_t r = 0; r < all.size(); ++r) {
    const int world_rank = who_.world_ranks[r];
    const bool is_unheard = !all[r].is_there || all[r].posted <= stuck;
    is_begun = is_begun && !is_unheard;
    if (!all[r].is_there) silent.push_back(world_rank);
    if (all[r].is_there && std::chrono::nanoseconds(all[r].quiet) < waited) continue;  // it moves
    if (is_unheard) missing.push_back(world_rank);
    if (all[r].done <= stuck) behind.push_back(world_rank);
  }
  // All have begun it: who waited for the last to begin has been quiet as long as that one let it.
  const bool is_moving = std::any_of(all.begin(), all.end(), [&](const standing& s) {
    return s.is_there && std::chrono::nanoseconds(s.quiet) < waited;
  });
  if (is_begun && is_moving) return false;
  const std::vector<int>& culprits = is_begun ? behind : missing;
  if (culprits.empty()) return false;
  const char* const verb = is_begun            ? " to finish "
                           : missing == silent ? " to answer in "
                                               : " to begin ";
  ranks_here().poison(error_class::peer_lost, culprits,
                      "rank " + std::to_string(own_world_rank()) + " waited " + seconds(waited) +
                          " for " + rank_list(culprits) + verb + ranks_here().title(stuck));
  return true;
}

}  // namespace zero::collectives
