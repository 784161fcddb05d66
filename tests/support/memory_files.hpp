#pragma once
// memory_files: a directory in memory, as a file system promises to behave and no better. It keeps
// the operations that changed it, so that what a loss of power could have left can be made of them:
//
// - of a file, what was written before its last fsync is there; of what came after, any part
// - of names made, moved and removed in a directory, those before its last fsync; of the later
// ones,
//   any part
//
// and nothing else: no order between files, none between names. Locks go with handles. May be used
// by several threads.

#include <zero/checkpoint/file_calls.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace zero::testing {

// One change. Files and directories have numbers that are never used twice; 0 is the directory.
struct file_operation {
  enum class kind : unsigned char {
    make_file,       // `name` in `where` is `node` from here on
    make_directory,  // likewise
    write,           // `bytes` at `offset` of `node`
    resize,          // `node` has `offset` bytes
    sync,            // of file `node`
    sync_directory,  // of directory `node`
    rename,          // in `where`, of `name` to `other`
    remove,          // of `name` in `where`
    mark,            // what the test wanted to remember: `name`
  };
  kind what = kind::mark;
  std::uint64_t node = 0;
  std::uint64_t where = 0;
  std::string name;
  std::string other;
  std::uint64_t offset = 0;
  std::string bytes;
};

// What lies in a directory: files, and folders of files.
struct directory_image {
  std::map<std::string, std::string> files;
  std::map<std::string, std::map<std::string, std::string>> folders;
};

class memory_files final : public checkpoint::file_calls {
 public:
  memory_files() = default;
  explicit memory_files(const directory_image& image);

  [[nodiscard]] long open(const std::string& name, checkpoint::opening how) override;
  [[nodiscard]] long close(long file) override;
  [[nodiscard]] long read(long file, void* bytes, std::size_t count, std::uint64_t offset) override;
  [[nodiscard]] long write(long file, const void* bytes, std::size_t count,
                           std::uint64_t offset) override;
  [[nodiscard]] long allocate(long file, std::uint64_t count) override;
  [[nodiscard]] long resize(long file, std::uint64_t count) override;
  [[nodiscard]] long sync(long file) override;
  [[nodiscard]] long facts(long file, checkpoint::file_facts& out) override;
  [[nodiscard]] long lock(long file) override;
  [[nodiscard]] long make_directory(const std::string& name) override;
  [[nodiscard]] long list(const std::string& directory, std::vector<std::string>& out) override;
  [[nodiscard]] long sync_directory(const std::string& directory) override;
  [[nodiscard]] long rename(const std::string& from, const std::string& to) override;
  [[nodiscard]] long remove_file(const std::string& name) override;
  [[nodiscard]] long remove_directory(const std::string& name) override;
  [[nodiscard]] long free_bytes(std::uint64_t& out) override;
  [[nodiscard]] std::string path_of(const std::string& name) const override;

  // Whether direct files and reserving are to be had; how much there is room for.
  bool direct = true;
  bool reserving = true;
  std::uint64_t room = std::uint64_t{1} << 40U;

  [[nodiscard]] directory_image image() const;
  [[nodiscard]] std::vector<file_operation> operations() const;
  [[nodiscard]] std::size_t open_handles() const;
  void mark(const std::string& what);

 private:
  struct node {
    std::uint64_t number = 0;
    bool directory = false;
    std::string bytes;
    std::map<std::string, std::shared_ptr<node>> entries;
    long locked_by = -1;
  };
  struct handle {
    std::shared_ptr<node> file;
    bool writes = false;
    bool direct = false;
  };
  struct place {
    std::shared_ptr<node> folder;  // null: there is none, for `error`
    std::string name;
    long error = 0;
  };

  [[nodiscard]] place find(const std::string& name) const;
  [[nodiscard]] long find_directory(const std::string& name, std::shared_ptr<node>& out) const;
  std::shared_ptr<node> make(const place& at, bool directory);
  long grow(handle& h, std::uint64_t bytes);
  void record(file_operation operation) { operations_.push_back(std::move(operation)); }
  handle* find_handle(long file);

  mutable std::mutex mutex_;
  std::shared_ptr<node> top_ = make_top();
  std::map<long, handle> handles_;
  long next_handle_ = 3;
  std::uint64_t next_number_ = 1;
  std::uint64_t used_ = 0;
  std::vector<file_operation> operations_;

  static std::shared_ptr<node> make_top();
};

}  // namespace zero::testing
