#include "support/failing_disk.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>

namespace zero::testing {

using offload::direction;
using offload::disk_request;
using offload::disk_result;

namespace {

struct freed {
  void operator()(void* block) const noexcept { std::free(block); }
};

std::unique_ptr<char, freed> aligned_copy(const void* memory, std::uint64_t bytes) {
  void* block = nullptr;
  if (posix_memalign(&block, 4096, bytes) != 0) throw std::bad_alloc();
  std::memcpy(block, memory, bytes);
  return std::unique_ptr<char, freed>(static_cast<char*>(block));
}

}  // namespace

// Moves `bytes` of the request's memory to or from `offset`, now.
void failing_disk::move(const disk_request& r, std::uint64_t offset, std::uint64_t bytes) {
  if (bytes == 0) return;
  const auto at = static_cast<off_t>(offset);
  const ssize_t moved = r.way == direction::read ? pread(r.file, r.memory, bytes, at)
                                                 : pwrite(r.file, r.memory, bytes, at);
  if (moved != static_cast<ssize_t>(bytes)) throw std::runtime_error("failing_disk: no such place");
}

void failing_disk::remember(const disk_request& r) {
  if (r.way != direction::write) return;
  auto& now = current_[r.offset];
  old_[r.offset] = now.empty() ? std::vector<char>(r.bytes) : now;
  const auto* const bytes = static_cast<const char*>(r.memory);
  now.assign(bytes, bytes + r.bytes);
}

int failing_disk::submit(const disk_request& r) {
  const bool counted = r.way == direction::read ? plan_.reads : plan_.writes;
  ++(r.way == direction::read ? tally_->reads : tally_->writes);
  const std::uint64_t number = counted ? tally_->counted++ : 0;
  const bool chosen = counted && plan_.what != disk_fault::none && number >= plan_.first &&
                      number - plan_.first < plan_.count;
  remember(r);
  if (chosen) ++tally_->spoiled;
  const int result = chosen ? spoil(r) : inner_->submit(r);
  if (result == 0 && !(chosen && plan_.what == disk_fault::silence)) ++outstanding_;
  return result;
}

int failing_disk::spoil(const disk_request& r) {
  auto answer = static_cast<std::int64_t>(r.bytes);
  disk_request altered = r;
  const std::uint64_t half = r.bytes / 2 / 512 * 512;
  switch (plan_.what) {
    case disk_fault::eio:
      answer = -EIO;
      break;
    case disk_fault::enospc:
      answer = -ENOSPC;
      break;
    case disk_fault::eintr:
      answer = -EINTR;
      break;
    case disk_fault::eagain:
      answer = -EAGAIN;
      break;
    case disk_fault::refused:
      return ENOMEM;
    case disk_fault::half:
      move(r, r.offset, half);
      answer = static_cast<std::int64_t>(half);
      break;
    case disk_fault::odd:  // the one byte is as it will be when all are moved
      answer = 1;
      break;
    case disk_fault::zero:
      answer = 0;
      break;
    case disk_fault::too_much:
      answer += 512;
      break;
    case disk_fault::torn:
      move(r, r.offset, half);
      break;
    case disk_fault::flipped_bit: {
      const auto copy = aligned_copy(r.memory, r.bytes);
      if (r.way == direction::write) altered.memory = copy.get();
      // The first byte: the last ones may lie past the record's own.
      if (r.way == direction::write) copy.get()[0] ^= 16;
      move(altered, r.offset, r.bytes);
      if (r.way == direction::read) static_cast<char*>(r.memory)[0] ^= 32;
      break;
    }
    case disk_fault::old_generation:
      if (r.way == direction::read && old_.count(r.offset) != 0) {
        std::memcpy(r.memory, old_[r.offset].data(),
                    std::min<std::size_t>(r.bytes, old_[r.offset].size()));
      }
      break;
    case disk_fault::neighbour: {
      const off_t size = lseek(r.file, 0, SEEK_END);
      const bool fits = r.offset + 2 * r.bytes <= static_cast<std::uint64_t>(size);
      move(r, fits ? r.offset + r.bytes : 0, r.bytes);
      break;
    }
    case disk_fault::silence:
      return 0;
    case disk_fault::nothing:
    case disk_fault::none:
      break;
  }
  answers_.push_back({r.tag, answer});
  return 0;
}

std::size_t failing_disk::reap(span<disk_result> results, clock::time_point until) {
  const std::size_t own = std::min(answers_.size(), results.size());
  std::copy_n(answers_.end() - static_cast<std::ptrdiff_t>(own), own, results.data());
  answers_.resize(answers_.size() - own);
  outstanding_ -= own;
  if (own > 0) return own;
  const std::size_t count = inner_->reap(results, until);
  // Where only silence is outstanding the inner engine has nothing to wait for.
  outstanding_ -= count;
  if (count == 0 && until > clock::now()) std::this_thread::sleep_until(until);
  return count;
}

fault_script::fault_script(int owners, std::vector<line> lines) : lines_(std::move(lines)) {
  for (int i = 0; i < owners; ++i) tallies_.push_back(std::make_shared<fault_tally>());
}

std::function<std::unique_ptr<offload::disk_engine>()> fault_script::engines_of(int owner) const {
  fault_plan plan;
  for (const line& l : lines_) {
    if (l.owner == owner) plan = l.plan;
  }
  return [plan, tally = tallies_.at(static_cast<std::size_t>(owner))] {
    return std::make_unique<failing_disk>(offload::make_disk_engine(), plan, tally);
  };
}

}  // namespace zero::testing
