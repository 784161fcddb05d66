// Records in host memory and records on disk, through what all tiers are asked by.
#include "offload/scratch.hpp"

#include <zero/base/error.hpp>
#include <zero/offload/disk_tier.hpp>
#include <zero/offload/host_arena.hpp>
#include <zero/offload/memory_tier.hpp>

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace zero::testing {
namespace {

using namespace zero::offload;

const std::vector<std::uint64_t> odd_sizes{1, 0, 4096, 70001, 64, 65, 0};

// A resource that counts what is out.
class counting_pages final : public memory_resource {
 public:
  [[nodiscard]] void* allocate(std::size_t bytes) override {
    out += bytes;
    ++blocks;
    return pages_.allocate(bytes);
  }
  void deallocate(void* block, std::size_t bytes) noexcept override {
    out -= bytes;
    pages_.deallocate(block, bytes);
  }
  std::size_t out = 0;
  int blocks = 0;

 private:
  page_resource pages_;
};

TEST(memory_tier, rests_in_one_block_zero_at_first) {
  counting_pages pages;
  {
    memory_tier tier(pages, odd_sizes);
    EXPECT_STREQ(tier.name(), "host");
    // 64 + 0 + 4096 + 70016 + 64 + 128 + 0
    EXPECT_EQ(tier.total(), 74368U);
    EXPECT_EQ(pages.out, 74368U);
    EXPECT_EQ(pages.blocks, 1);
    ASSERT_EQ(tier.records(), odd_sizes.size());
    const std::byte* last = nullptr;
    for (std::size_t i = 0; i < odd_sizes.size(); ++i) {
      EXPECT_EQ(tier.bytes(i), odd_sizes[i]);
      EXPECT_EQ(tier.stride(i), odd_sizes[i]);
      EXPECT_TRUE(tier.written(i));
      const std::byte* const at = tier.in_place(i);
      ASSERT_NE(at, nullptr);
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(at) % memory_tier_alignment, 0U);
      EXPECT_GE(at, last);
      last = at + odd_sizes[i];
      for (std::uint64_t b = 0; b < odd_sizes[i]; ++b) ASSERT_EQ(at[b], std::byte{0});
    }
  }
  EXPECT_EQ(pages.out, 0U);
}

TEST(memory_tier, of_empty_records_takes_nothing) {
  host_arena nothing({});
  memory_tier tier(nothing, {0, 0});
  EXPECT_EQ(tier.total(), 0U);
  EXPECT_NE(tier.in_place(1), nullptr);
  EXPECT_NO_THROW(tier.write(1, nullptr).wait());
  EXPECT_NO_THROW(tier.read(0, nullptr).wait());
}

TEST(memory_tier, says_when_there_is_no_room) {
  host_arena small({{4096, 1}});
  EXPECT_THROW(memory_tier(small, {4096, 1}), out_of_memory);
}

TEST(memory_tier, refuses_what_cannot_be) {
  page_resource pages;
  memory_tier tier(pages, {10, 0});
  char memory[16] = {};
  EXPECT_THROW((void)tier.read(2, memory), invalid_argument);
  EXPECT_THROW((void)tier.write(2, memory), invalid_argument);
  EXPECT_THROW((void)tier.read(0, nullptr), invalid_argument);
  EXPECT_THROW((void)tier.write(0, nullptr), invalid_argument);
  EXPECT_EQ(tier.reads().records + tier.writes().records, 0U);
}

// What holds of every tier.
class tiers : public ::testing::TestWithParam<bool> {
 protected:
  [[nodiscard]] std::unique_ptr<tier_store> make(const std::vector<std::uint64_t>& sizes) {
    if (!GetParam()) return std::make_unique<memory_tier>(pages_, sizes);
    return std::make_unique<disk_tier>(
        make_disk_engine(), swap_file(scratch_.path()), sizes,
        record_store_options{"the test's", std::chrono::seconds(20)});
  }
  scratch_directory scratch_;
  page_resource pages_;
};

TEST_P(tiers, give_back_what_was_written_last) {
  const auto tier = make(odd_sizes);
  ASSERT_EQ(tier->records(), odd_sizes.size());
  std::uint64_t moved = 0;
  for (std::uint64_t generation = 1; generation <= 3; ++generation) {
    for (std::size_t i = 0; i < odd_sizes.size(); ++i) {
      const aligned_memory memory(tier->stride(i), std::max<std::size_t>(tier->alignment(), 64));
      fill(memory.get(), odd_sizes[i], i, generation);
      tier->write(i, memory.get()).wait();
      EXPECT_TRUE(tier->written(i));
      moved += tier->stride(i);
      std::memset(memory.get(), 0xAB, tier->stride(i));
      tier->read(i, memory.get()).wait();
      EXPECT_EQ(first_difference(memory.get(), odd_sizes[i], i, generation), -1);
    }
  }
  EXPECT_EQ(tier->reads().records, 3 * odd_sizes.size());
  EXPECT_EQ(tier->writes().records, 3 * odd_sizes.size());
  EXPECT_EQ(tier->reads().bytes, moved);
  EXPECT_EQ(tier->writes().bytes, moved);
  EXPECT_GE(tier->depth(), 1U);
}

INSTANTIATE_TEST_SUITE_P(all, tiers, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "disk" : "memory"; });

TEST(disk_tier, counts_generations_by_itself) {
  const scratch_directory scratch;
  disk_tier tier(make_disk_engine(), swap_file(scratch.path()), {5000, 3});
  const aligned_memory memory(8192);
  EXPECT_STREQ(tier.name(), "disk");
  EXPECT_EQ(tier.in_place(0), nullptr);
  EXPECT_FALSE(tier.written(0));
  EXPECT_EQ(tier.bytes(0), 5000U);
  EXPECT_EQ(tier.stride(0), 5000U / tier.alignment() * tier.alignment() +
                                (5000U % tier.alignment() != 0 ? tier.alignment() : 0));
  EXPECT_EQ(tier.total(), tier.stride(0) + tier.stride(1));
  EXPECT_THROW((void)tier.read(0, memory.get()), invalid_argument);
  EXPECT_THROW((void)tier.write(2, memory.get()), invalid_argument);
  for (std::uint64_t generation = 1; generation <= 3; ++generation) {
    fill(memory.get(), 5000, 0, generation);
    tier.write(0, memory.get()).wait();
    EXPECT_EQ(tier.store().generation(0), generation);
  }
  EXPECT_FALSE(tier.written(1));
}

}  // namespace
}  // namespace zero::testing
