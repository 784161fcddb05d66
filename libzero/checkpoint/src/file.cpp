#include "file.hpp"

#include <zero/base/error.hpp>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace zero::checkpoint {
namespace {

bool interrupted(long result) { return result == -EINTR || result == -EAGAIN; }

// Calls until it is not interrupted; at last an interruption is what is returned.
template <typename Call>
long patiently(const Call& call) {
  long result = call();
  for (int i = 1; i < most_interruptions && interrupted(result); ++i) result = call();
  return result;
}

[[noreturn]] void fail_at(const char* operation, const std::string& path, long result,
                          std::uint64_t offset = 0) {
  throw io_error(operation, path, static_cast<int>(-result), offset);
}

void check(const char* operation, file_calls& calls, const std::string& name, long result) {
  if (result < 0) fail_at(operation, calls.path_of(name), result);
}

}  // namespace

file::file(file_calls& calls, const std::string& name, opening how)
    : calls_(&calls), path_(calls.path_of(name)), direct_(how == opening::create_direct) {
  handle_ = patiently([&] { return calls_->open(name, how); });
  if (handle_ < 0) {
    fail(how == opening::create || how == opening::create_direct ? "create" : "open", handle_);
  }
}

file::file(file&& other) noexcept
    : calls_(other.calls_),
      path_(std::move(other.path_)),
      handle_(std::exchange(other.handle_, -1)),
      direct_(other.direct_),
      condemned_(other.condemned_) {}

file::~file() {
  if (handle_ < 0) return;
  const long result = calls_->close(handle_);
  static_cast<void>(result);
}

void file::fail(const char* operation, long result, std::uint64_t offset) const {
  fail_at(operation, path_, result, offset);
}

void file::check_usable(const char* operation) const {
  if (handle_ < 0) fail(operation, -EBADF);
  if (condemned_ != 0) fail("fsync", -condemned_);
}

std::uint64_t file::size() const {
  file_facts found;
  const long result = patiently([&] { return calls_->facts(handle_, found); });
  if (result < 0) fail("stat", result);
  if (!found.regular) throw corrupt_data("not a regular file", path_);
  return found.bytes;
}

void file::read(void* bytes, std::size_t count, std::uint64_t offset) const {
  auto* out = static_cast<char*>(bytes);
  bool nothing = false;  // came the last time
  while (count > 0) {
    const long taken = patiently([&] { return calls_->read(handle_, out, count, offset); });
    if (taken < 0) fail("read", taken, offset);
    const auto done = static_cast<std::size_t>(taken);
    if (done > count) fail("read", -EIO, offset);
    if (done == 0 && nothing) {
      throw corrupt_data("the file ends " + std::to_string(count) + " bytes too soon", path_,
                         offset);
    }
    nothing = done == 0;
    out += done;
    offset += done;
    count -= done;
  }
}

void file::write(const void* bytes, std::size_t count, std::uint64_t offset) {
  check_usable("write");
  const auto* in = static_cast<const char*>(bytes);
  bool nothing = false;
  while (count > 0) {
    const long given = patiently([&] { return calls_->write(handle_, in, count, offset); });
    if (given < 0) fail("write", given, offset);
    auto done = static_cast<std::size_t>(given);
    if (done > count) fail("write", -EIO, offset);
    if (direct_) done = done / block_bytes * block_bytes;  // the next one must begin at a block
    if (done == 0 && nothing) fail("write", -EIO, offset);
    nothing = done == 0;
    in += done;
    offset += done;
    count -= done;
  }
}

bool file::allocate(std::uint64_t count) {
  check_usable("allocate");
  const long result = patiently([&] { return calls_->allocate(handle_, count); });
  if (result == -EOPNOTSUPP) return false;
  if (result < 0) fail("allocate", result, count);
  return true;
}

void file::resize(std::uint64_t count) {
  check_usable("resize");
  const long result = patiently([&] { return calls_->resize(handle_, count); });
  if (result < 0) fail("resize", result, count);
}

void file::sync() {
  check_usable("fsync");
  const long result = calls_->sync(handle_);
  if (result >= 0) return;
  // The kernel forgets which pages it could not write: a second fsync would succeed and prove
  // nothing.
  condemned_ = static_cast<int>(-result);
  fail("fsync", result);
}

bool file::try_lock() {
  check_usable("lock");
  long result = -EINTR;
  for (int i = 0; i < most_interruptions && result == -EINTR; ++i) result = calls_->lock(handle_);
  if (result == -EAGAIN || result == -EACCES) return false;
  if (result < 0) fail("lock", result);
  return true;
}

void file::close() {
  if (handle_ < 0) fail("close", -EBADF);
  const long result = calls_->close(std::exchange(handle_, -1));
  if (result < 0) fail("close", result);
}

bool is_no_file(int error_number) noexcept {
  return error_number == ENOENT || error_number == ENOTDIR || error_number == EISDIR ||
         error_number == ELOOP || error_number == EINVAL || error_number == ENXIO;
}

std::string read_whole(file_calls& calls, const std::string& name, std::uint64_t limit) {
  file opened(calls, name, opening::read);
  const std::uint64_t bytes = opened.size();
  if (bytes > limit) {
    throw corrupt_data(
        "it has " + std::to_string(bytes) + " bytes, more than " + std::to_string(limit),
        opened.path(), limit);
  }
  std::string text(static_cast<std::size_t>(bytes), '\0');
  opened.read(text.data(), text.size(), 0);
  return text;
}

void write_whole(file_calls& calls, const std::string& name, const std::string& text) {
  file made(calls, name, opening::create);
  made.write(text.data(), text.size(), 0);
  made.sync();
  made.close();
}

void make_directory(file_calls& calls, const std::string& name) {
  check("mkdir", calls, name, calls.make_directory(name));
}

std::vector<std::string> list_directory(file_calls& calls, const std::string& name) {
  std::vector<std::string> names;
  check("list", calls, name, patiently([&] {
          names.clear();
          return calls.list(name, names);
        }));
  std::sort(names.begin(), names.end());
  return names;
}

void sync_directory(file_calls& calls, const std::string& name) {
  check("fsync", calls, name, calls.sync_directory(name));
}

void rename(file_calls& calls, const std::string& from, const std::string& to) {
  const long result = calls.rename(from, to);
  if (result < 0) {
    throw io_error("rename '" + calls.path_of(from) + "' to", calls.path_of(to),
                   static_cast<int>(-result));
  }
}

void remove_file(file_calls& calls, const std::string& name) {
  check("remove", calls, name, calls.remove_file(name));
}

void remove_directory(file_calls& calls, const std::string& name) {
  check("remove", calls, name, calls.remove_directory(name));
}

std::uint64_t free_bytes(file_calls& calls) {
  std::uint64_t bytes = 0;
  check("statvfs", calls, "", patiently([&] { return calls.free_bytes(bytes); }));
  return bytes;
}

}  // namespace zero::checkpoint
