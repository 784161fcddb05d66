#pragma once
// watcher: a thread of every process that hears what ranks tell each other besides the work: that
// a host is alive, that a group is poisoned, that a rank left, and how far it is when asked.
//
// Its messages are small, of one size and never waited for. The first rank of a host sends and
// counts the heartbeats; the others watch that one by a counter in their shared memory.
//
// listen, forget, say and stop may be called by any thread. The listener is called by the thread
// of the watcher and must not block.

#include <zero/base/error.hpp>

#include <mpi.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace zero::collectives {

struct notice {
  enum class subject : std::int32_t { alive, poison, left, question, answer };
  subject about;
  std::int32_t group;
  std::int32_t from;     // rank of the world
  std::int32_t number;   // of a question and its answers
  std::uint64_t posted;  // left, answer: operations the rank has announced
  std::uint64_t done;    // answer: operations it has finished its part of
  std::int64_t quiet;    // answer: nanoseconds since it moved
  std::int32_t kind;     // poison: error_class
  std::int32_t culprits;
  std::array<std::int32_t, 32> ranks;
  std::array<char, 640> text;
};

using outbox = std::deque<std::pair<int, notice>>;  // to whom, what

// One group as the watcher sees it. What it wants to say goes into `out`; it must not call the
// watcher.
class notice_listener {
 public:
  virtual void hear(const notice& heard, outbox& out) = 0;
  // Once a round: what this rank has to say by itself.
  virtual void look(outbox& out) = 0;

 protected:
  ~notice_listener() = default;
};

class watcher {
 public:
  struct post {
    int rank = 0;                    // of the world
    std::vector<int> host;           // of every rank
    std::vector<std::string> names;  // of the hosts
    std::chrono::milliseconds silence{0};
    std::atomic<std::uint64_t>* heartbeats = nullptr;  // of this host, in shared memory
  };
  using clock = std::chrono::steady_clock;

  // `ranks` is the watcher's alone until it has stopped.
  watcher(MPI_Comm ranks, post where);
  watcher(const watcher&) = delete;
  watcher& operator=(const watcher&) = delete;
  ~watcher();

  // What was said of group `id` before it was there is heard at once. Group 0 is the world's.
  void listen(int id, notice_listener& listener);
  // Its listener is not called any more when this returns.
  void forget(int id) noexcept;

  void say(const notice& what, int to);

  // Blocks until every rank has left the world, or for so long. Whether they all have.
  [[nodiscard]] bool wait_for_leave(std::chrono::milliseconds longest);
  // Ends the thread. Nothing is said or heard afterwards.
  void stop() noexcept;

 private:
  struct message {
    notice text;
    MPI_Request request = MPI_REQUEST_NULL;
  };

  void run() noexcept;
  void round();
  void receive();
  void deliver(const notice& heard);
  void send_queued();
  void send_heartbeats(clock::time_point now);
  void check_hosts(clock::time_point now);
  void lose(const std::vector<int>& ranks, const std::string& why);

  MPI_Comm ranks_;
  post where_;
  bool is_first_ = false;
  std::vector<int> first_of_host_;
  std::vector<clock::time_point> heard_of_;  // by host
  std::uint64_t seen_beats_ = 0;
  clock::time_point last_round_;
  clock::time_point last_beat_{};

  std::mutex mutex_;  // over what follows
  std::condition_variable changed_;
  std::map<int, notice_listener*> listeners_;
  std::set<int> forgotten_;
  std::vector<notice> early_;  // about groups that are not there yet
  outbox queued_;
  std::vector<bool> has_left_;  // the world, by rank
  bool leaving_ = false;        // this rank has said so: it says nothing more
  bool stopping_ = false;

  std::list<message> sending_;
  std::unique_ptr<message> receiving_;
  std::thread thread_;
};

}  // namespace zero::collectives
