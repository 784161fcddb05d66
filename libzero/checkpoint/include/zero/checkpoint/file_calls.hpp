#pragma once
// file_calls: the system calls that checkpoints are made of, and nothing else of a file system.
//
// Names are relative to one directory and never leave it: at most two parts, "name" or
// "folder/name", none of them "." or ".."; no symbolic link is followed. Calls return what the
// system does: a number that is not negative, or -errno. They do not retry, loop or throw: whoever
// uses them does (file.hpp), so that models which fail on purpose reach every path of that.
// Models may be used by several threads at once.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#pragma GCC visibility push(default)
namespace zero::checkpoint {

// How a file is opened.
enum class opening : unsigned char {
  read,           // one that is there
  create,         // a new one for writing; EEXIST if the name is taken
  create_direct,  // the same past the page cache: memory, offsets and counts in whole blocks of
                  // `block_bytes`; EINVAL where that cannot be
  lock,           // for reading and writing; created if it is not there
};

inline constexpr std::size_t block_bytes = 4096;

struct file_facts {
  std::uint64_t bytes = 0;
  bool regular = false;
  bool directory = false;
};

class file_calls {
 public:
  virtual ~file_calls() = default;

  // A handle, not negative, for the calls below; files are readable and writable by their owner
  // alone.
  [[nodiscard]] virtual long open(const std::string& name, opening how) = 0;
  [[nodiscard]] virtual long close(long file) = 0;
  [[nodiscard]] virtual long read(long file, void* bytes, std::size_t count,
                                  std::uint64_t offset) = 0;
  [[nodiscard]] virtual long write(long file, const void* bytes, std::size_t count,
                                   std::uint64_t offset) = 0;
  // Reserves room, so that writing there does not run out of it. EOPNOTSUPP where that cannot be.
  [[nodiscard]] virtual long allocate(long file, std::uint64_t count) = 0;
  [[nodiscard]] virtual long resize(long file, std::uint64_t count) = 0;
  [[nodiscard]] virtual long sync(long file) = 0;
  [[nodiscard]] virtual long facts(long file, file_facts& out) = 0;
  // Takes the file's lock without waiting; EAGAIN if another has it. It goes with the handle, and
  // with the process.
  [[nodiscard]] virtual long lock(long file) = 0;

  // "" is the directory itself.
  [[nodiscard]] virtual long make_directory(const std::string& name) = 0;
  [[nodiscard]] virtual long list(const std::string& directory, std::vector<std::string>& out) = 0;
  [[nodiscard]] virtual long sync_directory(const std::string& directory) = 0;
  // EEXIST if `to` is taken.
  [[nodiscard]] virtual long rename(const std::string& from, const std::string& to) = 0;
  [[nodiscard]] virtual long remove_file(const std::string& name) = 0;
  [[nodiscard]] virtual long remove_directory(const std::string& name) = 0;
  // Free for this user, in bytes.
  [[nodiscard]] virtual long free_bytes(std::uint64_t& out) = 0;

  // For messages: what stands before names, "DIR/".
  [[nodiscard]] virtual std::string path_of(const std::string& name) const = 0;
};

// Those of the system in `directory`, which is created, with those above it, if it is not there
// and `create` says so. Throws io_error; invalid_argument if it is no directory.
enum class if_missing : unsigned char { create, refuse };
[[nodiscard]] std::shared_ptr<file_calls> open_directory(const std::string& directory,
                                                         if_missing otherwise);

}  // namespace zero::checkpoint
#pragma GCC visibility pop
