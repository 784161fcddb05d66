// Rank 0's side of a meeting. One thread; nothing blocks but poll, so that no stranger who connects
// and is silent can keep the others waiting.
#include "meeting/invitation.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace zero::collectives {
namespace {

std::string rank_list(const std::vector<int>& ranks) {
  return (ranks.size() == 1 ? "rank " : "ranks ") + format_ranks(ranks);
}

std::string came_of(const greeting& said, const socket_peer& from) {
  return "rank " + std::to_string(said.rank) + " of " + std::to_string(said.size) + " (process " +
         std::to_string(from.process) + ")";
}

}  // namespace

hosting::hosting(const meeting& where)
    : where_(where), end_(socket_clock::now() + patience_of(where.deadline_milliseconds)) {
  auto door = local_socket::listen(address_of(where), where.who.size + 8);
  if (!door) {
    throw invalid_argument("[collectives.meeting] " + title_of(where) +
                           " is in use: another run of this name, or another rank 0 of this one, "
                           "is meeting now");
  }
  door_ = *std::move(door);
}

std::vector<int> hosting::missing() const {
  std::vector<int> ranks;
  for (int rank = 1; rank < where_.who.size; ++rank) {
    const bool is_here =
        std::any_of(guests_.begin(), guests_.end(), [&](const guest& g) { return g.rank == rank; });
    if (!is_here) ranks.push_back(rank);
  }
  return ranks;
}

void hosting::wait_for_all() {
  for (std::vector<int> late = missing(); !late.empty(); late = missing()) {
    if (socket_clock::now() >= end_) {
      give_up(late, "rank 0 waited " + seconds_of(where_.deadline_milliseconds) + " at most for " +
                        rank_list(late) + " to come to " + title_of(where_) +
                        "; ranks of other machines do not find it" + last_refusal_);
    }
    wait_for_something();
  }
  door_ = local_socket();  // from here on the name is free for the next meeting
}

// Somebody comes, says something, or goes.
void hosting::wait_for_something() {
  std::vector<pollfd> watched{{door_.number(), POLLIN, 0}};
  for (const guest& g : guests_) watched.push_back({g.at.number(), POLLIN, 0});
  const int found = ::poll(watched.data(), watched.size(), milliseconds_until(end_));
  if (found < 0 && errno != EINTR) throw io_error("poll", "", errno);
  if (found <= 0) return;
  for (std::size_t i = 0; i < guests_.size(); ++i) {
    if (watched[i + 1].revents == 0) continue;
    guest& g = guests_[i];
    if (g.rank < 0) {
      hear(g);
    } else {
      // It has nothing more to say: it is gone.
      give_up({g.rank}, "rank " + std::to_string(g.rank) + " came to " + title_of(where_) +
                            " and was gone before all had come");
    }
  }
  if (watched[0].revents != 0) {
    if (auto came = door_.accept()) guests_.push_back({*std::move(came)});
  }
  std::erase_if(guests_, [](const guest& g) { return !g.at; });
}

void hosting::hear(guest& who) {
  const socket_peer from = who.at.peer();
  greeting said;
  if (!who.at.receive(&said, sizeof said) || said.magic != meeting_magic) {
    who.at = local_socket();
    return;
  }
  const std::string came = came_of(said, from) + " came to " + title_of(where_);
  if (from.user != geteuid()) {
    refuse(who, error_class::usage,
           came + " of user " + std::to_string(geteuid()) + " but is of user " +
               std::to_string(from.user));
  } else if (said.version != meeting_version) {
    refuse(who, error_class::desync,
           came + " with version " + std::to_string(said.version) +
               " of the library's messages; rank 0 has version " + std::to_string(meeting_version));
  } else if (said.size != where_.who.size) {
    refuse(who, error_class::usage,
           came + ", but rank 0 has a world of " + std::to_string(where_.who.size));
  } else if (const std::vector<int> late = missing();
             std::find(late.begin(), late.end(), said.rank) == late.end()) {
    refuse(who, error_class::usage, came + ", but that rank has come before");
  } else {
    who.rank = said.rank;
    end_ = std::min(end_, socket_clock::now() + patience_of(said.patience));
  }
}

void hosting::refuse(guest& who, error_class kind, const std::string& text) {
  const reply answer = refusal(kind, {}, "[collectives.meeting] " + text);
  last_refusal_ = "; refused: " + text;
  static_cast<void>(who.at.send(&answer, sizeof answer));  // it may be gone
  who.at = local_socket();
}

void hosting::give_up(const std::vector<int>& ranks, const std::string& text) {
  const reply answer = refusal(error_class::peer_lost, ranks, "[collectives.meeting] " + text);
  for (const guest& g : guests_) {
    if (g.rank >= 0) static_cast<void>(g.at.send(&answer, sizeof answer));
  }
  throw_refusal(answer);
}

std::vector<int> hosting::hand_out(int descriptor) {
  const reply answer;
  std::vector<int> gone;
  for (const guest& g : guests_) {
    if (g.rank >= 0 && !g.at.send(&answer, sizeof answer, descriptor)) gone.push_back(g.rank);
  }
  return gone;
}

}  // namespace zero::collectives
