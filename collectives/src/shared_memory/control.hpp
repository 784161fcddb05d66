#pragma once
// What ranks share besides the memory they move: the layout of the control pages.
//
// All of it lies in a memory_file that starts zero-filled, may be mapped at another address in
// every process, and so holds offsets and atomics, no pointers. Zero is every object's first state.
//
//   world_header | rank_entry[size] | blocks: group_block, slot[n], staging[n] ... | segments[size]

#include "shared_memory/bell.hpp"

#include <zero/base/dtype.hpp>
#include <zero/collectives/communicator.hpp>

#include <array>
#include <atomic>
#include <cstdint>

namespace zero::collectives {

inline constexpr std::uint32_t ring_size = 256;              // operations outstanding at most
inline constexpr std::uint64_t staging_bytes = 1u << 20;     // of each rank and group, in 2 halves
inline constexpr std::uint64_t nowhere = ~std::uint64_t{0};  // memory that peers cannot read
inline constexpr std::int64_t initial_deadline = 30'000;     // milliseconds
inline constexpr int block_classes = 17;                     // groups of up to 2^16 ranks

enum class operation_kind : unsigned char {
  all_gather,
  reduce_scatter,
  all_to_all,
  all_reduce,
  broadcast,
  barrier,
  split,
};

// What a rank is about to do, for its peers to compare and to find its memory by.
struct operation {
  operation_kind kind;
  dtype in;
  dtype out;
  write_mode mode;
  std::int32_t root;
  std::int32_t tag;
  std::int64_t step;
  std::uint64_t count;   // elements of a piece, or of the whole for all_reduce and broadcast
  std::uint64_t source;  // offset in the file of what peers read, or nowhere
  std::array<char, 32> name;
};

// The first error of a group. state: 0 none, 1 being written, 2 there.
struct poison_record {
  std::atomic<std::uint32_t> state;
  std::int32_t kind;  // error_class
  std::int32_t count;
  std::array<std::int32_t, 32> ranks;  // of the world, the first of `count`
  std::array<char, 640> text;
};

// One rank in one group.
struct alignas(64) slot {
  std::atomic<std::uint64_t> posted;  // operations it has announced
  std::atomic<std::uint64_t> done;    // operations it has finished its part of
  std::atomic<std::uint64_t> met;     // meetings within operations it has come to
  std::atomic<std::uint32_t> left;    // it will announce nothing more
  std::int32_t world_rank;
  std::int32_t color;  // split
  std::int32_t key;
  std::uint64_t block;  // split: of the new group, set by its first rank; 0 there is none
  std::array<operation, ring_size> operations;
};

// One group. Followed by its slots and then by the ranks' staging areas.
struct alignas(64) group_block {
  std::atomic<std::uint64_t> next_free;  // while it is in the list of free blocks
  std::uint64_t size;
  poison_record poison;
  std::atomic<std::uint32_t> told;                   // peers on other hosts know of the poison
  alignas(64) std::atomic<std::uint64_t> gathered;   // operations all ranks of this host posted
  alignas(64) std::atomic<std::uint64_t> announced;  // operations all ranks have agreed on
  alignas(64) std::atomic<std::uint64_t> completed;  // operations all ranks have finished
  alignas(64) std::atomic<std::uint64_t> meetings;   // meetings all ranks have come to
  alignas(64) std::atomic<std::uint32_t> finishing;  // ranks that finished operation `completed`
  std::atomic<std::uint32_t> meeting;                // ranks that came to meeting `meetings`
  std::atomic<std::uint32_t> leaving;                // ranks that left
  alignas(64) std::array<std::atomic<std::uint32_t>, ring_size> posts;  // by operation
};

struct alignas(64) rank_entry {
  bell lane;    // its communication lanes sleep here
  bell caller;  // whoever waits for its completions sleeps here
  std::atomic<std::uint32_t> joined;
  std::atomic<std::int32_t> process;   // 0: it has none yet; the last of these to be written
  std::atomic<std::uint64_t> started;  // when, in ticks of the kernel; 0: not known
  std::atomic<std::uint64_t> space;    // of process numbers; 0: not known
  alignas(64) std::atomic<std::int64_t> moved;  // trace_clock() when it last went on
  std::atomic<std::int64_t> deadline;           // of its waits in the world, in milliseconds
};

struct alignas(64) world_header {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t size;
  std::uint64_t bytes_per_rank;
  std::uint64_t file_bytes;
  std::uint64_t first_segment;            // offset
  std::uint64_t world_block;              // offset of the group of all ranks
  std::uint64_t blocks_end;               // offset
  std::atomic<std::uint64_t> next_block;  // offset; what follows is fresh
  std::atomic<std::uint64_t> heartbeats;  // of the rank that listens to other hosts
  std::array<std::atomic<std::uint64_t>, block_classes> free_blocks;  // count << 40 | page
};

static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

}  // namespace zero::collectives
