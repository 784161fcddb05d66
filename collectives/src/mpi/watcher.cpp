#include "mpi/watcher.hpp"

#include "mpi/links.hpp"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <new>

namespace zero::collectives {
namespace {

using namespace std::chrono_literals;

constexpr int notice_tag = 1;
constexpr auto rest = 2ms;      // between two looks
constexpr auto linger = 100ms;  // for what was said last to leave this machine

std::string seconds(watcher::clock::duration time) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g s", std::chrono::duration<double>(time).count());
  return text;
}

}  // namespace

watcher::watcher(MPI_Comm ranks, post where)
    : ranks_(ranks), where_(std::move(where)), has_left_(where_.host.size()) {
  const auto me = static_cast<std::size_t>(where_.rank);
  for (std::size_t r = 0; r < where_.host.size(); ++r) {
    if (static_cast<std::size_t>(where_.host[r]) == first_of_host_.size()) {
      first_of_host_.push_back(static_cast<int>(r));
    }
  }
  is_first_ = first_of_host_[static_cast<std::size_t>(where_.host[me])] == where_.rank;
  last_round_ = clock::now();
  heard_of_.assign(first_of_host_.size(), last_round_);
  has_left_[me] = true;
  // Signals belong to the client's threads.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::exception& why) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw error(std::string("[collectives.mpi] starting a watcher: ") + why.what(),
                error_class::resource);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

watcher::~watcher() { stop(); }

// ---- any thread -------------------------------------------------------------------------------

void watcher::listen(int id, notice_listener& listener) {
  const std::lock_guard lock(mutex_);
  listeners_[id] = &listener;
  for (const notice& n : early_) {
    if (n.group == id) listener.hear(n, queued_);
  }
  std::erase_if(early_, [id](const notice& n) { return n.group == id; });
}

void watcher::forget(int id) noexcept {
  const std::lock_guard lock(mutex_);
  listeners_.erase(id);
  forgotten_.insert(id);
}

void watcher::say(const notice& what, int to) {
  const std::lock_guard lock(mutex_);
  queued_.emplace_back(to, what);
  changed_.notify_all();
}

bool watcher::wait_for_leave(std::chrono::milliseconds longest) {
  std::unique_lock lock(mutex_);
  leaving_ = true;
  return changed_.wait_for(lock, longest, [this] {
    return std::find(has_left_.begin(), has_left_.end(), false) == has_left_.end();
  });
}

void watcher::stop() noexcept {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

// ---- the thread -------------------------------------------------------------------------------

void watcher::run() noexcept {
  clock::time_point stopped_at{};
  try {
    for (;;) {
      {
        std::unique_lock lock(mutex_);
        const bool told = changed_.wait_for(lock, rest, [this] { return !queued_.empty(); });
        static_cast<void>(told);
        if (stopping_ && stopped_at == clock::time_point{}) stopped_at = clock::now();
      }
      round();
      if (stopped_at == clock::time_point{}) continue;
      // What was said must have left; who is gone will never take it.
      if (sending_.empty() || clock::now() > stopped_at + linger) break;
    }
  } catch (const std::exception& why) {
    lose({where_.rank}, std::string("its watcher failed: ") + why.what());
  }
  // Without a receiver it may be written to for ever: leave it to MPI.
  if (receiving_ && !give_up(receiving_->request)) static_cast<void>(receiving_.release());
  for (message& m : sending_) {
    if (!give_up(m.request)) static_cast<void>(new (std::nothrow) message(m));
  }
}

void watcher::round() {
  const clock::time_point now = clock::now();
  // Whoever was stopped itself must not think that all others were: one round counts for a quarter
  // of the silence at most, however late it is.
  const clock::duration late = now - last_round_ - where_.silence / 4;
  if (late > clock::duration::zero()) {
    for (clock::time_point& heard : heard_of_) heard += late;
  }
  last_round_ = now;
  receive();
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, listener] : listeners_) listener->look(queued_);
  }
  send_heartbeats(now);
  send_queued();
  check_hosts(now);
}

void watcher::receive() {
  for (;;) {
    if (!receiving_) {
      receiving_ = std::make_unique<message>();
      check_mpi(MPI_Irecv(&receiving_->text, sizeof(notice), MPI_BYTE, MPI_ANY_SOURCE, notice_tag,
                          ranks_, &receiving_->request),
                "MPI_Irecv");
    }
    if (!links::done(receiving_->request)) return;
    deliver(receiving_->text);
    receiving_.reset();
  }
}

void watcher::deliver(const notice& heard) {
  const auto from = static_cast<std::size_t>(heard.from);
  heard_of_[static_cast<std::size_t>(where_.host[from])] = clock::now();
  const std::lock_guard lock(mutex_);
  if (heard.about == notice::subject::left && heard.group == 0) {
    has_left_[from] = true;
    changed_.notify_all();
  }
  if (heard.about == notice::subject::alive) return;
  const auto found = listeners_.find(heard.group);
  if (found != listeners_.end()) {
    found->second->hear(heard, queued_);
  } else if (forgotten_.count(heard.group) == 0) {
    if (heard.about != notice::subject::question) early_.push_back(heard);
  }
}

void watcher::send_queued() {
  std::erase_if(sending_, [](message& m) { return links::done(m.request); });
  const std::lock_guard lock(mutex_);
  for (const auto& [to, what] : queued_) {
    message& m = sending_.emplace_back();
    m.text = what;
    check_mpi(MPI_Isend(&m.text, sizeof(notice), MPI_BYTE, to, notice_tag, ranks_, &m.request),
              "MPI_Isend");
  }
  queued_.clear();
}

void watcher::send_heartbeats(clock::time_point now) {
  if (!is_first_) return;
  where_.heartbeats->fetch_add(1);
  if (now - last_beat_ < std::min<clock::duration>(1s, where_.silence / 5)) return;
  last_beat_ = now;
  const std::lock_guard lock(mutex_);
  if (leaving_) return;
  notice beat{};
  beat.about = notice::subject::alive;
  beat.from = where_.rank;
  for (const int first : first_of_host_) {
    if (first != where_.rank) queued_.emplace_back(first, beat);
  }
}

void watcher::check_hosts(clock::time_point now) {
  const auto own = static_cast<std::size_t>(where_.host[static_cast<std::size_t>(where_.rank)]);
  if (!is_first_) {
    const std::uint64_t beats = where_.heartbeats->load();
    if (beats != seen_beats_) heard_of_[own] = now;
    seen_beats_ = beats;
  }
  // Ranks beside a first rank that is gone know better than other hosts what is: they come first.
  const auto limit = is_first_ ? where_.silence : where_.silence * 3 / 4;
  for (std::size_t h = 0; h < first_of_host_.size(); ++h) {
    if (is_first_ == (h == own) || now - heard_of_[h] < limit) continue;
    std::vector<int> ranks;
    {
      const std::lock_guard lock(mutex_);
      if (has_left_[static_cast<std::size_t>(first_of_host_[h])]) continue;
    }
    if (!is_first_) {
      lose({first_of_host_[h]}, "it has not watched for " + seconds(limit));
      heard_of_[h] = now;
      continue;
    }
    for (std::size_t r = 0; r < where_.host.size(); ++r) {
      if (static_cast<std::size_t>(where_.host[r]) == h) ranks.push_back(static_cast<int>(r));
    }
    lose(ranks, "host '" + where_.names[h] + "' has not been heard of for " + seconds(limit));
    heard_of_[h] = now;  // said once
  }
}

// The world hears it as if it came from outside, and tells the others of its own.
void watcher::lose(const std::vector<int>& ranks, const std::string& why) {
  notice lost{};
  lost.about = notice::subject::poison;
  lost.group = 0;
  lost.from = -1;
  lost.kind = static_cast<std::int32_t>(error_class::peer_lost);
  for (const int r : ranks) {
    if (static_cast<std::size_t>(lost.culprits) < lost.ranks.size()) {
      lost.ranks[static_cast<std::size_t>(lost.culprits++)] = r;
    }
  }
  const std::string text =
      (ranks.size() == 1 ? "rank " : "ranks ") + format_ranks(ranks) + " lost: " + why;
  std::copy_n(text.begin(), std::min(text.size(), lost.text.size() - 1), lost.text.begin());
  const std::lock_guard lock(mutex_);
  const auto world = listeners_.find(0);
  if (world != listeners_.end()) world->second->hear(lost, queued_);
}

}  // namespace zero::collectives
