#include "shared_memory/arena.hpp"

#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>
#include <zero/base/memory_resource.hpp>

#include <string>

namespace zero::collectives {
namespace {

constexpr std::uint64_t magic = 0x6f72657a62696c00u;  // "\0libzero"
constexpr std::uint32_t version = 4;
constexpr int largest_world = 1 << (block_classes - 1);
constexpr std::uint64_t blocks_of_world_size = 64;  // room for this many splits at a time

int class_of(int size) noexcept {
  int power = 0;
  while ((1 << power) < size) ++power;
  return power;
}

std::uint64_t slots_bytes(std::uint64_t size) noexcept {
  return round_up(sizeof(group_block) + size * sizeof(slot), page_size());
}

std::uint64_t block_bytes(int power) noexcept {
  const std::uint64_t size = std::uint64_t{1} << power;
  return slots_bytes(size) + size * staging_bytes;
}

constexpr int page_bits = 40;  // of a list head; above them a count against the ABA problem
constexpr std::uint64_t page_mask = (std::uint64_t{1} << page_bits) - 1;

}  // namespace

arena arena::create(int size, std::uint64_t bytes_per_rank) {
  if (bytes_per_rank != 0) return create_exactly(size, bytes_per_rank);
  return make_spacious(size, [size](std::uint64_t bytes) { return create_exactly(size, bytes); });
}

arena arena::create_exactly(int size, std::uint64_t bytes_per_rank) {
  if (size < 1 || size > largest_world) {
    throw invalid_argument("[collectives.shared_memory] " + std::to_string(size) +
                           " ranks: accepted are 1 to " + std::to_string(largest_world));
  }
  const auto ranks = static_cast<std::uint64_t>(size);
  const std::uint64_t memory = bytes_per_rank;
  // Far beyond any address space, and far enough from where the sums below would wrap.
  if (memory > (std::uint64_t{1} << 56) / ranks) {
    throw out_of_memory("[collectives.shared_memory] addresses of a rank", memory,
                        (std::uint64_t{1} << 56) / ranks);
  }
  const std::uint64_t per_rank = round_up(memory, page_size());
  const std::uint64_t blocks =
      round_up(sizeof(world_header) + ranks * sizeof(rank_entry), page_size());
  const std::uint64_t blocks_end = blocks + blocks_of_world_size * block_bytes(class_of(size));
  arena made(memory_file::create(blocks_end + ranks * per_rank));

  world_header& header = made.header();
  header.version = version;
  header.size = static_cast<std::uint32_t>(size);
  header.bytes_per_rank = per_rank;
  header.file_bytes = made.file_.bytes();
  header.first_segment = blocks_end;
  header.blocks_end = blocks_end;
  header.next_block.store(blocks);
  header.world_block = made.allocate_block(size);
  for (int rank = 0; rank < size; ++rank) made.slot_of(header.world_block, rank).world_rank = rank;
  header.magic = magic;
  return made;
}

arena arena::attach(int descriptor) {
  arena found(memory_file::adopt(descriptor));
  const std::uint64_t bytes = found.file_.bytes();
  if (bytes < sizeof(world_header) || found.header().magic != magic ||
      found.header().version != version || found.header().file_bytes != bytes) {
    found.file_.release_descriptor();
    throw invalid_argument("[collectives.shared_memory] descriptor " + std::to_string(descriptor) +
                           " is no arena of this version of the library");
  }
  return found;
}

world_header& arena::header() const noexcept {
  return *reinterpret_cast<world_header*>(file_.base());
}

rank_entry& arena::entry(int world_rank) const noexcept {
  return reinterpret_cast<rank_entry*>(file_.base() + sizeof(world_header))[world_rank];
}

std::uint64_t arena::segment_offset(int world_rank) const noexcept {
  return header().first_segment + static_cast<std::uint64_t>(world_rank) * header().bytes_per_rank;
}

group_block& arena::block(std::uint64_t offset) const noexcept {
  return *reinterpret_cast<group_block*>(file_.base() + offset);
}

slot& arena::slot_of(std::uint64_t block, int rank) const noexcept {
  return reinterpret_cast<slot*>(file_.base() + block + sizeof(group_block))[rank];
}

std::byte* arena::staging(std::uint64_t block, int size, int rank) const noexcept {
  return file_.base() + block + slots_bytes(static_cast<std::uint64_t>(size)) +
         static_cast<std::uint64_t>(rank) * staging_bytes;
}

std::uint64_t arena::allocate_block(int size) const noexcept {
  const int power = class_of(size);
  std::atomic<std::uint64_t>& head = header().free_blocks[static_cast<std::size_t>(power)];
  std::uint64_t first = head.load();
  while ((first & page_mask) != 0) {
    const std::uint64_t found = (first & page_mask) * page_size();
    // Stale if another rank took this block meanwhile; then the exchange fails by the count.
    const std::uint64_t next = block(found).next_free.load();
    const std::uint64_t count = (first >> page_bits) + 1;
    if (head.compare_exchange_weak(first, count << page_bits | next)) {
      block(found).next_free.store(0);
      block(found).size = static_cast<std::uint64_t>(size);
      return found;
    }
  }
  const std::uint64_t bytes = block_bytes(power);
  std::uint64_t fresh = header().next_block.load();
  do {
    if (fresh + bytes > header().blocks_end) return 0;
  } while (!header().next_block.compare_exchange_weak(fresh, fresh + bytes));
  block(fresh).size = static_cast<std::uint64_t>(size);
  return fresh;
}

void arena::free_block(std::uint64_t offset) const noexcept {
  const int power = class_of(static_cast<int>(block(offset).size));
  file_.discard(offset, block_bytes(power));
  std::atomic<std::uint64_t>& head = header().free_blocks[static_cast<std::size_t>(power)];
  std::uint64_t first = head.load();
  do {
    block(offset).next_free.store(first & page_mask);
  } while (!head.compare_exchange_weak(
      first, ((first >> page_bits) + 1) << page_bits | offset / page_size()));
}

}  // namespace zero::collectives
