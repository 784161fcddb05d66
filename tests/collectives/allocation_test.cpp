// After the first round, queueing, running and waiting allocate nothing, on any thread.
#include "collectives/run_joined.hpp"
#include "one_device/one_device_ranks.hpp"
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
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  try {
    return allocate(bytes);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void* operator new[](std::size_t bytes) { return allocate(bytes); }
void* operator new[](std::size_t bytes, const std::nothrow_t& none) noexcept {
  return operator new(bytes, none);
}
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

// A device that does nothing, so that only what the ranks do is counted.
class idle_events final : public collectives::event_ring {
 public:
  void record(std::size_t, stream&) override {}
  void order(std::size_t, stream&) override {}
  [[nodiscard]] bool done(std::size_t) override { return true; }
};

class idle_queue final : public collectives::device_queue {
 public:
  [[nodiscard]] stream& lane() noexcept override { return lane_; }
  [[nodiscard]] memory_resource& memory() noexcept override { return memory_; }
  [[nodiscard]] bool reaches(const void*, std::uint64_t) const noexcept override { return true; }
  [[nodiscard]] std::unique_ptr<collectives::event_ring> make_events(std::size_t) override {
    return std::make_unique<idle_events>();
  }
  void copy(void*, const void*, std::uint64_t) override {}
  void sum(const void* const*, std::size_t, dtype, void*, dtype, std::size_t,
           collectives::write_mode) override {}

 private:
  class idle_stream final : public stream {
   public:
    [[nodiscard]] completion record() override { return {}; }
    [[nodiscard]] void* native() const noexcept override { return const_cast<idle_stream*>(this); }
  };
  idle_stream lane_;
  page_resource memory_;
};

TEST(allocation, none_on_devices_in_the_steady_state) {
  collectives::one_device_ranks world(3);
  joined_ranks joined;
  for (int rank = 0; rank < 3; ++rank) {
    joined.push_back(world.join(rank, std::make_unique<idle_queue>()));
  }
  counted.store(0);
  run_joined(joined, [](collectives::communicator& ranks) {
    auto* const block = static_cast<float*>(ranks.memory().allocate(3000 * 4));
    const typed_span full{block, 3000, dtype::fp32};
    const typed_span own = full.part(static_cast<std::size_t>(ranks.rank()) * 1000, 1000);
    idle_queue other;
    const auto round = [&] {
      for (int i = 0; i < 50; ++i) {  // past the end of the ring
        const completion first = ranks.all_gather(own, full, {{}, "gather", 1});
        ranks.reduce_scatter(full, own, collectives::write_mode::overwrite, {first, "reduce", 2});
        ranks.all_reduce(full);
        ranks.broadcast(full, 1).order(other.lane());
      }
      ranks.barrier().wait();
    };
    round();
    ranks.barrier().wait();
    counting.store(true);
    round();
    ranks.barrier().wait();
    counting.store(false);
    ranks.barrier().wait();
    ranks.memory().deallocate(block, 3000 * 4);
  });
  EXPECT_EQ(counted.load(), 0u);
}

}  // namespace
}  // namespace zero::testing
