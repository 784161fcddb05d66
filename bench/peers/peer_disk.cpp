// Our side of the disk: passes over a file past the page cache, by the engine that the library
// chooses here.
//   peer_disk FILE BYTES BLOCK DEPTH BLOCKS_OF_MEMORY   with ZERO_PEERS_TURNS; words: read, write
// Memory for as many blocks as are under way, or for the whole file: others differ in that too.
#include "peers/turns.hpp"

#include <zero/base/error.hpp>
#include <zero/offload/host_arena.hpp>
#include <zero/offload/transfer_queue.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

namespace {

using namespace zero;

class passes {
 public:
  passes(const std::string& path, std::uint64_t bytes, std::uint64_t block, int depth,
         std::uint64_t blocks_of_memory)
      : block_(block),
        blocks_(bytes / block),
        memory_({{block * blocks_of_memory, 1}}),
        places_(blocks_of_memory),
        queue_(offload::make_disk_engine(offload::disk_engine_kind::automatic, {depth}), 4096,
               std::chrono::seconds(60)),
        outcomes_(static_cast<std::size_t>(depth)),
        file_(open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC)) {
    if (file_ < 0) throw io_error("opening", path, errno);
    auto* const words = static_cast<std::uint64_t*>(memory_.base());
    for (std::uint64_t i = 0; i < block * blocks_of_memory / 8; ++i) {
      words[i] = (i + 1) * 0x9e3779b97f4a7c15U;
    }
    queue_.engine().register_file(file_);
    queue_.engine().register_memory(memory_.base(), block * blocks_of_memory);
  }
  passes(const passes&) = delete;
  passes& operator=(const passes&) = delete;
  ~passes() {
    queue_.engine().unregister_memory(memory_.base());
    close(file_);
  }

  // The memory of a block is used again when its transfer has ended: places are by tag, and there
  // are at least as many as transfers under way.
  void run(offload::direction way) {
    std::vector<std::uint64_t> free(places_);
    for (std::uint64_t i = 0; i < places_; ++i) free[i] = places_ - 1 - i;
    std::uint64_t begun = 0, done = 0;
    while (done < blocks_) {
      while (begun < blocks_ && queue_.under_way() < queue_.depth() && !free.empty()) {
        const std::uint64_t place = free.back();
        free.pop_back();
        auto* const memory = static_cast<std::byte*>(memory_.base()) + place * block_;
        queue_.start({way, file_, begun++ * block_, memory, block_, place});
      }
      const std::size_t n = queue_.finish(outcomes_, offload::transfer_queue::wait_for::one);
      for (std::size_t i = 0; i < n; ++i) {
        const offload::transfer_outcome& o = outcomes_[i];
        if (o.error_number != 0) throw io_error("moving", "a block", o.error_number, o.offset);
        if (places_ < blocks_) free.push_back(o.tag);
      }
      done += n;
    }
  }

  [[nodiscard]] std::string engine() { return queue_.engine().name(); }

 private:
  std::uint64_t block_, blocks_;
  offload::host_arena memory_;
  std::uint64_t places_;
  offload::transfer_queue queue_;
  std::vector<offload::transfer_outcome> outcomes_;
  int file_;
};

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc != 6) throw std::runtime_error("peer_disk FILE BYTES BLOCK DEPTH BLOCKS_OF_MEMORY");
    passes all(argv[1], std::stoull(argv[2]), std::stoull(argv[3]), std::stoi(argv[4]),
               std::stoull(argv[5]));
    bench::turns(0).serve([&](const std::string& word) -> nlohmann::json {
      if (word == "engine") return {{"engine", all.engine()}};
      const auto way = word == "read" ? offload::direction::read : offload::direction::write;
      return bench::seconds_of_turn([&] { all.run(way); });
    });
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "peer_disk: %s\n", problem.what());
    return 1;
  }
  return 0;
}
