#include "shard_writer.hpp"

#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>
#include <zero/base/hash.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace zero::checkpoint {
namespace {

// Past the page cache where that can be.
file make_file(file_calls& calls, const std::string& name, bool& direct) {
  direct = true;
  try {
    return file(calls, name, opening::create_direct);
  } catch (const io_error& refused) {
    if (refused.error_number != EINVAL) throw;
  }
  direct = false;
  return file(calls, name, opening::create);
}

}  // namespace

shard_writer::shard_writer(file_calls& calls, const std::string& name, std::uint64_t bytes,
                           const save_id& id, int rank, transfer_memory& memory)
    : id_(id), rank_(rank), bytes_(bytes), memory_(memory), file_(make_file(calls, name, direct_)) {
  reserve(calls);
}

shard_writer::~shard_writer() { stop_thread(); }

// A disk that is too full is found out now, and not when most has been written.
void shard_writer::reserve(file_calls& calls) {
  if (file_.allocate(bytes_)) return;
  if (free_bytes(calls) < bytes_) throw io_error("allocate", file_.path(), ENOSPC, bytes_);
}

void shard_writer::append(const void* bytes, std::size_t count) {
  const auto* from = static_cast<const std::uint8_t*>(bytes);
  while (count > 0) {
    const std::size_t part = std::min(count, transfer_memory::part_bytes - filled_);
    std::memcpy(memory_.part(part_) + filled_, from, part);
    from += part;
    count -= part;
    filled_ += part;
    if (filled_ == transfer_memory::part_bytes) hand_over();
  }
}

void shard_writer::sum(std::size_t count) {
  const std::uint8_t* const part = memory_.part(part_);
  for (std::size_t at = 0; at < count; at += chunk_bytes) {
    const std::size_t bytes = std::min<std::size_t>(count - at, chunk_bytes);
    sums_.push_back(checksum64(part + at, bytes, chunk_seed(id_, rank_, sums_.size())));
  }
}

// The thread finds the next part without waiting for this one, which waits only for room.
void shard_writer::hand_over() {
  sum(filled_);
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  ++part_;
  filled_ = 0;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    full_ = part_;
  }
  changed_.notify_all();
  if (part_ >= transfer_memory::parts) wait_for(part_ - transfer_memory::parts + 1);
}

void shard_writer::wait_for(std::uint64_t written) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [&] { return written_ >= written || failed_; });
  if (failed_) std::rethrow_exception(failed_);
}

void shard_writer::run() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return written_ < full_ || ending_; });
    if (ending_) return;
    const std::uint64_t part = written_;
    lock.unlock();
    std::exception_ptr thrown;
    try {
      file_.write(memory_.part(part), transfer_memory::part_bytes,
                  part * transfer_memory::part_bytes);
    } catch (...) {
      thrown = std::current_exception();
    }
    lock.lock();
    ++written_;
    failed_ = thrown;
    changed_.notify_all();
    if (failed_) return;
  }
}

void shard_writer::stop_thread() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

std::vector<std::uint64_t> shard_writer::finish() {
  const std::uint64_t given = part_ * transfer_memory::part_bytes;
  if (given + filled_ != bytes_) {
    throw error("'" + file_.path() + "': " + std::to_string(given + filled_) +
                " bytes came where " + std::to_string(bytes_) + " were announced");
  }
  sum(filled_);
  wait_for(part_);
  stop_thread();
  if (filled_ > 0) {
    std::uint8_t* const part = memory_.part(part_);
    const std::size_t whole = direct_ ? round_up(filled_, block_bytes) : filled_;
    std::memset(part + filled_, 0, whole - filled_);
    file_.write(part, whole, given);
    if (whole != filled_) file_.resize(bytes_);
  }
  if (file_.size() != bytes_) {
    throw io_error("write: the file has " + std::to_string(file_.size()) + " bytes and not " +
                       std::to_string(bytes_) + ", in",
                   file_.path(), EIO);
  }
  file_.sync();
  file_.close();
  return sums_;
}

}  // namespace zero::checkpoint
