#pragma once
// A file system of its own in a file, for tests that fill one up or ask what is used of it. It is
// mounted where only this process and those it starts see it, and goes with them.

#include <cstdint>
#include <string>

namespace zero::test {

// Gives this process mounts of its own. Empty, or why it cannot have them.
std::string own_mounts();

class small_disk {
 public:
  // ext4 of `megabytes`, mounted at folder/disk; folder exists. If that cannot be, why() is not
  // empty.
  small_disk(const std::string& folder, int megabytes);
  small_disk(const small_disk&) = delete;
  small_disk& operator=(const small_disk&) = delete;
  ~small_disk();

  [[nodiscard]] const std::string& why() const noexcept { return why_; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  // Bytes and names of files that are free.
  [[nodiscard]] std::uint64_t free_bytes() const;
  [[nodiscard]] std::uint64_t free_files() const;

 private:
  std::string path_;
  std::string why_;
};

}  // namespace zero::test
