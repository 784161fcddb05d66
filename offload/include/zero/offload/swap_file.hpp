#pragma once
// swap_file: scratch space in a directory, as a file without a name. When the process ends, however
// it ends, nothing is left of it; nobody else can open it; two never meet.
//
// One thread at a time. Move-only.

#include <cstddef>
#include <cstdint>
#include <string>

#pragma GCC visibility push(default)
namespace zero::offload {

// How the file comes to have no name.
enum class swap_naming : unsigned char {
  automatic,  // never had one (O_TMPFILE); `unlinked` where the file system knows no such files
  unlinked,   // created under a random name that is taken away at once
};

enum class swap_caching : unsigned char {
  automatic,  // direct I/O; through the page cache, with a note, where the file system refuses it
  buffered,   // through the page cache
};

struct swap_file_options {
  swap_naming naming = swap_naming::automatic;
  swap_caching caching = swap_caching::automatic;
};

// Where swap files go unless a directory is named: $TMPDIR, else /var/tmp, else /tmp.
[[nodiscard]] std::string default_swap_directory();

class swap_file {
 public:
  // Opens an empty file in `directory`. Refuses, as invalid_argument, a directory that is missing,
  // a symbolic link, not a directory, not writable, on a read-only file system, of another user,
  // or writable by others. With the sticky bit set others may write and root may own it (/tmp):
  // then they can neither see nor remove what lies there, and this file cannot be opened by
  // anyone else anyway. Links above the last component are followed. Throws io_error, of class
  // resource, if a call fails otherwise.
  explicit swap_file(const std::string& directory, const swap_file_options& options = {});
  swap_file(swap_file&& other) noexcept;
  swap_file& operator=(swap_file&& other) noexcept;
  swap_file(const swap_file&) = delete;
  swap_file& operator=(const swap_file&) = delete;
  ~swap_file();

  // Gives the file `bytes` of space on the disk, so that no later write can find it full. Once,
  // bytes > 0. Blocks while the file system finds the space; at worst, on file systems without
  // fallocate, while it writes them. Throws out_of_memory with the bytes asked and available when
  // the disk, a quota or the limit on file sizes does not hold them: nothing is kept then.
  void reserve(std::uint64_t bytes);

  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
  // What offsets, memory and byte counts must be multiples of: what the file system asks for
  // direct I/O, and a page (4096 at least) in any case.
  [[nodiscard]] std::size_t alignment() const noexcept { return alignment_; }
  [[nodiscard]] bool direct() const noexcept { return direct_; }
  // For messages: the directory, and that the file has no name.
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  // Why I/O is not direct, one sentence for printing once; empty if it is, or was not asked to be.
  [[nodiscard]] const std::string& note() const noexcept { return note_; }

 private:
  void go_direct();

  int descriptor_ = -1;
  std::uint64_t bytes_ = 0;
  std::size_t alignment_ = 0;
  bool direct_ = false;
  std::string path_;
  std::string note_;
};

}  // namespace zero::offload
#pragma GCC visibility pop
