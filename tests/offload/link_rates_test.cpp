// What a measurement of a link moves, where it ends and what it leaves behind. How long it takes is
// the machine's business.
#include "offload/late_copier.hpp"
#include "offload/scratch.hpp"

#include <zero/base/error.hpp>
#include <zero/offload/disk_tier.hpp>
#include <zero/offload/link_rates.hpp>
#include <zero/offload/memory_tier.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace zero::testing {
namespace {

using namespace zero::offload;
using namespace std::chrono_literals;

// A store that notes what it is asked for, whose transfers are done when they are waited for.
class noting_store final : public tier_store, private completion_source {
 public:
  noting_store(std::vector<std::uint64_t> sizes, std::size_t depth)
      : sizes_(std::move(sizes)), depth_(depth) {}

  [[nodiscard]] const char* name() const noexcept override { return "noting"; }
  [[nodiscard]] std::size_t records() const noexcept override { return sizes_.size(); }
  [[nodiscard]] std::uint64_t bytes(std::size_t record) const noexcept override {
    return sizes_[record];
  }
  [[nodiscard]] std::uint64_t stride(std::size_t record) const noexcept override {
    return (sizes_[record] + 7) / 8 * 8;
  }
  [[nodiscard]] std::size_t alignment() const noexcept override { return 8; }
  [[nodiscard]] std::uint64_t total() const noexcept override { return 0; }
  [[nodiscard]] std::byte* in_place(std::size_t) const noexcept override { return nullptr; }
  [[nodiscard]] std::size_t depth() const noexcept override { return depth_; }
  completion read(std::size_t record, void* memory) override {
    if (!written(record)) throw invalid_argument("read and never written");
    read_bytes += stride(record);
    return note(memory);
  }
  completion write(std::size_t record, const void* memory) override {
    ++times_written[record];
    written_bytes += stride(record);
    return note(memory);
  }
  [[nodiscard]] bool written(std::size_t record) const noexcept override {
    return times_written.count(record) != 0;
  }
  void register_memory(void*, std::size_t) override {}
  void unregister_memory(void*) noexcept override {}
  [[nodiscard]] transfer_statistics reads() const noexcept override { return {}; }
  [[nodiscard]] transfer_statistics writes() const noexcept override { return {}; }
  [[nodiscard]] std::vector<std::string> notes() const override { return {}; }

  std::map<std::size_t, int> times_written;
  std::uint64_t read_bytes = 0, written_bytes = 0;
  std::size_t most = 0;                         // under way at a time
  bool memory_shared = false;                   // by two that were under way
  std::map<const void*, std::uint64_t> in_use;  // the ticket by which it is

 private:
  completion note(const void* memory) {
    memory_shared |= in_use.count(memory) != 0;
    in_use[memory] = ++tickets_;
    most = std::max(most, in_use.size());
    return {*this, tickets_};
  }
  void wait(std::uint64_t ticket) override {
    for (auto it = in_use.begin(); it != in_use.end();) {
      it = it->second <= ticket ? in_use.erase(it) : std::next(it);
    }
  }
  [[nodiscard]] bool ready(std::uint64_t) const noexcept override { return false; }

  std::vector<std::uint64_t> sizes_;
  std::size_t depth_;
  std::uint64_t tickets_ = 0;
};

constexpr rate_limits enough{1h, 10000};  // the bytes end it

TEST(link_rates, of_a_store_end_with_the_bytes) {
  noting_store store({100, 0, 1000, 17}, 3);  // strides 104, 0, 1000, 24
  const aligned_memory memory(8000);
  const store_rates rates = measure_store(store, memory.get(), 8000, enough);
  // 8 rounds of 1128 bytes are 9024; then 104 and 1000 go beyond 10000.
  EXPECT_EQ(rates.write.bytes, 10128U);
  EXPECT_EQ(rates.read.bytes, 10128U);
  EXPECT_EQ(store.written_bytes, rates.write.bytes);
  EXPECT_EQ(store.read_bytes, rates.read.bytes);
  EXPECT_EQ(store.most, 3U);  // its depth
  EXPECT_FALSE(store.memory_shared);
  EXPECT_TRUE(store.in_use.empty());  // all was waited for
  EXPECT_GT(rates.write.time, 0ns);
  EXPECT_GT(rates.read.rate(), 0.0);
}

TEST(link_rates, read_what_was_written_alone) {
  noting_store store({100, 1000, 17, 8}, 2);
  const aligned_memory memory(2000);
  const store_rates rates = measure_store(store, memory.get(), 2000, {1h, 1000});
  EXPECT_EQ(store.times_written.size(), 2U);
  EXPECT_EQ(rates.write.bytes, 1104U);
  EXPECT_EQ(rates.read.bytes, 1104U);
}

TEST(link_rates, use_the_memory_there_is) {
  noting_store store({1000, 999}, 50);
  const aligned_memory memory(2999);
  EXPECT_EQ(measure_store(store, memory.get(), 2999, enough).read.bytes, 10000U);
  EXPECT_EQ(store.most, 2U);
  EXPECT_THROW((void)measure_store(store, memory.get(), 999, enough), invalid_argument);
  EXPECT_THROW((void)measure_store(store, nullptr, 5000, enough), invalid_argument);
}

TEST(link_rates, of_nothing) {
  noting_store empty({0, 0}, 4);
  EXPECT_EQ(measure_store(empty, nullptr, 0).write.bytes, 0U);
  EXPECT_EQ(measure_store(empty, nullptr, 0).read.rate(), 0.0);
  noting_store store({8}, 4);
  const aligned_memory memory(64);
  const store_rates rates = measure_store(store, memory.get(), 64, {0ms, 100});
  EXPECT_EQ(rates.write.bytes + rates.read.bytes, 0U);
  host_copier copies;
  EXPECT_EQ(measure_copier(copies, nullptr, nullptr, 0).up.bytes, 0U);
  EXPECT_THROW((void)measure_copier(copies, nullptr, memory.get(), 1), invalid_argument);
  EXPECT_THROW((void)measure_copier(copies, memory.get(), nullptr, 1), invalid_argument);
}

TEST(link_rates, of_real_tiers) {
  const scratch_directory scratch;
  const std::vector<std::uint64_t> sizes(7, 20001);
  disk_tier disk(make_disk_engine(), swap_file(scratch.path()), sizes);
  page_resource pages;
  memory_tier host(pages, sizes);
  const aligned_memory memory(100000);
  for (tier_store* const store :
       {static_cast<tier_store*>(&disk), static_cast<tier_store*>(&host)}) {
    const std::uint64_t stride = store->stride(0);
    const store_rates rates = measure_store(*store, memory.get(), 100000, {1h, 20 * stride - 1});
    EXPECT_EQ(rates.write.bytes, 20 * stride);
    EXPECT_EQ(rates.read.bytes, 20 * stride);
    EXPECT_EQ(store->writes().bytes, rates.write.bytes);
    EXPECT_EQ(store->reads().bytes, rates.read.bytes);
    EXPECT_NO_THROW(store->read(6, memory.get()).wait());  // as good as ever
  }
}

TEST(link_rates, end_with_the_time) {
  page_resource pages;
  memory_tier host(pages, {64});
  const aligned_memory memory(64);
  const std::uint64_t endless = std::uint64_t(-1);
  const store_rates rates = measure_store(host, memory.get(), 64, {20ms, endless});
  EXPECT_GE(rates.write.time, 20ms);
  EXPECT_GE(rates.read.time, 20ms);
  host_copier copies;
  const aligned_memory other(64);
  EXPECT_GE(measure_copier(copies, memory.get(), other.get(), 64, {20ms, endless}).down.time, 20ms);
}

TEST(link_rates, of_a_copier) {
  constexpr std::uint64_t bytes = 3001;
  const aligned_memory host(bytes), device(bytes);
  fill(host.get(), bytes, 1, 1);
  late_copier copies(1, 20);
  const copier_rates rates = measure_copier(copies, host.get(), device.get(), bytes, enough);
  EXPECT_EQ(copies.outstanding(), 0U);
  EXPECT_EQ(rates.up.bytes, 4 * bytes);
  EXPECT_EQ(rates.down.bytes, 4 * bytes);
  EXPECT_EQ(first_difference(device.get(), bytes, 1, 1), -1);
  EXPECT_EQ(first_difference(host.get(), bytes, 1, 1), -1);
  copies.fail_after(copy_way::down, 2);
  EXPECT_THROW((void)measure_copier(copies, host.get(), device.get(), bytes, enough),
               std::runtime_error);
  EXPECT_EQ(copies.outstanding(), 0U);  // nor is any memory in use
}

}  // namespace
}  // namespace zero::testing
