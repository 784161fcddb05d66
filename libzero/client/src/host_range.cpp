// client_range on the host: anonymous pages that MADV_DONTNEED gives back.

#include "client_range.hpp"

#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>
#include <zero/base/memory_resource.hpp>

#include <sys/mman.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <vector>

namespace zero::client {

bool client_range::contains(const void* memory, std::size_t bytes) const noexcept {
  const auto at = reinterpret_cast<std::uintptr_t>(memory);
  const auto first = reinterpret_cast<std::uintptr_t>(begin());
  return at >= first && at - first <= size() && bytes <= size() - (at - first);
}

bool client_range::overlaps(const void* memory, std::size_t bytes) const noexcept {
  const auto at = reinterpret_cast<std::uintptr_t>(memory);
  const auto first = reinterpret_cast<std::uintptr_t>(begin());
  return at < first ? first - at < bytes : at - first < size();
}

namespace {

class host_range final : public client_range {
 public:
  host_range(range_use use, std::size_t bytes, range_count& count)
      : use_(use),
        bytes_(bytes),
        memory_(static_cast<std::byte*>(pages_.allocate(bytes))),
        given_(round_up(bytes, page_size()) / page_size(), false),
        count_(count) {
    count_.add(given_.size() * page_size());
  }
  ~host_range() override {
    for (const bool given : given_) {
      if (!given) count_.subtract(page_size());
    }
    pages_.deallocate(memory_, bytes_);
  }

  [[nodiscard]] std::byte* begin() const noexcept override { return memory_; }
  [[nodiscard]] std::size_t size() const noexcept override { return bytes_; }

  void take(span<const extent> parts) override {
    for (const extent& part : parts) {
      const extent pages = whole_pages(part);
      if (pages.bytes == 0) continue;
      if (use_ == range_use::parameters) protect(pages, PROT_READ | PROT_WRITE);
      mark(pages, false);
    }
  }

  void give_back(span<const extent> parts) override {
    for (const extent& part : parts) {
      const extent pages = whole_pages(part);
      const std::size_t end = part.at + part.bytes;
      if (pages.bytes == 0) {
        blank(part.at, end);
        continue;
      }
      blank(part.at, pages.at);
      blank(pages.at + pages.bytes, end);
      mark(pages, false);  // a gradient may have been written without having been taken
      if (madvise(memory_ + pages.at, pages.bytes, MADV_DONTNEED) != 0) {
        throw io_error("madvise", "a client's range", errno, pages.at);
      }
      if (use_ == range_use::parameters) protect(pages, PROT_NONE);
      mark(pages, true);
    }
  }

 private:
  [[nodiscard]] static extent whole_pages(const extent& part) noexcept {
    const std::size_t first = round_up(part.at, page_size());
    const std::size_t end = (part.at + part.bytes) / page_size() * page_size();
    return {first, end > first ? end - first : 0};
  }

  void blank(std::size_t from, std::size_t to) noexcept {
    // All bits set are no number in any dtype.
    std::memset(memory_ + from, use_ == range_use::parameters ? 0xFF : 0, to - from);
  }

  void protect(const extent& pages, int how) {
    if (mprotect(memory_ + pages.at, pages.bytes, how) == 0) return;
    // The system has a limit on how many pieces a process's memory is in.
    if (errno == ENOMEM) throw out_of_memory("[client.range] page tables", pages.bytes, 0);
    throw io_error("mprotect", "a client's range", errno, pages.at);
  }

  void mark(const extent& pages, bool given) noexcept {
    const std::size_t end = (pages.at + pages.bytes) / page_size();
    std::uint64_t changed = 0;
    for (std::size_t page = pages.at / page_size(); page < end; ++page) {
      if (given_[page] == given) continue;
      given_[page] = given;
      changed += page_size();
    }
    if (given) {
      count_.subtract(changed);
    } else {
      count_.add(changed);
    }
  }

  const range_use use_;
  const std::size_t bytes_;
  page_resource pages_;
  std::byte* const memory_;
  std::vector<bool> given_;  // by page
  range_count& count_;
};

}  // namespace

std::unique_ptr<client_range> make_host_range(range_use use, std::size_t bytes,
                                              range_count& count) {
  return std::make_unique<host_range>(use, bytes, count);
}

}  // namespace zero::client
