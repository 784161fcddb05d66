#include <zero/base/buffer.hpp>
#include <zero/base/error.hpp>

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace zero::testing {
namespace {

// Counts what is held, and checks that what comes back is what was given.
class counting_resource final : public memory_resource {
 public:
  void* allocate(std::size_t bytes) override {
    if (bytes > limit) throw out_of_memory("[test] limit", bytes, limit);
    void* block = pages_.allocate(bytes);
    held[block] = bytes;
    return block;
  }
  void deallocate(void* block, std::size_t bytes) noexcept override {
    const auto found = held.find(block);
    mismatch = mismatch || found == held.end() || found->second != bytes;
    if (found != held.end()) held.erase(found);
    pages_.deallocate(block, bytes);
  }

  std::size_t limit = 1 << 20;
  std::map<void*, std::size_t> held;
  bool mismatch = false;

 private:
  page_resource pages_;
};

static_assert(!std::is_copy_constructible_v<buffer> && !std::is_copy_assignable_v<buffer>);
static_assert(std::is_nothrow_move_constructible_v<buffer>);

class buffers : public ::testing::Test {
 protected:
  ~buffers() override {
    EXPECT_TRUE(resource_.held.empty());
    EXPECT_FALSE(resource_.mismatch);
    for (const std::uint64_t bytes : statistics_.current()) EXPECT_EQ(bytes, 0U);
  }
  [[nodiscard]] std::uint64_t held(memory_account account) const {
    return statistics_.current(account);
  }

  counting_resource resource_;
  memory_statistics statistics_;
};

TEST_F(buffers, hold_zeros_and_account_payload_and_padding_apart) {
  const buffer b(resource_, statistics_, memory_account::gradients, 100, 28);
  ASSERT_TRUE(b);
  EXPECT_EQ(b.size(), 128U);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(b.data()) % page_size(), 0U);
  for (std::size_t i = 0; i < b.size(); ++i) ASSERT_EQ(b.as<unsigned char>()[i], 0);
  EXPECT_EQ(held(memory_account::gradients), 100U);
  EXPECT_EQ(held(memory_account::buffers), 28U);
}

TEST_F(buffers, of_no_bytes_allocate_nothing) {
  const buffer b(resource_, statistics_, memory_account::optimizer, 0, 0);
  EXPECT_FALSE(b);
  EXPECT_FALSE(buffer());
  EXPECT_TRUE(resource_.held.empty());
  EXPECT_EQ(statistics_.allocations(), 0U);
}

TEST_F(buffers, of_padding_alone) {
  const buffer b(resource_, statistics_, memory_account::parameters, 0, 64);
  EXPECT_EQ(held(memory_account::parameters), 0U);
  EXPECT_EQ(held(memory_account::buffers), 64U);
}

TEST_F(buffers, move_and_are_given_back_once) {
  buffer a(resource_, statistics_, memory_account::optimizer, 10);
  void* const block = a.data();
  buffer b(std::move(a));
  EXPECT_FALSE(a);  // NOLINT(bugprone-use-after-move): empty is what a moved-from buffer is
  EXPECT_EQ(a.size(), 0U);
  EXPECT_EQ(b.data(), block);
  buffer c(resource_, statistics_, memory_account::gradients, 20, 4);
  c = std::move(b);
  EXPECT_EQ(c.data(), block);
  EXPECT_EQ(c.size(), 10U);
  EXPECT_EQ(held(memory_account::gradients), 0U);
  EXPECT_EQ(held(memory_account::buffers), 0U);
  EXPECT_EQ(held(memory_account::optimizer), 10U);
  buffer& itself = c;
  c = std::move(itself);
  EXPECT_EQ(c.data(), block);
  EXPECT_EQ(resource_.held.size(), 1U);
}

TEST_F(buffers, that_cannot_be_are_not_accounted) {
  resource_.limit = 50;
  try {
    const buffer b(resource_, statistics_, memory_account::optimizer, 60);
    ADD_FAILURE();
  } catch (const out_of_memory& e) {
    EXPECT_EQ(e.requested, 60U);
    EXPECT_EQ(e.available, 50U);
  }
  EXPECT_EQ(statistics_.allocations(), 0U);
  EXPECT_EQ(statistics_.peak(), 0U);
}

TEST(memory_statistics, peak_is_of_the_sum_at_one_instant) {
  memory_statistics s;
  s.add(memory_account::parameters, 100);
  s.subtract(memory_account::parameters, 60);
  s.add(memory_account::optimizer, 50);
  EXPECT_EQ(s.peak(), 100U);  // 100 + 50 were never held together
  s.add(memory_account::host, 20);
  EXPECT_EQ(s.peak(), 110U);
  s.add(memory_account::disk, 1000);  // is no memory
  EXPECT_EQ(s.peak(), 110U);
  s.subtract(memory_account::disk, 990);
  s.add(memory_account::buffers, 5);
  EXPECT_EQ(s.peak(), 115U);
  EXPECT_EQ(s.allocations(), 5U);
  const memory_by_account now = s.current();
  EXPECT_EQ(now, (memory_by_account{40, 0, 50, 5, 20, 10}));
}

TEST(memory_statistics, names) {
  const char* names[] = {"parameters", "gradients", "optimizer", "buffers", "host", "disk"};
  for (std::size_t i = 0; i < memory_account_count; ++i) {
    EXPECT_STREQ(name_of(static_cast<memory_account>(i)), names[i]);
  }
  EXPECT_STREQ(name_of(static_cast<memory_account>(99)), "unknown");
}

TEST(memory_statistics, threads_lose_nothing) {
  memory_statistics s;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&s] {
      for (int i = 0; i < 1000; ++i) {
        s.add(memory_account::host, 3);
        s.subtract(memory_account::host, 2);
      }
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(s.current(memory_account::host), 4000U);
  EXPECT_EQ(s.allocations(), 4000U);
  EXPECT_GE(s.peak(), 4000U);
  EXPECT_LE(s.peak(), 4000U + 4 * 3);
}

}  // namespace
}  // namespace zero::testing
