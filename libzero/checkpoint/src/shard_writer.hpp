#pragma once
// shard_writer: one rank's file, written front to back. What is appended is copied into one of four
// buffers and summed there, while a thread of the writer writes the others: past the page cache
// where that can be. Sums are taken before the bytes go anywhere, so that whatever happens to them
// later is found.
//
// One thread at a time. Every call throws io_error, for itself or for the thread, and after that
// the file is good for nothing.

#include "file.hpp"
#include "transfer_memory.hpp"

#include <zero/checkpoint/file_calls.hpp>
#include <zero/checkpoint/manifest.hpp>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace zero::checkpoint {

class shard_writer {
 public:
  // Makes a new file of `bytes` bytes and reserves its room.
  shard_writer(file_calls& calls, const std::string& name, std::uint64_t bytes, const save_id& id,
               int rank, transfer_memory& memory);
  shard_writer(const shard_writer&) = delete;
  shard_writer& operator=(const shard_writer&) = delete;
  ~shard_writer();

  void append(const void* bytes, std::size_t count);
  // Everything is in the file, durably, and the file has its size. The sum of each chunk.
  [[nodiscard]] std::vector<std::uint64_t> finish();

 private:
  void reserve(file_calls& calls);
  void sum(std::size_t count);
  void hand_over();
  void wait_for(std::uint64_t written);
  void stop_thread();
  void run();

  const save_id id_;
  const int rank_;
  const std::uint64_t bytes_;
  transfer_memory& memory_;
  bool direct_ = false;
  file file_;
  std::vector<std::uint64_t> sums_;
  std::uint64_t part_ = 0;  // being filled, counted from the start of the file
  std::size_t filled_ = 0;  // of it

  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // Under mutex_: parts that are full, and those of them that are written; how it went.
  std::uint64_t full_ = 0;
  std::uint64_t written_ = 0;
  bool ending_ = false;
  std::exception_ptr failed_;
};

}  // namespace zero::checkpoint
