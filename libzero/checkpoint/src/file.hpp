#pragma once
// file: an open file of a file_calls, closed at the end of its scope; and the calls on names that
// throw. Here are the loops that file_calls leaves out:
//
// - what is read or written in part goes on with the rest; nothing done twice in a row is an error
// - EINTR and EAGAIN are tried again where that is harmless, at most `most_interruptions` times in
//   a row; never after fsync, close, rename, mkdir, unlink or rmdir, which may have done their work
// - a file whose fsync failed is condemned: every later write or fsync of it throws the same error
//
// Errors are io_error with errno, path and offset. Move-only. Reads may come from several threads
// at once; writes and all else from one.

#include <zero/checkpoint/file_calls.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace zero::checkpoint {

inline constexpr int most_interruptions = 100;

class file {
 public:
  // Throws io_error.
  file(file_calls& calls, const std::string& name, opening how);
  file(file&& other) noexcept;
  file& operator=(file&&) = delete;
  file(const file&) = delete;
  file& operator=(const file&) = delete;
  ~file();  // closes it; how that ended is swallowed: what matters calls close()

  [[nodiscard]] const std::string& path() const noexcept { return path_; }  // for messages
  // Bytes, now. Throws io_error; corrupt_data if it is no regular file.
  [[nodiscard]] std::uint64_t size() const;

  // Exactly `count` bytes from `offset`. Throws io_error; corrupt_data if the file ends before.
  void read(void* bytes, std::size_t count, std::uint64_t offset) const;
  // Exactly `count` bytes at `offset`. Of a file opened with create_direct all three are whole
  // blocks.
  void write(const void* bytes, std::size_t count, std::uint64_t offset);
  // Reserves room for a file of `count` bytes. False where the file system cannot.
  bool allocate(std::uint64_t count);
  void resize(std::uint64_t count);
  // Makes what was written durable. What it throws it throws ever after.
  void sync();
  // False if another has the lock.
  [[nodiscard]] bool try_lock();
  // Once; the file is closed even if it throws.
  void close();

 private:
  [[noreturn]] void fail(const char* operation, long result, std::uint64_t offset = 0) const;
  void check_usable(const char* operation) const;

  file_calls* calls_;
  std::string path_;
  long handle_ = -1;
  bool direct_ = false;
  int condemned_ = 0;  // errno of the fsync that failed
};

// ---- names; "" is the directory itself ----

// Whether this is why a name that must be a file cannot be opened: nothing has it, or something
// else.
[[nodiscard]] bool is_no_file(int error_number) noexcept;

// All of a file; corrupt_data if it is longer than `limit` or no regular file.
[[nodiscard]] std::string read_whole(file_calls& calls, const std::string& name,
                                     std::uint64_t limit);
// Makes, writes, syncs and closes a new file. Not its directory.
void write_whole(file_calls& calls, const std::string& name, const std::string& text);

void make_directory(file_calls& calls, const std::string& name);
// Sorted.
[[nodiscard]] std::vector<std::string> list_directory(file_calls& calls, const std::string& name);
void sync_directory(file_calls& calls, const std::string& name);
// Nothing is ever replaced: io_error with EEXIST.
void rename(file_calls& calls, const std::string& from, const std::string& to);
void remove_file(file_calls& calls, const std::string& name);
void remove_directory(file_calls& calls, const std::string& name);
[[nodiscard]] std::uint64_t free_bytes(file_calls& calls);

}  // namespace zero::checkpoint
