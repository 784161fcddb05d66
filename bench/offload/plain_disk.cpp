#include "offload/plain_disk.hpp"

#include "measure/measure.hpp"

#include <zero/base/error.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <thread>

namespace zero::bench {

double run_plainly(const disk_case& c, const named_file& file, const block_memory& memory,
                   pattern p) {
  const int number = open(file.path().c_str(), O_RDWR | O_DIRECT | O_CLOEXEC);
  if (number < 0) throw io_error("opening", file.path(), errno);
  const int callers = std::min(c.depth, 8);
  std::atomic<std::uint64_t> next{0};
  std::atomic<int> failure{0};
  const auto work = [&](int caller) {
    std::byte* const block = memory.base() + static_cast<std::uint64_t>(caller) * c.block;
    for (std::uint64_t i = next++; i < c.blocks(); i = next++) {
      const auto at = static_cast<off_t>(i * c.block);
      const ssize_t moved = p == pattern::read ? pread(number, block, c.block, at)
                                               : pwrite(number, block, c.block, at);
      if (moved != static_cast<ssize_t>(c.block)) {
        failure = moved < 0 ? errno : EIO;
        return;
      }
    }
  };
  const double seconds = timed([&] {
    std::vector<std::thread> threads;
    for (int t = 0; t < callers; ++t) threads.emplace_back(work, t);
    for (std::thread& t : threads) t.join();
  });
  close(number);
  if (failure != 0) throw io_error("plain transfers of", file.path(), failure);
  return seconds;
}

}  // namespace zero::bench
