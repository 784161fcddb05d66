// What a store of records gives back, what it counts, and what it refuses.
#include "offload/scratch.hpp"
#include "support/failing_disk.hpp"

#include <zero/base/completion.hpp>
#include <zero/base/error.hpp>
#include <zero/offload/record_store.hpp>

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <string>
#include <utility>
#include <vector>

namespace {

std::atomic<bool> counting{false};
std::atomic<std::size_t> counted{0};

void* allocate(std::size_t bytes) {
  if (counting.load()) counted.fetch_add(1);
  void* const block = std::malloc(bytes == 0 ? 1 : bytes);
  if (block == nullptr) throw std::bad_alloc();
  return block;
}

}  // namespace

void* operator new(std::size_t bytes) { return allocate(bytes); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  try {
    return allocate(bytes);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void* operator new[](std::size_t bytes) { return allocate(bytes); }
void operator delete(void* block) noexcept { std::free(block); }
void operator delete[](void* block) noexcept { std::free(block); }
void operator delete(void* block, std::size_t) noexcept { std::free(block); }
void operator delete[](void* block, std::size_t) noexcept { std::free(block); }

namespace zero::testing {
namespace {

using namespace zero::offload;
using namespace std::chrono_literals;

TEST(record_layout, places_by_formula) {
  const record_layout layout({1, 0, 4096, 4097, 12289}, 4096);
  const std::vector<record_place> expected{
      {0, 1, 4096}, {4096, 0, 0}, {4096, 4096, 4096}, {8192, 4097, 8192}, {16384, 12289, 16384}};
  ASSERT_EQ(layout.count(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(layout[i].offset, expected[i].offset);
    EXPECT_EQ(layout[i].bytes, expected[i].bytes);
    EXPECT_EQ(layout[i].stride, expected[i].stride);
  }
  EXPECT_EQ(layout.bytes(), 32768U);
  EXPECT_EQ(layout.largest(), 16384U);
  EXPECT_EQ(record_layout({}).bytes(), 0U);
}

TEST(record_layout, refuses_what_cannot_be) {
  EXPECT_THROW(record_layout({1}, 0), invalid_argument);
  EXPECT_THROW(record_layout({1}, 4095), invalid_argument);
  const std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
  EXPECT_THROW(record_layout({most}), invalid_argument);
  EXPECT_THROW(record_layout({most / 4, most / 4, most / 4}), invalid_argument);
}

class stores : public ::testing::TestWithParam<disk_engine_kind> {
 protected:
  void SetUp() override {
    try {
      (void)make_disk_engine(GetParam());
    } catch (const io_error&) {
      GTEST_SKIP() << "the kernel refuses io_uring here";
    }
  }
  [[nodiscard]] std::unique_ptr<record_store> make(const std::vector<std::uint64_t>& sizes,
                                                   int depth = 4) const {
    return std::make_unique<record_store>(make_disk_engine(GetParam(), {depth, 2}),
                                          swap_file(scratch_.path()), sizes,
                                          record_store_options{"the test's", 20s});
  }
  scratch_directory scratch_;
};

const std::vector<std::uint64_t> odd_sizes{1, 4096, 0, 70001, 4097, 8191, 131072, 3};

TEST_P(stores, give_back_what_was_written_last) {
  for (const int depth : {1, 2, 3, 16}) {
    const auto store = make(odd_sizes, depth);
    const record_layout& layout = store->layout();
    EXPECT_EQ(store->depth(), 2U * static_cast<std::size_t>(depth));
    std::vector<aligned_memory> memory;
    for (std::size_t i = 0; i < layout.count(); ++i) memory.emplace_back(layout[i].stride);
    for (const std::uint64_t generation : {1, 2, 9}) {
      for (std::size_t i = 0; i < layout.count(); ++i) {
        fill(memory[i].get(), layout[i].bytes, i, generation);
      }
      completion last;
      for (std::size_t i = 0; i < layout.count(); ++i) {
        last = store->write(i, memory[i].get(), generation);
      }
      last.wait();
      EXPECT_TRUE(last.ready());
      for (std::size_t i = 0; i < layout.count(); ++i) {
        std::memset(memory[i].get(), 0xAB, layout[i].stride);
      }
      std::vector<completion> reads;
      for (std::size_t i = layout.count(); i-- > 0;)
        reads.push_back(store->read(i, memory[i].get()));
      for (const completion& read : reads) read.wait();
      for (std::size_t i = 0; i < layout.count(); ++i) {
        EXPECT_EQ(first_difference(memory[i].get(), layout[i].bytes, i, generation), -1) << i;
        EXPECT_EQ(store->generation(i), generation);
        EXPECT_TRUE(store->written(i));
      }
    }
  }
}

// Read, change, write back, over and over, with a few records under way: as an update does.
TEST_P(stores, pipeline_of_read_change_write) {
  constexpr std::size_t records = 13, ahead = 3;
  const std::vector<std::uint64_t> sizes(records, 20000);
  const auto store = make(sizes, 4);
  std::vector<aligned_memory> slots;
  for (std::size_t i = 0; i < ahead + 2; ++i) slots.emplace_back(store->layout().largest());
  std::vector<completion> busy(slots.size());
  for (std::size_t r = 0; r < records; ++r) {
    busy[r % slots.size()].wait();
    unsigned char* const memory = slots[r % slots.size()].get();
    fill(memory, 20000, r, 0);
    busy[r % slots.size()] = store->write(r, memory, 0);
  }
  for (const completion& c : busy) c.wait();
  for (std::uint64_t step = 1; step <= 5; ++step) {
    const auto begin_read = [&](std::size_t r) {
      busy[r % slots.size()].wait();  // the write that used the slot before
      busy[r % slots.size()] = store->read(r, slots[r % slots.size()].get());
    };
    for (std::size_t r = 0; r < ahead; ++r) begin_read(r);
    for (std::size_t r = 0; r < records; ++r) {
      unsigned char* const memory = slots[r % slots.size()].get();
      busy[r % slots.size()].wait();
      ASSERT_EQ(first_difference(memory, 20000, r, step - 1), -1) << "record " << r;
      fill(memory, 20000, r, step);
      busy[r % slots.size()] = store->write(r, memory, step);
      if (r + ahead < records) begin_read(r + ahead);
    }
    for (const completion& c : busy) c.wait();
  }
}

TEST_P(stores, order_transfers_of_one_record) {
  const auto store = make({1 << 20, 5000}, 8);
  const aligned_memory a(1 << 20), b(1 << 20), c(1 << 20), d(1 << 20);
  fill(a.get(), 1 << 20, 0, 1);
  fill(b.get(), 1 << 20, 0, 2);
  (void)store->write(0, a.get(), 1);
  (void)store->read(0, c.get());
  (void)store->read(0, d.get());
  (void)store->write(0, b.get(), 2);
  const completion second = store->read(0, a.get());
  second.wait();  // in order: whatever came before it is done as well
  EXPECT_EQ(first_difference(c.get(), 1 << 20, 0, 1), -1);
  EXPECT_EQ(first_difference(d.get(), 1 << 20, 0, 1), -1);
  EXPECT_EQ(first_difference(a.get(), 1 << 20, 0, 2), -1);
}

TEST_P(stores, polling_alone_sees_the_end) {
  const auto store = make({300000});
  const aligned_memory memory(store->layout().largest());
  fill(memory.get(), 300000, 0, 1);
  const completion done = store->write(0, memory.get(), 1);
  const auto latest = std::chrono::steady_clock::now() + 20s;
  while (!done.ready()) ASSERT_LT(std::chrono::steady_clock::now(), latest);
  EXPECT_NO_THROW(done.wait());
}

TEST_P(stores, count_what_they_move) {
  const auto store = make(odd_sizes);
  const aligned_memory memory(store->layout().largest());
  for (std::size_t i = 0; i < odd_sizes.size(); ++i) store->write(i, memory.get(), 1).wait();
  store->read(3, memory.get()).wait();
  EXPECT_EQ(store->writes().records, odd_sizes.size());
  EXPECT_EQ(store->writes().bytes, store->layout().bytes());
  EXPECT_EQ(store->reads().records, 1U);
  EXPECT_EQ(store->reads().bytes, store->layout()[3].stride);
  EXPECT_GT(store->writes().busy, 0ns);
  EXPECT_GE(store->writes().busy, store->writes().waited);
  EXPECT_GT(store->reads().busy, 0ns);
}

TEST_P(stores, allocate_nothing_in_the_steady_state) {
  const auto store = make(odd_sizes);
  const aligned_memory memory(store->layout().bytes());
  const auto round = [&] {
    completion last;
    for (std::size_t i = 0; i < odd_sizes.size(); ++i) {
      (void)store->write(i, memory.get() + store->layout()[i].offset, 7);
    }
    for (std::size_t i = 0; i < odd_sizes.size(); ++i) {
      last = store->read(i, memory.get() + store->layout()[i].offset);
    }
    last.wait();
  };
  round();
  counting.store(true);
  for (int i = 0; i < 5; ++i) round();
  counting.store(false);
  EXPECT_EQ(counted.load(), 0U);
}

TEST_P(stores, registered_memory_moves_the_same_bytes) {
  const auto store = make({100000, 7});
  const aligned_memory memory(1 << 20);
  (void)store->register_memory(memory.get(), 1 << 20);
  fill(memory.get(), 100000, 0, 3);
  store->write(0, memory.get(), 3).wait();
  store->read(0, memory.get() + (1 << 19)).wait();
  EXPECT_EQ(first_difference(memory.get() + (1 << 19), 100000, 0, 3), -1);
  store->unregister_memory(memory.get());
}

INSTANTIATE_TEST_SUITE_P(all, stores,
                         ::testing::Values(disk_engine_kind::uring, disk_engine_kind::threads),
                         [](const auto& test) {
                           return test.param == disk_engine_kind::uring ? "uring" : "threads";
                         });

TEST(record_store, refuses_what_cannot_be) {
  const scratch_directory scratch;
  EXPECT_THROW(record_store(make_disk_engine(), swap_file(scratch.path()), {}), invalid_argument);
  record_store store(make_disk_engine(), swap_file(scratch.path()), {5000, 10});
  const aligned_memory memory(8192);
  EXPECT_THROW((void)store.read(0, memory.get()), invalid_argument);  // nothing was written
  EXPECT_THROW((void)store.write(2, memory.get(), 1), invalid_argument);
  EXPECT_THROW((void)store.write(0, memory.get() + 512, 1), invalid_argument);
  EXPECT_THROW((void)store.write(0, nullptr, 1), invalid_argument);
  EXPECT_FALSE(store.written(0));
  EXPECT_FALSE(store.written(2));
  EXPECT_NO_THROW(store.write(0, memory.get(), 1).wait());  // no harm was done
}

TEST(record_store, of_empty_records_needs_no_space) {
  const scratch_directory scratch;
  record_store store(make_disk_engine(), swap_file(scratch.path()), {0, 0});
  store.write(1, nullptr, 4).wait();
  store.read(1, nullptr).wait();
  EXPECT_EQ(store.generation(1), 4U);
}

TEST(record_store, says_what_is_not_as_one_would_wish) {
  record_store store(make_disk_engine(disk_engine_kind::threads), swap_file("/dev/shm"), {5000});
  ASSERT_EQ(store.notes().size(), 1U);
  EXPECT_NE(store.notes()[0].find("page cache"), std::string::npos);
  EXPECT_STREQ(store.engine_name(), "threads");
  const aligned_memory memory(8192);
  fill(memory.get(), 5000, 0, 1);
  store.write(0, memory.get(), 1).wait();
  store.read(0, memory.get()).wait();
  EXPECT_EQ(first_difference(memory.get(), 5000, 0, 1), -1);
}

TEST(record_store, two_in_one_directory) {
  const scratch_directory scratch;
  record_store a(make_disk_engine(), swap_file(scratch.path()), {9000});
  record_store b(make_disk_engine(), swap_file(scratch.path()), {9000});
  const aligned_memory memory(12288);
  for (std::uint64_t generation = 0; generation < 5; ++generation) {
    fill(memory.get(), 9000, 100, generation);
    a.write(0, memory.get(), generation).wait();
    fill(memory.get(), 9000, 200, generation);
    b.write(0, memory.get(), generation).wait();
    a.read(0, memory.get()).wait();
    EXPECT_EQ(first_difference(memory.get(), 9000, 100, generation), -1);
    b.read(0, memory.get()).wait();
    EXPECT_EQ(first_difference(memory.get(), 9000, 200, generation), -1);
  }
  EXPECT_TRUE(scratch.empty());
}

}  // namespace
}  // namespace zero::testing
