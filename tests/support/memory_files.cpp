#include "memory_files.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace zero::testing {

using checkpoint::opening;
using kind = file_operation::kind;

std::shared_ptr<memory_files::node> memory_files::make_top() {
  auto top = std::make_shared<node>();
  top->directory = true;
  return top;
}

memory_files::memory_files(const directory_image& image) {
  const auto add = [&](node& folder, const std::string& name, const std::string& bytes) {
    auto made = std::make_shared<node>();
    made->number = next_number_++;
    made->bytes = bytes;
    used_ += bytes.size();
    folder.entries[name] = made;
  };
  for (const auto& [name, bytes] : image.files) add(*top_, name, bytes);
  for (const auto& [name, files] : image.folders) {
    auto folder = std::make_shared<node>();
    folder->number = next_number_++;
    folder->directory = true;
    for (const auto& [file, bytes] : files) add(*folder, file, bytes);
    top_->entries[name] = folder;
  }
}

memory_files::place memory_files::find(const std::string& name) const {
  place at;
  const std::size_t slash = name.find('/');
  at.name = slash == std::string::npos ? name : name.substr(slash + 1);
  if (at.name.empty() || at.name == "." || at.name == ".." ||
      at.name.find('/') != std::string::npos) {
    at.error = -EINVAL;
    return at;
  }
  at.error = find_directory(slash == std::string::npos ? "" : name.substr(0, slash), at.folder);
  return at;
}

long memory_files::find_directory(const std::string& name, std::shared_ptr<node>& out) const {
  if (name.empty()) {
    out = top_;
    return 0;
  }
  const auto found = top_->entries.find(name);
  if (found == top_->entries.end()) return -ENOENT;
  if (!found->second->directory) return -ENOTDIR;
  out = found->second;
  return 0;
}

std::shared_ptr<memory_files::node> memory_files::make(const place& at, bool directory) {
  auto made = std::make_shared<node>();
  made->number = next_number_++;
  made->directory = directory;
  at.folder->entries[at.name] = made;
  record({directory ? kind::make_directory : kind::make_file, made->number, at.folder->number,
          at.name, "", 0, ""});
  return made;
}

long memory_files::open(const std::string& name, opening how) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const place at = find(name);
  if (at.error != 0) return at.error;
  const auto found = at.folder->entries.find(at.name);
  const bool there = found != at.folder->entries.end();
  const bool creates = how == opening::create || how == opening::create_direct;
  if (there && creates) return -EEXIST;
  if (!there && how == opening::read) return -ENOENT;
  if (how == opening::create_direct && !direct) return -EINVAL;
  if (there && found->second->directory) return -EISDIR;
  handles_[next_handle_] = {there ? found->second : make(at, false), how != opening::read,
                            how == opening::create_direct};
  return next_handle_++;
}

memory_files::handle* memory_files::find_handle(long file) {
  const auto found = handles_.find(file);
  return found == handles_.end() ? nullptr : &found->second;
}

long memory_files::close(long file) {
  const std::lock_guard<std::mutex> lock(mutex_);
  handle* const h = find_handle(file);
  if (h == nullptr) return -EBADF;
  if (h->file->locked_by == file) h->file->locked_by = -1;
  handles_.erase(file);
  return 0;
}

long memory_files::read(long file, void* bytes, std::size_t count, std::uint64_t offset) {
  const std::lock_guard<std::mutex> lock(mutex_);
  handle* const h = find_handle(file);
  if (h == nullptr) return -EBADF;
  const std::string& from = h->file->bytes;
  if (offset >= from.size()) return 0;
  const std::size_t part = std::min<std::size_t>(count, from.size() - offset);
  std::memcpy(bytes, from.data() + offset, part);
  return static_cast<long>(part);
}

long memory_files::grow(handle& h, std::uint64_t bytes) {
  if (bytes <= h.file->bytes.size()) return 0;
  const std::uint64_t more = bytes - h.file->bytes.size();
  if (used_ + more > room) return -ENOSPC;
  used_ += more;
  h.file->bytes.resize(static_cast<std::size_t>(bytes), '\0');
  return 0;
}

long memory_files::write(long file, const void* bytes, std::size_t count, std::uint64_t offset) {
  const std::lock_guard<std::mutex> lock(mutex_);
  handle* const h = find_handle(file);
  if (h == nullptr || !h->writes) return -EBADF;
  const std::uint64_t block = checkpoint::block_bytes;
  if (h->direct && (reinterpret_cast<std::uintptr_t>(bytes) % block != 0 || count % block != 0 ||
                    offset % block != 0)) {
    return -EINVAL;
  }
  if (const long full = grow(*h, offset + count); full != 0) return full;
  std::memcpy(h->file->bytes.data() + offset, bytes, count);
  record({kind::write, h->file->number, 0, "", "", offset,
          std::string(static_cast<const char*>(bytes), count)});
  return static_cast<long>(count);
}

long memory_files::allocate(long file, std::uint64_t count) {
  const std::lock_guard<std::mutex> lock(mutex_);
  handle* const h = find_handle(file);
  if (h == nullptr || !h->writes) return -EBADF;
  if (!reserving) return -EOPNOTSUPP;
  if (count <= h->file->bytes.size()) return 0;
  if (const long full = grow(*h, count); full != 0) return full;
  record({kind::resize, h->file->number, 0, "", "", count, ""});
  return 0;
}

long memory_files::resize(long file, std::uint64_t count) {
  const std::lock_guard<std::mutex> lock(mutex_);
  handle* const h = find_handle(file);
  if (h == nullptr || !h->writes) return -EBADF;
  if (count < h->file->bytes.size()) used_ -= h->file->bytes.size() - count;
  if (const long full = grow(*h, count); full != 0) return full;
  h->file->bytes.resize(static_cast<std::size_t>(count), '\0');
  record({kind::resize, h->file->number, 0, "", "", count, ""});
  return 0;
}

long memory_files::sync(long file) {
  const std::lock_guard<std::mutex> lock(mutex_);
  handle* const h = find_handle(file);
  if (h == nullptr) return -EBADF;
  record({kind::sync, h->file->number, 0, "", "", 0, ""});
  return 0;
}

long memory_files::facts(long file, checkpoint::file_facts& out) {
  const std::lock_guard<std::mutex> lock(mutex_);
  handle* const h = find_handle(file);
  if (h == nullptr) return -EBADF;
  out = {h->file->bytes.size(), true, false};
  return 0;
}

long memory_files::lock(long file) {
  const std::lock_guard<std::mutex> lock(mutex_);
  handle* const h = find_handle(file);
  if (h == nullptr || !h->writes) return -EBADF;
  if (h->file->locked_by >= 0 && h->file->locked_by != file) return -EAGAIN;
  h->file->locked_by = file;
  return 0;
}

long memory_files::make_directory(const std::string& name) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const place at = find(name);
  if (at.error != 0) return at.error;
  if (at.folder->entries.count(at.name) > 0) return -EEXIST;
  make(at, true);
  return 0;
}

long memory_files::list(const std::string& directory, std::vector<std::string>& out) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::shared_ptr<node> found;
  if (const long error = find_directory(directory, found); error != 0) return error;
  for (const auto& [name, entry] : found->entries) out.push_back(name);
  return 0;
}

long memory_files::sync_directory(const std::string& directory) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::shared_ptr<node> found;
  if (const long error = find_directory(directory, found); error != 0) return error;
  record({kind::sync_directory, found->number, 0, "", "", 0, ""});
  return 0;
}

long memory_files::rename(const std::string& from, const std::string& to) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const place source = find(from);
  const place target = find(to);
  if (source.error != 0 || target.error != 0) return std::min(source.error, target.error);
  if (source.folder != target.folder) return -EXDEV;  // no store moves anything elsewhere
  auto& entries = source.folder->entries;
  const auto found = entries.find(source.name);
  if (found == entries.end()) return -ENOENT;
  if (entries.count(target.name) > 0) return -EEXIST;
  entries[target.name] = found->second;
  entries.erase(source.name);
  record({kind::rename, entries[target.name]->number, source.folder->number, source.name,
          target.name, 0, ""});
  return 0;
}

long memory_files::remove_file(const std::string& name) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const place at = find(name);
  if (at.error != 0) return at.error;
  const auto found = at.folder->entries.find(at.name);
  if (found == at.folder->entries.end()) return -ENOENT;
  if (found->second->directory) return -EISDIR;
  used_ -= found->second->bytes.size();
  record({kind::remove, found->second->number, at.folder->number, at.name, "", 0, ""});
  at.folder->entries.erase(found);
  return 0;
}

long memory_files::remove_directory(const std::string& name) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const place at = find(name);
  if (at.error != 0) return at.error;
  const auto found = at.folder->entries.find(at.name);
  if (found == at.folder->entries.end()) return -ENOENT;
  if (!found->second->directory) return -ENOTDIR;
  if (!found->second->entries.empty()) return -ENOTEMPTY;
  record({kind::remove, found->second->number, at.folder->number, at.name, "", 0, ""});
  at.folder->entries.erase(found);
  return 0;
}

long memory_files::free_bytes(std::uint64_t& out) {
  const std::lock_guard<std::mutex> lock(mutex_);
  out = room - used_;
  return 0;
}

std::string memory_files::path_of(const std::string& name) const {
  return name.empty() ? "memory" : "memory/" + name;
}

directory_image memory_files::image() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  directory_image out;
  for (const auto& [name, entry] : top_->entries) {
    if (!entry->directory) {
      out.files[name] = entry->bytes;
      continue;
    }
    auto& folder = out.folders[name];
    for (const auto& [file, inside] : entry->entries) folder[file] = inside->bytes;
  }
  return out;
}

std::vector<file_operation> memory_files::operations() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return operations_;
}

std::size_t memory_files::open_handles() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return handles_.size();
}

void memory_files::mark(const std::string& what) {
  const std::lock_guard<std::mutex> lock(mutex_);
  record({kind::mark, 0, 0, what, "", 0, ""});
}

}  // namespace zero::testing
