// Lanes that bite: kernels that take their time before they write, so that whatever does not wait
// for them reads what was there before.
#include <zero/base/cuda.hpp>
#include <zero/base/native_cuda.hpp>

#include <gtest/gtest.h>

#include <vector>

namespace zero {
namespace {

__global__ void write_late(int* to, std::size_t count, int value, long long cycles) {
  const long long start = clock64();
  while (clock64() - start < cycles) {
  }
  for (std::size_t i = threadIdx.x; i < count; i += blockDim.x) to[i] = value;
}

__global__ void copy_values(const int* from, int* to, std::size_t count) {
  for (std::size_t i = threadIdx.x; i < count; i += blockDim.x) to[i] = from[i];
}

constexpr std::size_t count = 4096;
constexpr long long slow = 20'000'000;  // about 10 ms

class cuda_lanes : public ::testing::Test {
 protected:
  void SetUp() override {
    if (cuda_device::count() == 0) GTEST_SKIP() << "no GPU: " << cuda_device::why_none();
    device_ = std::make_unique<cuda_device>(0);
    compute_ = device_->make_stream(lane::compute);
    communication_ = device_->make_stream(lane::communication);
    values_ = static_cast<int*>(device_->memory().allocate(count * sizeof(int)));
    copies_ = static_cast<int*>(device_->memory().allocate(count * sizeof(int)));
  }
  void TearDown() override {
    if (device_ == nullptr) return;
    compute_.reset();
    communication_.reset();
    device_->memory().deallocate(values_, count * sizeof(int));
    device_->memory().deallocate(copies_, count * sizeof(int));
  }
  void write(int value) {
    cuda::launch("write_late", write_late, 1, 256, 0, cuda::native(*compute_), values_, count,
                 value, slow);
  }
  void copy() {
    cuda::launch("copy_values", copy_values, 1, 256, 0, cuda::native(*communication_), values_,
                 copies_, count);
  }
  [[nodiscard]] std::vector<int> copies() {
    std::vector<int> seen(count);
    cuda::checked(cudaMemcpyAsync(seen.data(), copies_, count * sizeof(int), cudaMemcpyDeviceToHost,
                                  cuda::native(*communication_)),
                  "cudaMemcpyAsync");
    communication_->record().wait();
    return seen;
  }

  std::unique_ptr<cuda_device> device_;
  std::unique_ptr<stream> compute_;
  std::unique_ptr<stream> communication_;
  int* values_ = nullptr;
  int* copies_ = nullptr;
};

TEST_F(cuda_lanes, what_is_queued_after_a_wait_sees_what_was_written_before) {
  for (int round = 1; round <= 20; ++round) {
    write(round);
    communication_->wait(compute_->record());
    copy();
    compute_->wait(communication_->record());
  }
  EXPECT_EQ(copies(), std::vector<int>(count, 20));
}

TEST_F(cuda_lanes, a_completion_whose_event_was_recorded_again_is_no_earlier) {
  write(7);
  const completion written = compute_->record();
  EXPECT_FALSE(written.ready());
  for (int i = 0; i < 3000; ++i) static_cast<void>(compute_->record());
  communication_->wait(written);
  copy();
  EXPECT_EQ(copies(), std::vector<int>(count, 7));
  EXPECT_TRUE(written.ready());
}

TEST_F(cuda_lanes, the_host_waits_too) {
  write(3);
  const completion written = compute_->record();
  EXPECT_FALSE(written.ready());
  written.wait();
  copy();
  EXPECT_EQ(copies(), std::vector<int>(count, 3));
}

TEST_F(cuda_lanes, a_wait_ends_at_the_deadline) {
  device_->set_deadline(2);
  for (int i = 0; i < 20; ++i) write(i);
  const completion written = compute_->record();
  EXPECT_THROW(written.wait(), peer_lost);
  device_->set_deadline(60'000);
  written.wait();
}

TEST_F(cuda_lanes, a_second_mapping_shows_the_same_memory) {
  memory_resource& memory = device_->memory();
  address_space& mappings = *memory.mappings();
  const std::size_t granule = mappings.granularity();
  auto* const block = static_cast<char*>(memory.allocate(2 * granule));
  void* const range = mappings.reserve(granule);
  for (int half = 0; half < 2; ++half) {
    mappings.map(range, block + half * granule, granule);
    auto* const seen = static_cast<int*>(range);
    cuda::launch("write_late", write_late, 1, 256, 0, cuda::native(*compute_), seen, count,
                 half + 5, slow);
    communication_->wait(compute_->record());
    cuda::launch("copy_values", copy_values, 1, 256, 0, cuda::native(*communication_),
                 reinterpret_cast<const int*>(block + half * granule), copies_, count);
    EXPECT_EQ(copies(), std::vector<int>(count, half + 5));
  }
  mappings.unreserve(range, granule);
  memory.deallocate(block, 2 * granule);
}

}  // namespace
}  // namespace zero
