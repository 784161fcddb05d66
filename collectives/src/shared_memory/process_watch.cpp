#include "shared_memory/process_watch.hpp"

#include "shared_memory/poison.hpp"

#include <zero/base/error.hpp>

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace zero::collectives {
namespace {

// Whoever started the ranks knows better why one ended; it has so long to say it first.
constexpr std::chrono::milliseconds starter_first{200};
// Between two looks for ranks that have not come yet, while there are such.
constexpr std::chrono::milliseconds first_pause{10}, longest_pause{200};

std::uint64_t own_process_space() noexcept {
  struct stat found {};
  return stat("/proc/self/ns/pid", &found) == 0 ? found.st_ino : 0;
}

// When a process started, in the kernel's ticks: with its number, that names it for good. 0: there
// is none, or it cannot be known. Allocates nothing.
std::uint64_t start_of(std::int32_t process) noexcept {
  std::array<char, 64> path;
  std::snprintf(path.data(), path.size(), "/proc/%d/stat", static_cast<int>(process));
  const int file = open(path.data(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  std::array<char, 1024> text;
  const ssize_t bytes = read(file, text.data(), text.size() - 1);
  close(file);
  if (bytes <= 0) return 0;
  text[static_cast<std::size_t>(bytes)] = '\0';
  // The second field is a name in parentheses, with anything in it; the 22nd is looked for.
  const char* at = std::strrchr(text.data(), ')');
  for (int field = 2; at != nullptr && field < 22; ++field) at = std::strchr(at + 1, ' ');
  return at == nullptr ? 0 : std::strtoull(at + 1, nullptr, 10);
}

int open_process(std::int32_t process) noexcept {
#ifdef SYS_pidfd_open
  return static_cast<int>(syscall(SYS_pidfd_open, process, 0));
#else
  static_cast<void>(process);
  errno = ENOSYS;
  return -1;
#endif
}

}  // namespace

void report_lost(const arena& pages, std::uint64_t block, const std::vector<int>& world_ranks,
                 const std::string& reason) noexcept {
  const bool is_one = world_ranks.size() == 1;
  set_poison(pages.block(block).poison, error_class::peer_lost, world_ranks,
             (is_one ? "rank " : "ranks ") + format_ranks(world_ranks) +
                 (is_one ? " is lost: " : " are lost: ") + reason);
  const int size = static_cast<int>(pages.block(block).size);
  for (int i = 0; i < size; ++i) {
    rank_entry& entry = pages.entry(pages.slot_of(block, i).world_rank);
    ring(entry.lane);
    ring(entry.caller);
  }
}

process_watch::process_watch(std::shared_ptr<const arena> pages, std::uint64_t block, int own)
    : pages_(std::move(pages)), block_(block), peers_(pages_->block(block).size) {
  rank_entry& mine = pages_->entry(own);
  mine.started.store(start_of(getpid()));
  mine.space.store(own_process_space());
  mine.process.store(getpid());
  for (std::size_t i = 0; i < peers_.size(); ++i) {
    peers_[i].world_rank = pages_->slot_of(block_, static_cast<int>(i)).world_rank;
    watched_.push_back({-1, POLLIN, 0});
  }
  if (peers_.size() == 1) return;
  const int bell = eventfd(0, EFD_CLOEXEC);
  if (bell < 0) {
    throw error(std::string("[collectives] watching processes: ") + std::strerror(errno),
                error_class::resource);
  }
  watched_.push_back({bell, POLLIN, 0});
  sigset_t all, before;  // signals belong to the client's threads
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::exception& why) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    close(bell);
    throw error(std::string("[collectives] starting a watch: ") + why.what(),
                error_class::resource);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

process_watch::~process_watch() {
  if (!thread_.joinable()) return;
  const std::uint64_t one = 1;
  // A fresh eventfd takes a number at once.
  static_cast<void>(!::write(watched_.back().fd, &one, sizeof one));
  thread_.join();
  for (const pollfd& each : watched_) {
    if (each.fd >= 0) close(each.fd);
  }
}

bool process_watch::has_left(std::size_t index) const noexcept {
  return pages_->slot_of(block_, static_cast<int>(index)).left.load() != 0;
}

bool process_watch::all_known() const noexcept {
  return std::all_of(peers_.begin(), peers_.end(), [](const peer& p) { return p.is_known; });
}

// Whether the process of this rank is known now, and watched where that makes sense.
bool process_watch::admit(std::size_t index) noexcept {
  const rank_entry& entry = pages_->entry(peers_[index].world_rank);
  const std::int32_t process = entry.process.load();
  if (process == 0) return false;
  if (process == getpid() || has_left(index)) return true;
  const std::uint64_t space = entry.space.load();
  if (space == 0 || space != own_process_space()) return true;  // its number says nothing here
  const int found = open_process(process);
  const bool is_gone = found < 0 && errno == ESRCH;
  // The number may be another process's by now.
  const std::uint64_t started = entry.started.load();
  const bool is_other = found >= 0 && started != 0 && start_of(process) != started;
  if (is_gone || is_other) {
    if (found >= 0) close(found);
    take_note(index);
  } else {
    watched_[index].fd = found;
  }
  return true;
}

void process_watch::take_note(std::size_t index) noexcept {
  peers_[index].process = pages_->entry(peers_[index].world_rank).process.load();
  peers_[index].report_at = clock::now() + starter_first;
}

void process_watch::run() noexcept {
  pthread_setname_np(pthread_self(), "zero watch");
  std::chrono::milliseconds pause = first_pause;
  for (;;) {
    for (std::size_t i = 0; i < peers_.size(); ++i) {
      if (!peers_[i].is_known) peers_[i].is_known = admit(i);
    }
    auto next = clock::time_point::max();
    if (!all_known())
      next = clock::now() + std::exchange(pause, std::min(2 * pause, longest_pause));
    bool is_watching = !all_known();
    for (std::size_t i = 0; i < peers_.size(); ++i) {
      next = std::min(next, peers_[i].report_at);
      is_watching = is_watching || watched_[i].fd >= 0 || peers_[i].process != 0;
    }
    if (!is_watching) return;
    int milliseconds = -1;
    if (next != clock::time_point::max()) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - clock::now()).count();
      milliseconds = static_cast<int>(std::max<std::int64_t>(left, 0));
    }
    poll(watched_.data(), watched_.size(), milliseconds);
    if (watched_.back().revents != 0) return;
    for (std::size_t i = 0; i < peers_.size(); ++i) {
      if (watched_[i].fd < 0 || watched_[i].revents == 0) continue;
      close(std::exchange(watched_[i].fd, -1));
      take_note(i);
    }
    try {
      report_due();
    } catch (const std::exception&) {
      return;  // no memory for a message: deadlines find it
    }
  }
}

// All ranks of a process that ended are named at once.
void process_watch::report_due() {
  const auto now = clock::now();
  for (std::size_t i = 0; i < peers_.size(); ++i) {
    const std::int32_t process = peers_[i].process;
    if (process == 0 || peers_[i].report_at > now) continue;
    std::vector<int> lost;
    for (std::size_t j = i; j < peers_.size(); ++j) {
      if (pages_->entry(peers_[j].world_rank).process.load() != process) continue;
      if (!has_left(j)) lost.push_back(peers_[j].world_rank);
      peers_[j].process = 0;
      peers_[j].report_at = clock::time_point::max();
    }
    if (lost.empty()) continue;
    report_lost(*pages_, block_, lost, "its process " + std::to_string(process) + " ended");
  }
}

}  // namespace zero::collectives
