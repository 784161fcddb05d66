#pragma once
// One pass over a file, timed: by fio, by a transfer_queue, by a record_store.

#include <zero/offload/disk_engine.hpp>
#include <zero/offload/host_arena.hpp>
#include <zero/offload/record_store.hpp>

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
  bool huge_pages = true;
  offload::disk_engine_kind engine = offload::disk_engine_kind::automatic;

  [[nodiscard]] std::uint64_t blocks() const noexcept { return bytes / block; }
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

// fio with its io_uring engine, registered buffers and files, and no clocks but the job's.
[[nodiscard]] pass run_fio(const disk_case& c, const named_file& file, pattern p);

// Checked transfers, without checksums, to and from registered memory.
class engine_run {
 public:
  engine_run(const disk_case& c, const named_file& file);
  ~engine_run();
  [[nodiscard]] pass run(pattern p);
  [[nodiscard]] const char* engine_name() const noexcept;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

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
