#include "affinity.hpp"
#include "memory_limit.hpp"
#include "populate.hpp"
#include "topology.hpp"

#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>
#include <zero/offload/host_arena.hpp>

#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <map>
#include <string>
#include <utility>

namespace zero::offload {
namespace {

constexpr std::size_t huge_page = std::size_t{2} << 20;

// Blocks by stride. Throws invalid_argument where they cannot be counted.
std::map<std::size_t, std::size_t> by_stride(const std::vector<block_class>& blocks) {
  std::map<std::size_t, std::size_t> counts;
  std::uint64_t left = std::numeric_limits<std::int64_t>::max();
  for (const block_class& b : blocks) {
    const std::size_t page = page_size();
    if (b.bytes > left - page || (b.count > 0 && round_up(b.bytes, page) > left / b.count)) {
      throw invalid_argument("[offload.host_arena] blocks of more than 2^63 bytes in all");
    }
    if (b.count == 0) continue;
    const std::size_t stride = round_up(std::max<std::size_t>(b.bytes, 1), page);
    counts[stride] += b.count;
    left -= std::min<std::uint64_t>(left, stride * b.count);
    if (left < page) throw invalid_argument("[offload.host_arena] blocks of more than 2^63 bytes");
  }
  return counts;
}

}  // namespace

std::uint64_t host_arena::bytes_of(const std::vector<block_class>& blocks) {
  std::uint64_t sum = 0;
  for (const auto& [stride, count] : by_stride(blocks)) sum += std::uint64_t{stride} * count;
  return sum;
}

host_arena::host_arena(const std::vector<block_class>& blocks, host_arena_options options)
    : options_(std::move(options)), bytes_(bytes_of(blocks)) {
  if (bytes_ > 0) map();
  try {
    classify(blocks);
    if (bytes_ > 0) {
      fault_in();
      lock_and_pin();
    }
  } catch (...) {
    if (base_ != nullptr) munmap(base_, bytes_);
    throw;
  }
}

host_arena::~host_arena() {
  if (base_ == nullptr) return;
  if (pinned_ && options_.unpin) options_.unpin(base_, bytes_);
  munmap(base_, bytes_);
}

void host_arena::map() {
  const std::uint64_t available = available_memory();
  if (available > 0 && bytes_ > available) {
    throw out_of_memory("[offload.host_arena] host memory", bytes_, available);
  }
  // Past it, faulting pages in would not fail but kill.
  const memory_limit limit = limit_of_groups();
  if (bytes_ > limit.left) {
    throw out_of_memory(
        "[offload.host_arena] host memory within the limit of control group '" + limit.group + "'",
        bytes_, limit.left);
  }
  // Huge pages need their alignment: map more, and give back what sticks out.
  const std::uint64_t generous = bytes_ + huge_page;
  void* const found =
      mmap(nullptr, generous, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (found == MAP_FAILED) {
    throw out_of_memory("[offload.host_arena] addresses for host memory", bytes_, available);
  }
  const auto address = reinterpret_cast<std::uintptr_t>(found);
  const std::uint64_t before = round_up(address, huge_page) - address;
  const std::uint64_t after = huge_page - before;
  base_ = static_cast<std::byte*>(found) + before;
  if (before > 0) munmap(found, before);
  if (after > 0) munmap(base_ + bytes_, after);
  madvise(base_, bytes_, MADV_HUGEPAGE);  // a wish: small pages do as well
}

void host_arena::classify(const std::vector<block_class>& blocks) {
  std::byte* next = base_;
  for (const auto& [stride, count] : by_stride(blocks)) {
    size_class& c = classes_.emplace_back();
    c.stride = stride;
    c.first = next;
    c.count = count;
    c.used.resize(count);
    c.free.reserve(count);
    for (std::size_t i = count; i-- > 0;) c.free.push_back(next + i * stride);
    next += stride * count;
  }
}

void host_arena::fault_in() {
  if (options_.node >= 0) {
    const std::string why = bind_to_node(base_, bytes_, options_.node);
    if (!why.empty()) {
      notes_.push_back("host memory is not bound to NUMA node " + std::to_string(options_.node) +
                       " (" + why + ")");
    }
  }
  const int threads =
      options_.threads > 0 ? options_.threads : static_cast<int>(allowed_processors().size());
  const int failed = populate(base_, bytes_, threads);
  if (failed != 0) {
    throw out_of_memory(
        std::string("[offload.host_arena] pages of host memory (") + std::strerror(failed) + ")",
        bytes_, available_memory());
  }
}

void host_arena::lock_and_pin() {
  if (options_.lock == arena_lock::memory) {
    locked_ = mlock(base_, bytes_) == 0;
    if (!locked_) {
      const int why = errno;
      rlimit limit{};
      getrlimit(RLIMIT_MEMLOCK, &limit);
      notes_.push_back("host memory of " + format_bytes(bytes_) + " is not locked (" +
                       std::strerror(why) + "; the limit is " +
                       (limit.rlim_cur == RLIM_INFINITY ? "none" : format_bytes(limit.rlim_cur)) +
                       "): it is pageable");
    }
  }
  if (options_.pin) {
    const std::string why = options_.pin(base_, bytes_);
    pinned_ = why.empty();
    if (!pinned_) {
      notes_.push_back("host memory of " + format_bytes(bytes_) + " is not pinned (" + why +
                       "): it is pageable");
    }
  }
}

void* host_arena::allocate(std::size_t bytes) {
  const auto fits =
      std::lower_bound(classes_.begin(), classes_.end(), std::max<std::size_t>(bytes, 1),
                       [](const size_class& c, std::size_t wanted) { return c.stride < wanted; });
  if (fits == classes_.end() || fits->free.empty()) {
    throw out_of_memory("[offload.host_arena] a block", bytes, 0);
  }
  auto* const block = static_cast<std::byte*>(fits->free.back());
  fits->free.pop_back();
  const auto index = static_cast<std::size_t>(block - fits->first) / fits->stride;
  if (fits->used[index]) std::memset(block, 0, fits->stride);
  fits->used[index] = true;
  in_use_ += fits->stride;
  return block;
}

void host_arena::deallocate(void* block, std::size_t bytes) noexcept {
  static_cast<void>(bytes);
  const auto* const at = static_cast<const std::byte*>(block);
  const auto after = std::upper_bound(
      classes_.begin(), classes_.end(), at,
      [](const std::byte* address, const size_class& c) { return address < c.first; });
  if (after == classes_.begin()) return;  // none of ours
  size_class& c = *(after - 1);
  if (c.free.size() == c.count) return;  // none of it is out
  c.free.push_back(block);
  in_use_ -= c.stride;
}

}  // namespace zero::offload
