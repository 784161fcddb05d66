#pragma once
// Passes over a file, timed: by fio, by a transfer_queue, by a record_store. And over memory.

#include <zero/offload/disk_engine.hpp>
#include <zero/offload/host_arena.hpp>
#include <zero/offload/record_store.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace zero::bench {

enum class pattern : unsigned char { read, write, mixed };
[[nodiscard]] const char* name_of(pattern p) noexcept;

struct disk_case {
  std::string directory = "/var/tmp";
  std::uint64_t bytes = std::uint64_t{1} << 30;
  std::uint64_t block = std::uint64_t{1} << 20;
  int depth = 16;
  int passes = 4;  // over the file, in one go: fio counts its processor time in milliseconds
  bool huge_pages = true;
  bool registered = true;      // memory with io_uring, as far as the limit on locked memory goes
  bool fio_registered = true;  // fio takes all or nothing
  std::string fio_engine = "io_uring";
  offload::disk_engine_kind engine = offload::disk_engine_kind::automatic;

  [[nodiscard]] std::uint64_t blocks() const noexcept { return bytes / block; }
  // Of all passes together.
  [[nodiscard]] std::uint64_t steps() const noexcept {
    return blocks() * static_cast<std::uint64_t>(passes);
  }
};

struct pass {
  double bytes = 0;
  double seconds = 0;
  double cpu_seconds = 0;  // of user and system, all threads

  [[nodiscard]] double rate() const noexcept { return bytes / seconds; }
  [[nodiscard]] double cpu_per_gib() const noexcept { return cpu_seconds / (bytes / (1 << 30)); }
};

// A file with a name, which fio needs, removed at destruction.
class named_file {
 public:
  explicit named_file(const disk_case& c);  // full of random bytes
  named_file(const named_file&) = delete;
  named_file& operator=(const named_file&) = delete;
  ~named_file();
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
};

// What engine and fio move bytes to and from, `depth` blocks: how fast the disk is depends on which
// pages of the machine these are. Small pages are the very same for both, a file without a name
// that fio maps too. Huge pages are each one's own: a host_arena's, and what glibc gives fio.
class block_memory {
 public:
  explicit block_memory(const disk_case& c);
  block_memory(const block_memory&) = delete;
  block_memory& operator=(const block_memory&) = delete;
  ~block_memory();
  [[nodiscard]] std::byte* base() const noexcept { return base_; }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
  // What fio must be told, before and after its name.
  [[nodiscard]] std::string environment() const;
  [[nodiscard]] std::string option() const;

 private:
  std::uint64_t bytes_;
  std::unique_ptr<offload::host_arena> arena_;  // huge pages
  int file_ = -1;                               // small ones
  std::byte* base_ = nullptr;
};

// fio without clocks but the job's. Its processor time is its one thread's, without set-up and end.
// Throws error if it fails, as it does where it cannot register its memory.
[[nodiscard]] pass run_fio(const disk_case& c, const named_file& file, const block_memory& memory,
                           pattern p);

// Checked transfers, without checksums; the engine is made anew, as fio makes its own, and that is
// not timed. The processor time is the whole process's.
[[nodiscard]] pass run_engine(const disk_case& c, const named_file& file,
                              const block_memory& memory, pattern p);
[[nodiscard]] std::string engine_name(const disk_case& c);

// Memory far larger than caches: read and added up, and hashed as a record_store does.
struct memory_pass {
  pass read;
  pass hash;
};
[[nodiscard]] memory_pass run_memory(std::uint64_t bytes);

// The same bytes as records, every one hashed.
class store_run {
 public:
  explicit store_run(const disk_case& c);
  [[nodiscard]] pass run(pattern p);

 private:
  disk_case case_;
  std::uint64_t generation_ = 0;
  std::unique_ptr<offload::host_arena> memory_;
  std::unique_ptr<offload::record_store> store_;
  std::vector<void*> slots_;
  std::vector<completion> busy_;
};

}  // namespace zero::bench
