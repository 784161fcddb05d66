// The other ranks' side of a meeting, and what both make of it.
#include "meeting/invitation.hpp"

#include <zero/collectives/shared_memory.hpp>
#include <zero/collectives/single.hpp>

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>

namespace zero::collectives {
namespace {

using std::chrono::milliseconds;

// Rank 0 says what is wrong, and it may have begun a little later.
constexpr milliseconds grace{2000};

std::string begin_of(const meeting& where) {
  return "[collectives.meeting] rank " + std::to_string(where.who.rank) + " ";
}

// Nothing tells when a name comes to be, so rank 0 is looked for: often at first.
local_socket find_host(const meeting& where, socket_clock::time_point end) {
  const std::string address = address_of(where);
  milliseconds pause{1};
  for (;;) {
    local_socket own = local_socket::make();
    if (own.connect(address)) return own;
    const auto left = std::chrono::ceil<milliseconds>(end - socket_clock::now());
    if (left.count() <= 0) {
      throw peer_lost(begin_of(where) + "waited " + seconds_of(where.deadline_milliseconds) +
                          " for rank 0 to come to " + title_of(where) +
                          "; ranks of other machines do not find it",
                      {0});
    }
    std::this_thread::sleep_for(std::min(pause, left));
    pause = std::min(2 * pause, milliseconds(20));
  }
}

void check(const meeting& where) {
  const world& w = where.who;
  if (w.size < 1 || w.rank < 0 || w.rank >= w.size) {
    throw invalid_argument("[collectives.meeting] rank " + std::to_string(w.rank) + " of " +
                           std::to_string(w.size));
  }
  if (w.size > 1 && where.name.empty()) {
    throw invalid_argument(
        "[collectives.meeting] the meeting has no name: ranks of one run need "
        "one that no other run has");
  }
  if (where.deadline_milliseconds < 0) {
    throw invalid_argument("[collectives.meeting] a deadline of " +
                           std::to_string(where.deadline_milliseconds) + " ms");
  }
}

std::unique_ptr<communicator> host(const meeting& where) {
  hosting all(where);
  auto made = shared_memory_world::create(where.who.size, where.bytes_per_rank);
  all.wait_for_all();
  const std::vector<int> gone = all.hand_out(made.descriptor());
  for (const int rank : gone) made.report_lost(rank, "it was gone at the end of the meeting");
  return made.join(0);
}

shared_memory_world take(int descriptor) {
  try {
    return shared_memory_world::attach(descriptor);
  } catch (...) {
    ::close(descriptor);
    throw;
  }
}

}  // namespace

int attend(const meeting& where) {
  const auto end = socket_clock::now() + patience_of(where.deadline_milliseconds);
  const local_socket own = find_host(where, end);
  if (const socket_peer host = own.peer(); host.user != geteuid()) {
    throw invalid_argument(begin_of(where) + "found " + title_of(where) + " held by process " +
                           std::to_string(host.process) + " of another user, " +
                           std::to_string(host.user));
  }
  greeting said;
  said.rank = where.who.rank;
  said.size = where.who.size;
  said.patience =
      std::max<std::int64_t>(std::chrono::ceil<milliseconds>(end - socket_clock::now()).count(), 0);
  reply answer;
  int handed = -1;
  const auto lost = [&](const std::string& how) {
    return peer_lost(begin_of(where) + "came to " + title_of(where) + " and rank 0 " + how, {0});
  };
  // What was refused may have been answered and left before it was heard.
  static_cast<void>(own.send(&said, sizeof said));
  if (!own.readable(end + grace)) throw lost("did not answer");
  if (!own.receive(&answer, sizeof answer, &handed) || answer.magic != meeting_magic) {
    throw lost("was gone before all had come");
  }
  if (answer.refusal != 0) throw_refusal(answer);
  if (handed < 0) throw lost("handed nothing over");
  return handed;
}

std::unique_ptr<communicator> meet(const meeting& where) {
  check(where);
  if (where.who.size == 1) return make_single();
  if (where.who.rank == 0) return host(where);
  return take(attend(where)).join(where.who.rank);
}

}  // namespace zero::collectives
