#include "trainer/safetensors_writer.hpp"

#include <zero/base/error.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace zero::trainer {

namespace {

// Makes a rename in the folder of `path` durable.
void sync_folder(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) throw io_error("open folder", folder, errno);
  const int failed = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  // Some file systems cannot and say EINVAL; there is nothing better to do on them.
  if (failed != 0 && failed != EINVAL) throw io_error("fsync folder", folder, failed);
}

}  // namespace

safetensors_writer::safetensors_writer(std::string path)
    : path_(std::move(path)), temporary_(path_ + ".part." + std::to_string(::getpid())) {}

safetensors_writer::~safetensors_writer() {
  if (file_) ::unlink(temporary_.c_str());
}

void safetensors_writer::declare(const std::string& name, dtype type,
                                 const std::vector<std::uint64_t>& shape) {
  if (body_ != 0) throw invalid_argument("'" + name + "' is declared after the first write");
  if (type == dtype::byte || name == "__metadata__") {
    throw invalid_argument("'" + name + "' of dtype " + name_of(type) + " cannot be written");
  }
  for (const safetensors_entry& entry : entries_) {
    if (entry.name == name) throw invalid_argument("'" + name + "' is declared twice");
  }
  std::uint64_t bytes = size_of(type);
  const std::uint64_t begin = entries_.empty() ? 0 : entries_.back().end;
  std::uint64_t end = 0;
  for (const std::uint64_t dimension : shape) {
    if (__builtin_mul_overflow(bytes, dimension, &bytes)) {
      throw invalid_argument("'" + name + "' has more than 2^64 bytes");
    }
  }
  if (__builtin_add_overflow(begin, bytes, &end)) {
    throw invalid_argument("the file would have more than 2^64 bytes");
  }
  entries_.push_back({name, type, shape, begin, end});
}

void safetensors_writer::add_metadata(const std::string& key, const std::string& value) {
  if (body_ != 0) throw invalid_argument("metadata '" + key + "' comes after the first write");
  metadata_.emplace_back(key, value);
}

void safetensors_writer::begin() {
  const std::string header = checkpoint::format_safetensors_header(entries_, metadata_);
  file_.emplace(file::create(temporary_));
  const std::uint64_t length = header.size();
  file_->write(&length, sizeof length, 0);
  file_->write(header.data(), header.size(), sizeof length);
  body_ = sizeof length + length;
}

void safetensors_writer::write(const_typed_span run) {
  if (body_ == 0) begin();
  if (run.count == 0) return;
  while (current_ < entries_.size() && entries_[current_].end == written_) ++current_;
  if (current_ == entries_.size() || run.type != entries_[current_].type ||
      run.bytes() > entries_[current_].end - written_) {
    throw invalid_argument(current_ == entries_.size()
                               ? std::to_string(run.count) + " elements after the last tensor"
                               : std::to_string(run.count) + " elements of " + name_of(run.type) +
                                     " do not fit the rest of '" + entries_[current_].name + "'");
  }
  file_->write(run.data, run.bytes(), body_ + written_);
  written_ += run.bytes();
}

void safetensors_writer::finish() {
  if (body_ == 0) begin();
  const std::uint64_t total = entries_.empty() ? 0 : entries_.back().end;
  if (written_ != total) {
    throw invalid_argument(std::to_string(total - written_) + " bytes of tensors are missing");
  }
  file_->sync();
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0) {
    throw io_error("rename to", path_, errno);
  }
  file_.reset();
  sync_folder(path_);
}

}  // namespace zero::trainer
