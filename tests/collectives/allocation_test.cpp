// After the first round, queueing, running and waiting allocate nothing, on any thread.
#include "support/run_ranks.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

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
void* operator new[](std::size_t bytes) { return allocate(bytes); }
void operator delete(void* block) noexcept { std::free(block); }
void operator delete[](void* block) noexcept { std::free(block); }
void operator delete(void* block, std::size_t) noexcept { std::free(block); }
void operator delete[](void* block, std::size_t) noexcept { std::free(block); }

namespace zero::testing {
namespace {

TEST(allocation, none_in_the_steady_state) {
  run_ranks(3, [](collectives::communicator& ranks) {
    const std::size_t count = 70001;
    auto* const shared = static_cast<float*>(ranks.memory().allocate(3 * count * 4));
    std::vector<float> heap(3 * count);
    address_space& space = *ranks.memory().mappings();
    const std::size_t page = space.granularity();
    void* const range = space.reserve(page);
    const auto round = [&] {
      for (float* const base : {shared, heap.data()}) {
        const typed_span full{base, 3 * count, dtype::fp32};
        const typed_span own = full.part(static_cast<std::size_t>(ranks.rank()) * count, count);
        const completion first = ranks.all_gather(own, full, {{}, "gather", 1});
        ranks.reduce_scatter(full, own, collectives::write_mode::overwrite, {first, "reduce", 2});
        ranks.all_reduce(full);
        ranks.broadcast(full, 1);
        for (int i = 0; i < 300; ++i) ranks.barrier();  // past the end of the ring
        ranks.barrier().wait();
      }
      space.map(range, shared, page);
      space.unmap(range, page);
    };
    round();
    ranks.barrier().wait();
    counting.store(true);
    round();
    ranks.barrier().wait();
    counting.store(false);
    ranks.barrier().wait();
  });
  EXPECT_EQ(counted.load(), 0u);
  counting.store(true);
  ::operator delete(::operator new(1));
  counting.store(false);
  EXPECT_EQ(counted.load(), 1u);  // it would have been seen
}

}  // namespace
}  // namespace zero::testing
