#include "arena/segment.hpp"

#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>

#include <algorithm>

namespace zero::collectives {
namespace {

// A block of 0 bytes takes a page of addresses, so that its pointer is its own.
std::uint64_t whole_pages(std::uint64_t bytes) noexcept {
  return round_up(std::max<std::uint64_t>(bytes, 1), page_size());
}

}  // namespace

segment::segment(const memory_file& file, std::uint64_t first, std::uint64_t bytes)
    : file_(file), aliases_(file, first, bytes) {
  if (bytes > 0) holes_.push_back({first, bytes});
}

void* segment::allocate(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  std::uint64_t largest = 0;
  for (const hole& h : holes_) largest = std::max(largest, h.bytes);
  if (bytes > largest || whole_pages(bytes) > largest) {
    throw out_of_memory("[collectives.memory] this rank's part of the arena", bytes, largest);
  }
  const std::uint64_t size = whole_pages(bytes);
  holes_.reserve(blocks_ + 2);  // deallocate may not allocate: there are at most blocks + 1 holes
  const auto fit =
      std::find_if(holes_.begin(), holes_.end(), [&](const hole& h) { return h.bytes >= size; });
  std::byte* const block = file_.base() + fit->offset;
  fit->offset += size;
  fit->bytes -= size;
  if (fit->bytes == 0) holes_.erase(fit);
  ++blocks_;
  return block;
}

void segment::deallocate(void* block, std::size_t bytes) noexcept {
  if (block == nullptr) return;
  const hole freed{file_.offset_of(block), whole_pages(bytes)};
  const std::lock_guard lock(mutex_);
  for (release_observer* const observer : observers_) {
    observer->before_release(static_cast<const std::byte*>(block), bytes);
  }
  file_.discard(freed.offset, freed.bytes);
  auto next = std::lower_bound(holes_.begin(), holes_.end(), freed.offset,
                               [](const hole& h, std::uint64_t at) { return h.offset < at; });
  const bool joins_next = next != holes_.end() && freed.offset + freed.bytes == next->offset;
  const auto before = next == holes_.begin() ? holes_.end() : next - 1;
  const bool joins_before =
      before != holes_.end() && before->offset + before->bytes == freed.offset;
  if (joins_before) {
    before->bytes += freed.bytes + (joins_next ? next->bytes : 0);
    if (joins_next) holes_.erase(next);
  } else if (joins_next) {
    *next = {freed.offset, freed.bytes + next->bytes};
  } else {
    holes_.insert(next, freed);
  }
  --blocks_;
}

std::byte* segment::resolve(const void* pointer, std::uint64_t bytes) const noexcept {
  if (file_.contains(pointer, bytes)) return file_.base() + file_.offset_of(pointer);
  return aliases_.resolve(pointer, bytes);
}

void segment::add_observer(release_observer& observer) {
  const std::lock_guard lock(mutex_);
  observers_.push_back(&observer);
}

void segment::remove_observer(release_observer& observer) noexcept {
  const std::lock_guard lock(mutex_);
  std::erase(observers_, &observer);
}

}  // namespace zero::collectives
