// The arena: sizes, joining, attaching, what is refused.
#include "support/run_ranks.hpp"

#include <zero/base/error.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

namespace zero::testing {
namespace {

using collectives::shared_memory_world;

TEST(world, refuses_sizes_that_cannot_be) {
  EXPECT_THROW(shared_memory_world::create(0), invalid_argument);
  EXPECT_THROW(shared_memory_world::create(-1), invalid_argument);
  EXPECT_THROW(shared_memory_world::create(1 << 20), invalid_argument);
  EXPECT_THROW(shared_memory_world::create(4, std::uint64_t{1} << 55), out_of_memory);
  EXPECT_THROW(shared_memory_world::create(4, ~std::uint64_t{0}), out_of_memory);
}

TEST(world, each_rank_joins_once) {
  auto world = shared_memory_world::create(3, 1 << 20);
  EXPECT_EQ(world.size(), 3);
  auto rank = world.join(1);
  EXPECT_EQ(rank->rank(), 1);
  EXPECT_EQ(rank->size(), 3);
  EXPECT_STREQ(rank->backend(), "shared_memory");
  EXPECT_THROW(static_cast<void>(world.join(1)), invalid_argument);
  EXPECT_THROW(static_cast<void>(world.join(3)), invalid_argument);
  EXPECT_THROW(static_cast<void>(world.join(-1)), invalid_argument);
}

TEST(world, may_go_before_its_ranks) {
  auto world = std::make_unique<shared_memory_world>(shared_memory_world::create(2, 1 << 20));
  auto first = world->join(0);
  auto second = world->join(1);
  world.reset();
  const completion done = first->barrier();
  second->barrier().wait();
  done.wait();
}

TEST(world, attaches_by_descriptor) {
  auto world = shared_memory_world::create(2, 1 << 20);
  EXPECT_NE(fcntl(world.descriptor(), F_GETFD) & FD_CLOEXEC, 0);
  const int copy = dup(world.descriptor());
  auto other = shared_memory_world::attach(copy);
  EXPECT_EQ(other.descriptor(), copy);
  EXPECT_NE(fcntl(copy, F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_EQ(other.size(), 2);
  // Two mappings of one arena, as two processes have them.
  auto first = world.join(0);
  auto second = other.join(1);
  EXPECT_THROW(static_cast<void>(world.join(1)), invalid_argument);
  auto* const a = static_cast<float*>(first->memory().allocate(4));
  auto* const b = static_cast<float*>(second->memory().allocate(4));
  *a = 1;
  *b = 2;
  const completion done = first->all_reduce({a, 1, dtype::fp32});
  second->all_reduce({b, 1, dtype::fp32}).wait();
  done.wait();
  EXPECT_EQ(*a, 3);
  EXPECT_EQ(*b, 3);
  EXPECT_EQ(first->traffic().staged, 0u);
}

TEST(world, refuses_descriptors_of_something_else) {
  const int file = memfd_create("other", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  EXPECT_THROW(shared_memory_world::attach(file), invalid_argument);  // not sealed
  ASSERT_EQ(ftruncate(file, 1 << 20), 0);
  ASSERT_EQ(fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
  EXPECT_THROW(shared_memory_world::attach(file), invalid_argument);  // no header
  EXPECT_NE(fcntl(file, F_GETFD), -1);                                // still ours
  close(file);
  const int plain = open("/dev/null", O_RDONLY | O_CLOEXEC);
  EXPECT_THROW(shared_memory_world::attach(plain), invalid_argument);
  close(plain);
  EXPECT_THROW(shared_memory_world::attach(-1), invalid_argument);
}

TEST(world, refuses_an_arena_of_another_version) {
  auto world = shared_memory_world::create(1, 1 << 20);
  auto* const header = static_cast<std::uint32_t*>(
      mmap(nullptr, page_size(), PROT_READ | PROT_WRITE, MAP_SHARED, world.descriptor(), 0));
  ASSERT_NE(header, MAP_FAILED);
  ++header[2];  // after the 8 bytes that say what it is
  const int copy = dup(world.descriptor());
  EXPECT_THROW(shared_memory_world::attach(copy), invalid_argument);
  close(copy);
  munmap(header, page_size());
}

TEST(world, of_a_thousand_ranks) {
  auto world = shared_memory_world::create(1024, 1 << 20);
  EXPECT_EQ(world.size(), 1024);
  auto last = world.join(1023);
  EXPECT_NE(last->memory().allocate(1 << 20), nullptr);
}

TEST(world, of_the_whole_machine_costs_addresses_only) {
  auto world = shared_memory_world::create(4);
  auto rank = world.join(3);
  const std::size_t half = static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) * page_size() / 2;
  auto* const block = static_cast<char*>(rank->memory().allocate(half));
  block[half - 1] = 1;
  rank->memory().deallocate(block, half);
}

TEST(world, one_rank_needs_no_lane) {
  auto world = shared_memory_world::create(1, 1 << 20);
  auto rank = world.join(0);
  const completion done = rank->barrier();
  EXPECT_TRUE(done.ready());
  world.report_lost(0, "by mistake");
  EXPECT_THROW(done.wait(), peer_lost);
  EXPECT_THROW(rank->barrier(), peer_lost);
}

TEST(world, splits_many_times) {
  // Many more groups than there are control pages for at one time.
  run_ranks(4, [](collectives::communicator& ranks) {
    for (int round = 0; round < 300; ++round) {
      const auto pair = ranks.split(ranks.rank() % 2, 0);
      pair->barrier().wait();
    }
  });
}

TEST(world, says_when_there_are_too_many_groups_at_once) {
  run_ranks(2, [](collectives::communicator& ranks) {
    std::vector<std::unique_ptr<collectives::communicator>> groups;
    EXPECT_THROW(
        {
          for (int i = 0; i < 1000; ++i) groups.push_back(ranks.split(0, 0));
        },
        out_of_memory);
    EXPECT_GE(groups.size(), 32u);
    groups.clear();
    EXPECT_EQ(ranks.split(0, 0)->size(), 2);
  });
}

}  // namespace
}  // namespace zero::testing
