#pragma once
// disk_engine: moves bytes between files and memory, many requests at a time, in any order. An
// engine reports what the system said of each request and judges nothing: transfer_queue does.
//
// One thread at a time may use an engine. After construction nothing is allocated.

#include <zero/base/span.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#pragma GCC visibility push(default)
namespace zero::offload {

enum class direction : unsigned char { read, write };

// `bytes` > 0 between `memory` and `file`, a descriptor, from byte `offset` on. Where the file is
// open for direct I/O, all three are multiples of what its file system asks. Memory and descriptor
// stay as they are until the request is reaped.
struct disk_request {
  direction way = direction::read;
  int file = -1;
  std::uint64_t offset = 0;
  void* memory = nullptr;
  std::uint64_t bytes = 0;
  std::uint64_t tag = 0;  // the caller's, given back with the result
};

// Bytes moved, which may be fewer than asked, or minus an errno.
struct disk_result {
  std::uint64_t tag = 0;
  std::int64_t value = 0;
};

class disk_engine {
 public:
  using clock = std::chrono::steady_clock;

  disk_engine() = default;
  disk_engine(const disk_engine&) = delete;
  disk_engine& operator=(const disk_engine&) = delete;
  // Waits for what is under way, for a bounded time. Where the system does not answer even then,
  // it may still write to the memory of those requests.
  virtual ~disk_engine() = default;

  // "uring", "threads".
  [[nodiscard]] virtual const char* name() const noexcept = 0;
  // Requests that may be outstanding, that is, submitted and not yet reaped.
  [[nodiscard]] virtual std::size_t depth() const noexcept = 0;

  // Hands one request to the system. 0, or an errno if it was not accepted: EAGAIN when `depth`
  // are outstanding. Does not wait for the disk, but may be held up by the kernel.
  [[nodiscard]] virtual int submit(const disk_request& request) = 0;

  // Takes what has been done, at most results.size(), in any order. Blocks until there is one or
  // `until` has passed; not at all if that is in the past or nothing is outstanding. Returns how
  // many. Throws io_error if the engine itself, not a request, fails.
  [[nodiscard]] virtual std::size_t reap(span<disk_result> results, clock::time_point until) = 0;

  // Hints: tell the system beforehand which file or memory requests will name, so that it need not
  // look each time. False, and a note, where limits refuse it or a part of it; requests are as good
  // without. A file or memory must be taken back before it is closed or freed, whatever this
  // returned, with nothing of it outstanding.
  virtual bool register_file(int file) = 0;
  virtual void unregister_file(int file) noexcept = 0;
  virtual bool register_memory(void* memory, std::size_t bytes) = 0;
  virtual void unregister_memory(void* memory) noexcept = 0;

  // What is not as one would wish, one sentence a line; empty if all is well. For printing once.
  [[nodiscard]] virtual const std::string& note() const noexcept = 0;
};

// Whether io_uring is compiled in; whether the kernel has it, make_disk_engine finds out.
[[nodiscard]] bool uring_compiled() noexcept;

enum class disk_engine_kind : unsigned char {
  automatic,  // uring, or threads where the kernel, a filter or a limit refuses it, with a note
  uring,      // io_uring
  threads,    // pread and pwrite by a few threads
};

struct disk_engine_options {
  int depth = 32;   // 1 to 4096
  int threads = 0;  // of the engine `threads`; 0: as many as the depth, 8 at most
  // How long the destructor waits for what is under way.
  std::chrono::milliseconds drain{10000};
};

// Throws invalid_argument on options out of range, io_error when `uring` is asked for and refused,
// out_of_memory or an error of class resource when not even threads can be had.
[[nodiscard]] std::unique_ptr<disk_engine> make_disk_engine(
    disk_engine_kind kind = disk_engine_kind::automatic, const disk_engine_options& options = {});

}  // namespace zero::offload
#pragma GCC visibility pop
