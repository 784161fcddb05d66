#include <zero/base/memory_statistics.hpp>

#include <algorithm>

namespace zero {

const char* name_of(memory_account account) noexcept {
  switch (account) {
    case memory_account::parameters:
      return "parameters";
    case memory_account::gradients:
      return "gradients";
    case memory_account::optimizer:
      return "optimizer";
    case memory_account::buffers:
      return "buffers";
    case memory_account::host:
      return "host";
    case memory_account::disk:
      return "disk";
  }
  return "unknown";
}

void memory_statistics::add(memory_account account, std::uint64_t bytes) noexcept {
  const std::lock_guard lock(mutex_);
  current_[static_cast<std::size_t>(account)] += bytes;
  if (account != memory_account::disk) sum_ += bytes;
  peak_ = std::max(peak_, sum_);
  ++allocations_;
}

void memory_statistics::subtract(memory_account account, std::uint64_t bytes) noexcept {
  const std::lock_guard lock(mutex_);
  current_[static_cast<std::size_t>(account)] -= bytes;
  if (account != memory_account::disk) sum_ -= bytes;
}

std::uint64_t memory_statistics::current(memory_account account) const noexcept {
  const std::lock_guard lock(mutex_);
  return current_[static_cast<std::size_t>(account)];
}

memory_by_account memory_statistics::current() const noexcept {
  const std::lock_guard lock(mutex_);
  return current_;
}

std::uint64_t memory_statistics::peak() const noexcept {
  const std::lock_guard lock(mutex_);
  return peak_;
}

std::uint64_t memory_statistics::allocations() const noexcept {
  const std::lock_guard lock(mutex_);
  return allocations_;
}

}  // namespace zero
