// A GPU's memory, mappings and lanes. Without one: that this is said, and nothing else happens.
#include <zero/base/cuda.hpp>
#include <zero/base/range_marker.hpp>

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <vector>

namespace zero {
namespace {

TEST(cuda_absent, a_device_that_is_not_there_is_refused) {
  const int count = cuda_device::count();
  EXPECT_THROW(cuda_device{count}, invalid_argument);
  EXPECT_THROW(cuda_device{-1}, invalid_argument);
  EXPECT_EQ(cuda_device::why_none().empty(), count > 0);
  EXPECT_TRUE(cuda_device::compiled() || count == 0);
}

TEST(cuda_error_text, has_the_call_the_number_and_the_reason) {
  const cuda_error failed("cudaFree", 700, "an illegal memory access was encountered");
  EXPECT_STREQ(failed.what(), "cudaFree failed with 700: an illegal memory access was encountered");
  EXPECT_EQ(failed.code, 700);
  EXPECT_EQ(failed.kind(), error_class::failure);
  EXPECT_EQ(cuda_error("cuMemCreate", 2, "", error_class::resource).kind(), error_class::resource);
}

// The calling thread's ranges end in the opposite order; nobody needs to listen.
TEST(range_marker, may_be_nested) {
  const range_marker outer("update");
  const range_marker inner("gather");
}

class cuda : public ::testing::Test {
 protected:
  void SetUp() override {
    if (cuda_device::count() == 0) GTEST_SKIP() << "no GPU: " << cuda_device::why_none();
    device_ = std::make_unique<cuda_device>(0);
  }
  std::unique_ptr<cuda_device> device_;
};

TEST_F(cuda, says_what_it_is) {
  EXPECT_EQ(device_->ordinal(), 0);
  EXPECT_FALSE(device_->name().empty());
  EXPECT_GT(device_->total_bytes(), 0U);
  EXPECT_LE(device_->free_bytes(), device_->total_bytes());
}

TEST_F(cuda, device_memory_comes_and_goes) {
  memory_resource& memory = device_->memory();
  EXPECT_EQ(memory.place(), memory_place::device);
  void* const nothing = memory.allocate(0);
  void* const small = memory.allocate(1);
  EXPECT_NE(nothing, nullptr);
  EXPECT_NE(nothing, small);
  memory.deallocate(nothing, 0);
  memory.deallocate(small, 1);
  const std::uint64_t before = device_->free_bytes();
  constexpr std::size_t size = std::size_t{256} << 20;
  void* const large = memory.allocate(size);
  EXPECT_LE(device_->free_bytes() + size, before);
  memory.deallocate(large, size);
  EXPECT_EQ(device_->free_bytes(), before);
}

TEST_F(cuda, too_much_is_refused_with_the_numbers) {
  const std::uint64_t before = device_->free_bytes();
  const std::size_t size = device_->total_bytes() + (std::size_t{1} << 30);
  try {
    static_cast<void>(device_->memory().allocate(size));
    FAIL() << "more than there is";
  } catch (const out_of_memory& refused) {
    EXPECT_GE(refused.requested, size);
    EXPECT_GT(refused.available, 0U);
    EXPECT_LE(refused.available, device_->total_bytes());
  }
  EXPECT_EQ(device_->free_bytes(), before) << "the pieces were not given back";
}

TEST_F(cuda, pinned_memory_is_host_memory) {
  memory_resource& pinned = device_->pinned_memory();
  EXPECT_EQ(pinned.place(), memory_place::host);
  auto* const block = static_cast<unsigned char*>(pinned.allocate(10'000));
  EXPECT_EQ(block[9'999], 0);
  std::memset(block, 3, 10'000);
  pinned.deallocate(block, 10'000);
  EXPECT_EQ(device_->unpinned_bytes(), 0U);
}

TEST_F(cuda, streams_record_and_wait) {
  const auto compute = device_->make_stream(lane::compute);
  const auto communication = device_->make_stream(lane::communication);
  EXPECT_NE(compute->native(), nullptr);
  EXPECT_NE(compute->native(), communication->native());
  const completion first = compute->record();
  communication->wait(first);
  const completion second = communication->record();
  second.wait();
  EXPECT_TRUE(second.ready());
  EXPECT_TRUE(first.ready());
  // More records than events: the oldest ticket is still one that can be waited for.
  for (int i = 0; i < 2000; ++i) static_cast<void>(compute->record());
  first.wait();
  const auto borrowed = device_->borrow_stream(compute->native());
  EXPECT_EQ(borrowed->native(), compute->native());
  borrowed->record().wait();
}

TEST_F(cuda, a_range_of_addresses_shows_what_is_mapped_into_it) {
  memory_resource& memory = device_->memory();
  address_space* const mappings = memory.mappings();
  ASSERT_NE(mappings, nullptr);
  const std::size_t granule = mappings->granularity();
  void* const a = memory.allocate(3 * granule);
  void* const b = memory.allocate(granule);
  void* const range = mappings->reserve(2 * granule);
  EXPECT_THROW(mappings->map(range, a, granule + 1), invalid_argument);
  EXPECT_THROW(mappings->map(range, a, 3 * granule), invalid_argument);
  EXPECT_THROW(mappings->map(a, b, granule), invalid_argument);
  // The middle of a block, then another block over half of it.
  mappings->map(range, static_cast<unsigned char*>(a) + granule, 2 * granule);
  mappings->map(range, b, granule);
  mappings->unmap(range, 2 * granule);
  mappings->unmap(range, 2 * granule);  // nothing left; nothing happens
  mappings->map(range, a, 2 * granule);
  mappings->unreserve(range, 2 * granule);  // with what is still mapped
  memory.deallocate(a, 3 * granule);
  memory.deallocate(b, granule);
}

}  // namespace
}  // namespace zero
