// The memory a communicator offers: blocks that come and go, and their second addresses.
#include "support/run_ranks.hpp"

#include <zero/base/error.hpp>
#include <zero/collectives/single.hpp>

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <random>
#include <set>
#include <vector>

namespace zero::testing {
namespace {

using collectives::communicator;
using collectives::shared_memory_world;

std::uint64_t resident_bytes(int descriptor) {
  struct stat status {};
  EXPECT_EQ(fstat(descriptor, &status), 0);
  return static_cast<std::uint64_t>(status.st_blocks) * 512;
}

TEST(memory, is_bounded_and_says_what_is_left) {
  auto world = shared_memory_world::create(1, 10 * page_size());
  auto rank = world.join(0);
  auto& memory = rank->memory();
  void* const all = memory.allocate(10 * page_size());
  try {
    static_cast<void>(memory.allocate(1));
    ADD_FAILURE() << "no error";
  } catch (const out_of_memory& full) {
    EXPECT_EQ(full.requested, 1u);
    EXPECT_EQ(full.available, 0u);
  }
  memory.deallocate(all, 10 * page_size());
  EXPECT_THROW(static_cast<void>(memory.allocate(10 * page_size() + 1)), out_of_memory);
  EXPECT_THROW(static_cast<void>(memory.allocate(~std::size_t{0})), out_of_memory);
  EXPECT_EQ(memory.allocate(10 * page_size()), all);
}

// Under `ulimit -v` what is set aside is less than all memory, and leaves addresses for the rest.
TEST(memory, is_set_aside_within_a_limit_of_addresses) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers set addresses aside for themselves";
#endif
  const auto within = [](rlim_t limit) {
    const struct rlimit addresses = {limit, limit};
    if (setrlimit(RLIMIT_AS, &addresses) != 0) _exit(2);
    const std::size_t some = std::size_t{64} << 20;
    auto world = shared_memory_world::create(4);
    const auto alone = collectives::make_single();
    std::memset(world.join(3)->memory().allocate(some), 1, some);
    std::memset(alone->memory().allocate(some), 1, some);
    const std::vector<char> beside(some);
    _exit(beside[some - 1]);
  };
  for (const rlim_t limit : {rlim_t{2} << 30, rlim_t{6} << 30}) {
    EXPECT_EXIT(within(limit), ::testing::ExitedWithCode(0), "") << limit;
  }
}

TEST(memory, freed_goes_back_to_the_system) {
  auto world = shared_memory_world::create(2, 64 << 20);
  auto rank = world.join(1);
  const std::uint64_t before = resident_bytes(world.descriptor());
  const std::size_t bytes = 16 << 20;
  void* const block = rank->memory().allocate(bytes);
  std::memset(block, 1, bytes);
  EXPECT_GE(resident_bytes(world.descriptor()), before + bytes);
  rank->memory().deallocate(block, bytes);
  EXPECT_LE(resident_bytes(world.descriptor()), before + page_size());
}

TEST(memory, random_blocks_never_overlap_and_all_join_again) {
  const std::size_t pages = 200;
  auto world = shared_memory_world::create(1, pages * page_size());
  auto rank = world.join(0);
  auto& memory = rank->memory();
  struct piece {
    std::uint8_t* at;
    std::size_t bytes;
    std::uint8_t mark;
  };
  std::vector<piece> pieces;
  std::mt19937 random(7);
  std::size_t refused = 0;
  for (int step = 0; step < 3000; ++step) {
    if (pieces.empty() || random() % 5 < 3) {
      const std::size_t bytes = random() % (12 * page_size());
      try {
        auto* const at = static_cast<std::uint8_t*>(memory.allocate(bytes));
        const auto mark = static_cast<std::uint8_t>(1 + random() % 255);
        for (std::size_t i = 0; i < bytes; i += 509) ASSERT_EQ(at[i], 0);
        std::memset(at, mark, bytes);
        pieces.push_back({at, bytes, mark});
      } catch (const out_of_memory&) {
        ++refused;
      }
    } else {
      const std::size_t which = random() % pieces.size();
      const piece p = pieces[which];
      for (std::size_t i = 0; i < p.bytes; i += 127) ASSERT_EQ(p.at[i], p.mark);
      memory.deallocate(p.at, p.bytes);
      pieces.erase(pieces.begin() + static_cast<std::ptrdiff_t>(which));
    }
  }
  EXPECT_GT(refused, 0u);  // it was full at times
  for (const piece& p : pieces) memory.deallocate(p.at, p.bytes);
  EXPECT_NE(memory.allocate(pages * page_size()), nullptr);  // one hole again
}

void check_mappings(communicator& ranks) {
  auto& memory = ranks.memory();
  address_space* const space = memory.mappings();
  ASSERT_NE(space, nullptr);
  const std::size_t page = space->granularity();
  auto* const block = static_cast<std::uint8_t*>(memory.allocate(4 * page));
  auto* const range = static_cast<std::uint8_t*>(space->reserve(8 * page));
  std::memset(block, 1, 4 * page);

  space->map(range + 2 * page, block, 4 * page);
  EXPECT_EQ(range[2 * page], 1);
  range[3 * page] = 9;
  EXPECT_EQ(block[page], 9);
  // Over a part of it, other pages.
  space->map(range + 3 * page, block + 3 * page, page);
  range[3 * page] = 7;
  EXPECT_EQ(block[3 * page], 7);
  EXPECT_EQ(block[page], 9);
  space->unmap(range + 2 * page, 4 * page);
  EXPECT_EQ(block[page], 9);  // keeps its contents
  space->map(range, block, page);
  EXPECT_EQ(range[0], 1);

  EXPECT_THROW(space->map(range + 1, block, page), invalid_argument);
  EXPECT_THROW(space->map(range, block, page + 1), invalid_argument);
  EXPECT_THROW(space->map(range, block + 1, page), invalid_argument);
  std::vector<std::uint8_t> heap(3 * page);
  const auto aligned = (reinterpret_cast<std::uintptr_t>(heap.data()) + page - 1) / page * page;
  EXPECT_THROW(space->map(range, reinterpret_cast<void*>(aligned), page), invalid_argument);
  space->unreserve(range, 8 * page);
  memory.deallocate(block, 4 * page);
}

TEST(mappings, of_shared_memory) { run_ranks(2, check_mappings); }

TEST(mappings, of_single) { check_mappings(*collectives::make_single()); }

TEST(mappings, unmapped_addresses_fault) {
  const auto ranks = collectives::make_single();
  auto& memory = ranks->memory();
  address_space& space = *memory.mappings();
  const std::size_t page = space.granularity();
  void* const block = memory.allocate(page);
  auto* const range = static_cast<volatile char*>(space.reserve(page));
  EXPECT_DEATH({ range[0] = 1; }, "");
  space.map(const_cast<char*>(range), block, page);
  range[0] = 1;
  space.unmap(const_cast<char*>(range), page);
  EXPECT_DEATH({ range[0] = 1; }, "");
}

TEST(mappings, a_second_address_is_not_foreign) {
  run_ranks(3, [](communicator& ranks) {
    auto& memory = ranks.memory();
    address_space& space = *memory.mappings();
    const std::size_t page = space.granularity();
    const std::size_t count = 3 * page / sizeof(float);
    const std::size_t bytes = (3 * page * 3 + page - 1) / page * page;
    auto* const block = static_cast<char*>(memory.allocate(bytes));
    auto* const range = static_cast<char*>(space.reserve(bytes + page));
    // In two neighbouring pieces, which are one range all the same.
    space.map(range, block, page);
    space.map(range + page, block + page, bytes - page);
    auto* const values = reinterpret_cast<float*>(range);
    const auto me = static_cast<std::size_t>(ranks.rank());
    const typed_span full{range, 3 * count, dtype::fp32};
    for (std::size_t i = 0; i < count; ++i) values[me * count + i] = static_cast<float>(me + i % 5);
    ranks.all_gather(full.part(me * count, count), full).wait();
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < 3 * count; ++i) {
      wrong += values[i] != static_cast<float>(i / count + i % count % 5);
    }
    EXPECT_EQ(wrong, 0u);
    EXPECT_EQ(ranks.traffic().staged, 0u);
    // By two addresses in one call: the shard is its own piece by the block's own address.
    const typed_span by_block{block, 3 * count, dtype::fp32};
    ranks.reduce_scatter(full, by_block.part(me * count, count)).wait();
    EXPECT_EQ(values[me * count + 1], 3 * static_cast<float>(me + 1));
    EXPECT_EQ(ranks.traffic().staged, 0u);
    // Once unmapped, the range is nobody's; other memory is staged and counted.
    space.unmap(range, bytes);
    std::vector<float> heap(10, 1);
    ranks.all_reduce({heap.data(), 10, dtype::fp32}).wait();
    EXPECT_EQ(heap[9], 3);
    EXPECT_EQ(ranks.traffic().staged, 40u);
    space.unreserve(range, bytes + page);
    memory.deallocate(block, bytes);
  });
}

}  // namespace
}  // namespace zero::testing
