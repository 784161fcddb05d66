// Hand-over of memory between the lanes of ranks that share a GPU, with kernels that do nothing for
// a while before everything that is handed over, and memory that comes and goes around it. Without
// any one of the waits for events, what is read is wrong.
#include "collectives/run_joined.hpp"
#include "cuda/cuda_queue.hpp"
#include "one_device/one_device_ranks.hpp"
#include "sum.hpp"

#include <zero/base/cuda.hpp>
#include <zero/base/float16.hpp>
#include <zero/base/native_cuda.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

namespace zero::testing {
namespace {

using collectives::communicator;
using collectives::device_queue;

__global__ void idle_kernel(unsigned microseconds) {
  unsigned long long begin = 0;
  unsigned long long now = 0;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(begin));
  do {
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  } while (now - begin < microseconds * 1000ULL);
}

__global__ void fill_kernel(float* at, std::size_t count, float value) {
  const std::size_t stride = std::size_t{gridDim.x} * blockDim.x;
  for (std::size_t i = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += stride) {
    at[i] = value;
  }
}

// at[i] must be first + i / piece * step.
__global__ void check_kernel(const float* at, std::size_t count, std::size_t piece, float first,
                             float step, unsigned long long* wrong) {
  const std::size_t stride = std::size_t{gridDim.x} * blockDim.x;
  for (std::size_t i = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += stride) {
    const float expected = first + static_cast<float>(i / piece) * step;
    if (at[i] != expected) atomicAdd(wrong, 1ULL);
  }
}

// A client's own stream.
class kernels {
 public:
  kernels(cuda_device& device, unsigned seed)
      : random_(seed), stream_(device.make_stream(lane::compute)) {}
  stream& queue() { return *stream_; }
  void idle() {
    cuda::launch("idle", idle_kernel, 1, 1, 0, cuda::native(*stream_),
                 static_cast<unsigned>(random_() % 300));
  }
  void fill(float* at, std::size_t count, float value) {
    cuda::launch("fill", fill_kernel, 32, 256, 0, cuda::native(*stream_), at, count, value);
  }
  void check(const float* at, std::size_t count, std::size_t piece, float first, float step,
             unsigned long long* wrong) {
    cuda::launch("check", check_kernel, 32, 256, 0, cuda::native(*stream_), at, count, piece, first,
                 step, wrong);
  }

 private:
  std::mt19937 random_;
  std::unique_ptr<stream> stream_;
};

// The library's queue, idle for a while before whatever it does.
class slow_queue final : public device_queue {
 public:
  slow_queue(cuda_device& device, unsigned seed)
      : random_(seed), queue_(collectives::make_cuda_queue(device)) {}

  [[nodiscard]] stream& lane() noexcept override { return queue_->lane(); }
  [[nodiscard]] memory_resource& memory() noexcept override { return queue_->memory(); }
  [[nodiscard]] bool reaches(const void* first, std::uint64_t bytes) const noexcept override {
    return queue_->reaches(first, bytes);
  }
  [[nodiscard]] std::unique_ptr<collectives::event_ring> make_events(std::size_t slots) override {
    return queue_->make_events(slots);
  }
  void copy(void* to, const void* from, std::uint64_t bytes) override {
    idle();
    queue_->copy(to, from, bytes);
  }
  void sum(const void* const* from, std::size_t sources, dtype in, void* out, dtype out_type,
           std::size_t count, collectives::write_mode mode) override {
    idle();
    queue_->sum(from, sources, in, out, out_type, count, mode);
  }

 private:
  void idle() {
    cuda::launch("idle", idle_kernel, 1, 1, 0, cuda::native(queue_->lane()),
                 static_cast<unsigned>(random_() % 300));
  }
  std::mt19937 random_;
  std::unique_ptr<device_queue> queue_;
};

class gpu_lanes : public ::testing::Test {
 protected:
  void SetUp() override {
    if (cuda_device::count() == 0) GTEST_SKIP() << "no GPU: " << cuda_device::why_none();
  }
};

constexpr std::size_t piece_size = 40009;  // elements

struct buffers {
  explicit buffers(communicator& ranks)
      : memory(ranks.memory()), size(static_cast<std::size_t>(ranks.size())) {
    full = static_cast<float*>(memory.allocate(piece_size * size * 4));
    other = static_cast<float*>(memory.allocate(piece_size * size * 4));
    piece = static_cast<float*>(memory.allocate(piece_size * 4));
    wrong = static_cast<unsigned long long*>(memory.allocate(8));
  }
  ~buffers() {
    memory.deallocate(full, piece_size * size * 4);
    memory.deallocate(other, piece_size * size * 4);
    memory.deallocate(piece, piece_size * 4);
    memory.deallocate(wrong, 8);
  }
  memory_resource& memory;
  std::size_t size;
  float* full;
  float* other;
  float* piece;
  unsigned long long* wrong;
};

// Filled, summed, spread, gathered, read and filled again; the host waits for none of it.
void hand_over(communicator& ranks, kernels& compute, const buffers& b, int round) {
  const auto scale = static_cast<float>(round + 1);
  const std::size_t all = piece_size * b.size;
  const typed_span full{b.full, all, dtype::fp32};
  const typed_span other{b.other, all, dtype::fp32};
  const typed_span piece{b.piece, piece_size, dtype::fp32};
  compute.idle();
  compute.fill(b.full, all, static_cast<float>(ranks.rank() + 1) * scale);
  compute.fill(b.other, all, -1.0f);
  const completion written = compute.queue().record();
  ranks.reduce_scatter(full, piece, collectives::write_mode::overwrite, {written, "sum", round});
  ranks.all_to_all(full, other, {written, "spread", round});
  ranks.all_gather(piece, full);
  const completion last = ranks.all_reduce(piece);
  compute.queue().wait(last);
  const auto n = static_cast<float>(b.size);
  const float sum = n * (n + 1) / 2 * scale;
  compute.check(b.full, all, piece_size, sum, 0, b.wrong);
  compute.check(b.other, all, piece_size, scale, scale, b.wrong);
  compute.check(b.piece, piece_size, piece_size, sum * n, 0, b.wrong);
}

TEST_F(gpu_lanes, hand_memory_over_by_events_alone) {
  for (const int size : {2, 3, 4}) {
    std::vector<std::unique_ptr<cuda_device>> devices;
    collectives::one_device_ranks world(size);
    joined_ranks joined;
    for (int rank = 0; rank < size; ++rank) {
      devices.push_back(std::make_unique<cuda_device>(0));
      joined.push_back(world.join(
          rank, std::make_unique<slow_queue>(*devices.back(), static_cast<unsigned>(rank))));
    }
    run_joined(joined, [&](communicator& ranks) {
      const auto me = static_cast<std::size_t>(ranks.rank());
      kernels compute(*devices[me], 100 + static_cast<unsigned>(me));
      kernels storm(*devices[me], 200 + static_cast<unsigned>(me));
      const buffers b(ranks);
      for (int round = 0; round < 30; ++round) {
        hand_over(ranks, compute, b, round);
        const std::size_t count = 5000 * static_cast<std::size_t>(round + 1);
        auto* const passing = static_cast<float*>(b.memory.allocate(count * 4));
        storm.fill(passing, count, 1e9f);
        storm.queue().record().wait();
        b.memory.deallocate(passing, count * 4);
      }
      compute.queue().record().wait();
      ranks.barrier().wait();
      unsigned long long wrong = 1;
      cuda::checked(cudaMemcpy(&wrong, b.wrong, 8, cudaMemcpyDefault), "cudaMemcpy");
      EXPECT_EQ(wrong, 0u);
    });
  }
}

TEST_F(gpu_lanes, queueing_does_not_wait_for_the_device) {
  std::vector<std::unique_ptr<cuda_device>> devices;
  collectives::one_device_ranks world(2);
  joined_ranks joined;
  for (int rank = 0; rank < 2; ++rank) {
    devices.push_back(std::make_unique<cuda_device>(0));
    joined.push_back(world.join(rank, collectives::make_cuda_queue(*devices.back())));
  }
  run_joined(joined, [&](communicator& ranks) {
    const buffers b(ranks);
    kernels compute(*devices[static_cast<std::size_t>(ranks.rank())], 1);
    const typed_span piece{b.piece, piece_size, dtype::fp32};
    ranks.all_reduce(piece).wait();  // whatever is loaded at first use
    ranks.barrier().wait();
    cuda::launch("idle", idle_kernel, 1, 1, 0, cuda::native(compute.queue()), 500'000u);
    const completion held = compute.queue().record();
    completion last = ranks.all_reduce(piece, {held, "held", 0});
    for (int i = 0; i < 10; ++i) last = ranks.broadcast(piece, i % 2);
    compute.queue().wait(last);
    EXPECT_FALSE(held.ready());  // all of that took less than half a second
    EXPECT_FALSE(last.ready());
    last.wait();
  });
}

// The kernel of sums against the host's, bit for bit, over random bits.
template <typename Check>
void compare_sums(device_queue& queue, cuda_device& device, Check check) {
  std::mt19937_64 random(3);
  for (const std::size_t count : {1, 7, 1009, 300007}) {
    for (const std::size_t sources : {1, 2, 5, 64}) {
      if (count > 2000 && sources > 5) continue;
      for (const std::size_t offset : {0, 3}) check(queue, device, count, sources, offset, random);
    }
  }
}

TEST_F(gpu_lanes, sums_have_the_bits_of_the_host) {
  cuda_device device(0);
  const auto queue = collectives::make_cuda_queue(device);
  const dtype kinds[][2] = {{dtype::fp32, dtype::fp32},
                            {dtype::bf16, dtype::bf16},
                            {dtype::fp16, dtype::fp16},
                            {dtype::bf16, dtype::fp32},
                            {dtype::fp16, dtype::fp32}};
  const auto check = [&](device_queue& lane, cuda_device& gpu, std::size_t count,
                         std::size_t sources, std::size_t offset, std::mt19937_64& random) {
    for (const auto& kind : kinds) {
      const std::size_t in_bytes = (count + offset) * size_of(kind[0]);
      const std::size_t out_bytes = (count + offset) * size_of(kind[1]);
      std::vector<std::vector<std::uint32_t>> host(sources + 1);
      std::vector<void*> blocks;
      std::vector<const void*> here, there;
      for (std::size_t s = 0; s <= sources; ++s) {  // the last is the output
        host[s].resize(out_bytes / 4 + 1);
        for (auto& word : host[s]) word = static_cast<std::uint32_t>(random());
        const std::size_t bytes = s == sources ? out_bytes : in_bytes;
        blocks.push_back(gpu.memory().allocate(bytes));
        lane.copy(blocks[s], host[s].data(), bytes);
        const std::size_t skip = offset * size_of(s == sources ? kind[1] : kind[0]);
        here.push_back(reinterpret_cast<char*>(host[s].data()) + skip);
        there.push_back(static_cast<char*>(blocks[s]) + skip);
      }
      void* const out = const_cast<void*>(there[sources]);
      void* const expected = const_cast<void*>(here[sources]);
      lane.sum(there.data(), sources, kind[0], out, kind[1], count,
               collectives::write_mode::accumulate);
      collectives::sum(here.data(), sources, kind[0], expected, kind[1], count,
                       collectives::write_mode::accumulate);
      std::vector<std::uint32_t> found(out_bytes / 4 + 1);
      lane.copy(found.data(), blocks[sources], out_bytes);
      lane.lane().record().wait();
      std::size_t wrong = 0;
      for (std::size_t i = offset; i < count + offset; ++i) {
        const std::size_t width = size_of(kind[1]);
        const char* const a = reinterpret_cast<char*>(found.data()) + i * width;
        const char* const b = reinterpret_cast<char*>(host[sources].data()) + i * width;
        float as_float = 0;
        if (kind[1] == dtype::fp32) std::memcpy(&as_float, b, 4);
        const bool is_nan = kind[1] == dtype::fp32 ? std::isnan(as_float)
                            : kind[1] == dtype::bf16
                                ? std::isnan(to_float(*reinterpret_cast<const bf16_t*>(b)))
                                : std::isnan(to_float(*reinterpret_cast<const fp16_t*>(b)));
        wrong += !is_nan && std::memcmp(a, b, width) != 0;  // which NaN is left open
      }
      EXPECT_EQ(wrong, 0u) << name_of(kind[0]) << " into " << name_of(kind[1]) << ", " << count
                           << " of " << sources << " at " << offset;
      for (std::size_t s = 0; s <= sources; ++s) {
        gpu.memory().deallocate(blocks[s], s == sources ? out_bytes : in_bytes);
      }
    }
  };
  compare_sums(*queue, device, check);
}

}  // namespace
}  // namespace zero::testing
