// Memory that is there when it is asked for, in the sizes that were asked for.
#include "offload/child.hpp"

#include <zero/base/error.hpp>
#include <zero/offload/host_arena.hpp>
#include <zero/offload/processors.hpp>

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <set>
#include <string>
#include <vector>

namespace zero::testing {
namespace {

using namespace zero::offload;

long page_faults() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  return used.ru_minflt + used.ru_majflt;
}

// Pages of the range that are not in memory.
std::size_t absent_pages(void* memory, std::size_t bytes) {
  std::vector<unsigned char> present((bytes + page_size() - 1) / page_size());
  EXPECT_EQ(mincore(memory, bytes, present.data()), 0);
  return static_cast<std::size_t>(
      std::count_if(present.begin(), present.end(), [](unsigned char p) { return (p & 1) == 0; }));
}

TEST(host_arena, has_every_page_from_the_start_and_keeps_it) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the address sanitizer has page faults of its own";
#endif
  const std::size_t bytes = (37 << 20) + 5;
  host_arena arena({{bytes, 2}, {5000, 3}});
  EXPECT_EQ(absent_pages(arena.base(), arena.bytes()), 0U);
  const long before = page_faults();
  for (int round = 0; round < 3; ++round) {
    void* const block = arena.allocate(bytes);
    std::memset(block, 0xCC, bytes);
    arena.deallocate(block, bytes);
  }
  EXPECT_LT(page_faults() - before, 100);  // of more than 9000 pages; the test's own cost a few
  EXPECT_EQ(absent_pages(arena.base(), arena.bytes()), 0U);
}

TEST(host_arena, rounds_to_pages_and_no_further) {
  const std::size_t page = page_size();
  EXPECT_EQ(host_arena::bytes_of({{1, 1}, {page, 2}, {page + 1, 1}, {33 * page, 5}, {7, 0}}),
            (1 + 2 + 2 + 165) * page);
  EXPECT_EQ(host_arena::bytes_of({}), 0U);
  host_arena arena({{3 * page - 7, 2}, {100, 1}, {3 * page, 1}});
  EXPECT_EQ(arena.bytes(), 10 * page);
  EXPECT_EQ(arena.in_use(), 0U);
  std::vector<void*> blocks;
  for (int i = 0; i < 3; ++i) blocks.push_back(arena.allocate(3 * page - 7));
  blocks.push_back(arena.allocate(0));
  EXPECT_EQ(arena.in_use(), arena.bytes());
  std::set<std::uintptr_t> taken;
  for (void* const block : blocks) {
    const auto at = reinterpret_cast<std::uintptr_t>(block);
    EXPECT_EQ(at % page, 0U);
    const std::size_t pages = block == blocks.back() ? 1 : 3;
    for (std::size_t i = 0; i < pages; ++i) EXPECT_TRUE(taken.insert(at + i * page).second);
  }
  EXPECT_EQ(taken.size(), 10U);
  EXPECT_EQ(*taken.begin(), reinterpret_cast<std::uintptr_t>(arena.base()));
  EXPECT_EQ(*taken.rbegin(), reinterpret_cast<std::uintptr_t>(arena.base()) + 9 * page);
  for (void* const block : blocks) arena.deallocate(block, 1);
  EXPECT_EQ(arena.in_use(), 0U);
  for (int i = 0; i < 3; ++i) (void)arena.allocate(2 * page + 1);  // all are there again
}

TEST(host_arena, gives_zeros_again_and_again) {
  host_arena arena({{10000, 1}});
  for (int round = 0; round < 3; ++round) {
    auto* const block = static_cast<unsigned char*>(arena.allocate(10000));
    for (int i = 0; i < 10000; ++i) ASSERT_EQ(block[i], 0);
    std::memset(block, 0xFF, 10000);
    arena.deallocate(block, 10000);
  }
}

TEST(host_arena, one_size_does_not_eat_anothers) {
  host_arena arena({{4096, 1}, {8192, 1}});
  (void)arena.allocate(100);
  try {
    (void)arena.allocate(100);
    ADD_FAILURE() << "a larger block was taken";
  } catch (const out_of_memory& none) {
    EXPECT_EQ(none.requested, 100U);
    EXPECT_EQ(none.kind(), error_class::resource);
  }
  EXPECT_THROW((void)arena.allocate(8193), out_of_memory);
  EXPECT_NO_THROW((void)arena.allocate(8192));
}

TEST(host_arena, of_nothing) {
  host_arena arena({{5, 0}});
  EXPECT_EQ(arena.bytes(), 0U);
  EXPECT_THROW((void)arena.allocate(0), out_of_memory);
}

TEST(host_arena, more_than_the_machine_has) {
  const std::size_t huge = std::size_t{1} << 50;
  try {
    const host_arena arena({{huge, 2}});
    ADD_FAILURE() << "two pebibytes were found";
  } catch (const out_of_memory& none) {
    EXPECT_EQ(none.requested, 2 * huge);
    EXPECT_GT(none.available, 0U);
    EXPECT_LT(none.available, huge);
  }
  const std::size_t most = std::numeric_limits<std::size_t>::max();
  EXPECT_THROW(host_arena({{most, 1}}), invalid_argument);
  EXPECT_THROW(host_arena({{4096, most / 2}}), invalid_argument);
  EXPECT_THROW(host_arena({{most / 4, 1}, {most / 4, 1}, {most / 4, 1}}), invalid_argument);
}

TEST(host_arena, pins_the_whole_of_it_once) {
  std::vector<std::pair<void*, std::size_t>> pinned, unpinned;
  host_arena_options options;
  options.pin = [&](void* memory, std::size_t bytes) {
    EXPECT_EQ(absent_pages(memory, bytes), 0U);  // pinning what is not there would be slow
    pinned.emplace_back(memory, bytes);
    return std::string();
  };
  options.unpin = [&](void* memory, std::size_t bytes) { unpinned.emplace_back(memory, bytes); };
  {
    const host_arena arena({{5000, 3}}, options);
    EXPECT_TRUE(arena.pinned());
    EXPECT_TRUE(arena.notes().empty());
    ASSERT_EQ(pinned.size(), 1U);
    EXPECT_EQ(pinned[0], std::make_pair(arena.base(), std::size_t{3} * 8192));
    EXPECT_TRUE(unpinned.empty());
  }
  EXPECT_EQ(unpinned, pinned);
}

TEST(host_arena, is_pageable_where_pinning_is_refused) {
  bool unpinned = false;
  host_arena_options options;
  options.pin = [](void*, std::size_t) { return std::string("the device is out of patience"); };
  options.unpin = [&](void*, std::size_t) { unpinned = true; };
  {
    host_arena arena({{5000, 3}}, options);
    EXPECT_FALSE(arena.pinned());
    ASSERT_EQ(arena.notes().size(), 1U);
    EXPECT_NE(arena.notes()[0].find("out of patience): it is pageable"), std::string::npos);
    EXPECT_NO_THROW((void)arena.allocate(5000));
  }
  EXPECT_FALSE(unpinned);
}

TEST(host_arena, is_locked_within_the_limit) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the address sanitizer locks nothing and says it did";
#endif
  for (const rlim_t limit : {rlim_t{1} << 16, rlim_t{1} << 22}) {
    const std::string said = in_child([&]() -> std::string {
      const rlimit locked{limit, limit};
      if (setrlimit(RLIMIT_MEMLOCK, &locked) != 0) return "";
      if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) return "";
      host_arena_options options;
      options.lock = arena_lock::memory;
      host_arena arena({{1 << 20, 1}}, options);
      (void)arena.allocate(1 << 20);
      return arena.locked() ? "locked" : arena.notes().at(0);
    });
    if (said.empty()) GTEST_SKIP() << "limits cannot be set here";
    if (limit > 1 << 20) {
      EXPECT_EQ(said, "locked");
    } else {
      EXPECT_NE(said.find("the limit is 64.0 KiB): it is pageable"), std::string::npos) << said;
    }
  }
}

TEST(host_arena, near_a_node) {
  host_arena_options options;
  options.node = 0;
  host_arena arena({{1 << 20, 2}}, options);  // bound, or with a note; usable either way
  EXPECT_LE(arena.notes().size(), 1U);
  std::memset(arena.allocate(1 << 20), 1, 1 << 20);
  options.node = 4000;
  const host_arena nowhere({{1 << 20, 2}}, options);
  ASSERT_EQ(nowhere.notes().size(), 1U);
  EXPECT_NE(nowhere.notes()[0].find("NUMA node 4000"), std::string::npos);
}

// ---- processors --------------------------------------------------------------------------------

std::set<int> allowed() {
  cpu_set_t set;
  std::set<int> numbers;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return numbers;
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &set)) numbers.insert(i);
  }
  return numbers;
}

TEST(processors, shares_are_equal_and_make_up_the_whole) {
  const std::set<int> all = allowed();
  for (int count = 1; count <= static_cast<int>(all.size()); ++count) {
    std::set<int> seen;
    for (int index = 0; index < count; ++index) {
      const auto share = share_of_processors(index, count);
      const auto n = static_cast<int>(share.processors.size());
      EXPECT_GE(n, static_cast<int>(all.size()) / count);
      EXPECT_LE(n, static_cast<int>(all.size()) / count + 1);
      for (const int p : share.processors) EXPECT_TRUE(seen.insert(p).second);
    }
    EXPECT_EQ(seen, all);
  }
}

TEST(processors, more_processes_than_processors_share_one) {
  const std::set<int> all = allowed();
  const int count = 3 * static_cast<int>(all.size()) + 1;
  std::set<int> seen;
  for (int index = 0; index < count; ++index) {
    const auto share = share_of_processors(index, count);
    ASSERT_EQ(share.processors.size(), 1U);
    seen.insert(share.processors[0]);
  }
  EXPECT_EQ(seen, all);
}

TEST(processors, only_those_that_are_allowed) {
  const int only = *allowed().rbegin();
  const std::string said = in_child([&]() -> std::string {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(only, &set);
    if (sched_setaffinity(0, sizeof(set), &set) != 0) return "no affinity";
    std::string text;
    for (const int p : share_of_processors(0, 1).processors) text += std::to_string(p) + ";";
    return text;
  });
  EXPECT_EQ(said, std::to_string(only) + ";");
}

TEST(processors, shares_that_cannot_be) {
  EXPECT_THROW((void)share_of_processors(0, 0), invalid_argument);
  EXPECT_THROW((void)share_of_processors(2, 2), invalid_argument);
  EXPECT_THROW((void)share_of_processors(-1, 2), invalid_argument);
}

}  // namespace
}  // namespace zero::testing
