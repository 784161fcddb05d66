#include <zero/base/error.hpp>
#include <zero/offload/memory_tier.hpp>

#include <cstring>
#include <string>

namespace zero::offload {

memory_tier::memory_tier(memory_resource& resource, const std::vector<std::uint64_t>& sizes)
    : resource_(resource), layout_(sizes, memory_tier_alignment) {
  // Of nothing but empty records there is an address, and nothing behind it.
  base_ = layout_.bytes() > 0 ? static_cast<std::byte*>(resource_.allocate(layout_.bytes()))
                              : reinterpret_cast<std::byte*>(this);
}

memory_tier::~memory_tier() {
  if (layout_.bytes() > 0) resource_.deallocate(base_, layout_.bytes());
}

std::uint64_t memory_tier::bytes(std::size_t record) const noexcept {
  return layout_[record].bytes;
}

// Nothing is transferred beside a record.
std::uint64_t memory_tier::stride(std::size_t record) const noexcept {
  return layout_[record].bytes;
}

std::byte* memory_tier::in_place(std::size_t record) const noexcept {
  return base_ + layout_[record].offset;
}

void memory_tier::check(std::size_t record, const void* memory) const {
  const bool known = record < records();
  if (known && (memory != nullptr || bytes(record) == 0)) return;
  throw invalid_argument("[offload.memory_tier] record " + std::to_string(record) +
                         (known ? ": no memory" : " of " + std::to_string(records())));
}

completion memory_tier::read(std::size_t record, void* memory) {
  check(record, memory);
  if (bytes(record) > 0) std::memcpy(memory, in_place(record), bytes(record));
  ++read_.records;
  read_.bytes += bytes(record);
  return {};
}

completion memory_tier::write(std::size_t record, const void* memory) {
  check(record, memory);
  if (bytes(record) > 0) std::memcpy(in_place(record), memory, bytes(record));
  ++written_.records;
  written_.bytes += bytes(record);
  return {};
}

}  // namespace zero::offload
