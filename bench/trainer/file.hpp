#pragma once
// file: an open file, closed at the end of its scope.
//
// Move-only. Reads are positioned and may come from several threads at once.

#include <cstddef>
#include <cstdint>
#include <string>

namespace zero::trainer {

class file {
 public:
  // Opens a regular file for reading. Throws io_error; a folder or a device is one, too.
  [[nodiscard]] static file open(const std::string& path);
  // Makes a file that must not be there yet, for writing, mode 0600. Throws io_error.
  [[nodiscard]] static file create(const std::string& path);

  file(file&& other) noexcept;
  file& operator=(file&&) = delete;
  file(const file&) = delete;
  file& operator=(const file&) = delete;
  ~file();

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  // Bytes, as of open.
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

  // Exactly `count` bytes from `offset`. Throws io_error; corrupt_data if the file ends before.
  void read(void* bytes, std::size_t count, std::uint64_t offset) const;
  // Exactly `count` bytes at `offset`. Throws io_error.
  void write(const void* bytes, std::size_t count, std::uint64_t offset);
  // Makes what was written durable. Throws io_error.
  void sync();

 private:
  file(int descriptor, std::string path, std::uint64_t size) noexcept;

  int descriptor_ = -1;
  std::string path_;
  std::uint64_t size_ = 0;
};

}  // namespace zero::trainer
