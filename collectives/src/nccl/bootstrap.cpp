// How ranks that cannot talk yet exchange a few bytes. Knows nothing of NCCL.
#include "device/poll.hpp"

#include <zero/base/error.hpp>
#include <zero/collectives/nccl.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace zero::collectives {
namespace {

// One exchange over files: rank 0 writes PATH, whole or not at all; each other rank reads it and
// makes PATH.RANK; when all are there rank 0 removes everything; the others return when theirs is
// gone, so that nobody goes on, and nothing stays, unless all have read.
class file_exchange {
 public:
  file_exchange(std::string path, world w, std::chrono::milliseconds patience)
      : path_(std::move(path)), world_(w), patience_(patience) {}

  void give(const std::vector<std::uint8_t>& bytes) const {
    const std::string draft = path_ + ".draft";
    write(draft, bytes);
    if (rename(draft.c_str(), path_.c_str()) != 0) {
      const int why = errno;
      unlink(draft.c_str());
      throw io_error("renaming to " + path_, draft, why);
    }
    const bool all = poll([&] { return missing().empty(); }, patience_);
    const std::vector<int> late = all ? std::vector<int>{} : missing();
    unlink(path_.c_str());
    for (int rank = 1; rank < world_.size; ++rank) unlink(mark(rank).c_str());
    if (!late.empty()) {
      throw peer_lost("[collectives.bootstrap] rank 0 waited for " +
                          std::string(late.size() == 1 ? "rank " : "ranks ") + format_ranks(late) +
                          " to read " + path_,
                      late);
    }
  }

  [[nodiscard]] std::vector<std::uint8_t> take() const {
    std::optional<std::vector<std::uint8_t>> bytes;
    if (!poll([&] { return (bytes = read()).has_value(); }, patience_)) {
      throw peer_lost(begin() + "waited for rank 0 to write " + path_, {0});
    }
    write(mark(world_.rank), {});
    if (!poll([&] { return !exists(mark(world_.rank)); }, patience_)) {
      unlink(mark(world_.rank).c_str());
      throw peer_lost(begin() + "waited for rank 0 to see that " + path_ + " was read", {0});
    }
    return *std::move(bytes);
  }

 private:
  [[nodiscard]] std::string begin() const {
    return "[collectives.bootstrap] rank " + std::to_string(world_.rank) + " ";
  }
  [[nodiscard]] std::string mark(int rank) const { return path_ + "." + std::to_string(rank); }
  [[nodiscard]] static bool exists(const std::string& path) {
    return access(path.c_str(), F_OK) == 0;
  }
  [[nodiscard]] std::vector<int> missing() const {
    std::vector<int> ranks;
    for (int rank = 1; rank < world_.size; ++rank) {
      if (!exists(mark(rank))) ranks.push_back(rank);
    }
    return ranks;
  }

  static void write(const std::string& path, const std::vector<std::uint8_t>& bytes) {
    const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0) throw io_error("creating", path, errno);
    std::size_t at = 0;
    while (at < bytes.size()) {
      const ssize_t wrote = ::write(file, bytes.data() + at, bytes.size() - at);
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0) {
        const int why = errno;
        close(file);
        unlink(path.c_str());
        throw io_error("writing", path, why, at);
      }
      at += static_cast<std::size_t>(wrote);
    }
    close(file);
  }

  // Nothing while the file is not there.
  [[nodiscard]] std::optional<std::vector<std::uint8_t>> read() const {
    const int file = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0 && errno == ENOENT) return std::nullopt;
    if (file < 0) throw io_error("opening", path_, errno);
    std::vector<std::uint8_t> bytes;
    std::uint8_t part[512];
    for (;;) {
      const ssize_t got = ::read(file, part, sizeof part);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) {
        const int why = errno;
        close(file);
        throw io_error("reading", path_, why, bytes.size());
      }
      if (got == 0) break;
      bytes.insert(bytes.end(), part, part + got);
    }
    close(file);
    return bytes;
  }

  std::string path_;
  world world_;
  std::chrono::milliseconds patience_;
};

}  // namespace

bootstrap bootstrap_over(communicator& ranks) {
  return [&ranks](std::vector<std::uint8_t>& bytes) {
    std::uint64_t count = bytes.size();
    ranks.broadcast({&count, sizeof count, dtype::byte}, 0, {{}, "bootstrap", -1}).wait();
    bytes.resize(count);
    ranks.broadcast({bytes.data(), count, dtype::byte}, 0, {{}, "bootstrap", -1}).wait();
  };
}

bootstrap bootstrap_in_directory(const std::string& directory, const std::string& run, world w,
                                 std::int64_t deadline_milliseconds) {
  if (run.empty() || run.find('/') != std::string::npos || w.size < 1 || w.rank < 0 ||
      w.rank >= w.size) {
    throw invalid_argument("[collectives.bootstrap] run '" + run + "', rank " +
                           std::to_string(w.rank) + " of " + std::to_string(w.size) +
                           ": a run has a name that can be a file's, and its ranks count from 0");
  }
  const auto number = std::make_shared<int>(0);  // of the exchange
  return [=](std::vector<std::uint8_t>& bytes) {
    const std::string path = directory + "/" + run + "." + std::to_string((*number)++);
    const file_exchange files(path, w, std::chrono::milliseconds(deadline_milliseconds));
    if (w.rank == 0) {
      files.give(bytes);
    } else {
      bytes = files.take();
    }
  };
}

}  // namespace zero::collectives
