// After its first step a rank allocates nothing: not in the engine, not in the communicator.

#include "engine/toy_client.hpp"
#include "support/run_ranks.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <string>

namespace {
std::atomic<std::uint64_t> allocations{0};

void* counted(std::size_t bytes) {
  allocations.fetch_add(1);
  if (void* block = std::malloc(bytes == 0 ? 1 : bytes)) return block;
  throw std::bad_alloc();
}
}  // namespace

void* operator new(std::size_t bytes) { return counted(bytes); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  try {
    return counted(bytes);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void* operator new[](std::size_t bytes) { return counted(bytes); }
void* operator new[](std::size_t bytes, const std::nothrow_t& none) noexcept {
  return operator new(bytes, none);
}
void operator delete(void* block) noexcept { std::free(block); }
void operator delete[](void* block) noexcept { std::free(block); }
void operator delete(void* block, std::size_t) noexcept { std::free(block); }
void operator delete[](void* block, std::size_t) noexcept { std::free(block); }

namespace zero::testing {
namespace {

void one_step(sharded_optimizer& optimizer, int micro_batches,
              const range_function* rule = nullptr) {
  for (int micro = 0; micro < micro_batches; ++micro) {
    optimizer.begin_micro_batch();
    for (const int unit : {0, 1, 2, 3}) static_cast<void>(optimizer.gather(unit));
    for (const int unit : {3, 2, 1, 0}) {
      const gathered_unit held = optimizer.gather(unit);
      static_cast<float*>(optimizer.gradients(unit).gradient(0).data)[0] += 1.0F;
      optimizer.reduce(unit);
    }
  }
  if (rule == nullptr) {
    optimizer.step(0.01F);
  } else {
    static_cast<void>(optimizer.gradient_norm());
    optimizer.step(0.01F, *rule);
    optimizer.visit(access::read, *rule);
    optimizer.visit(access::write, *rule);
    optimizer.swap_with_state(1);
  }
}

TEST(steady_state, allocates_nothing) {
  for (const auto how : {addressing::slots, addressing::stable}) {
    for (const std::string& row : partition::policy_names()) {
      run_ranks(4, [&](collectives::communicator& ranks) {
        engine_options options;
        options.policy = partition::policy_of_name(row, 2);
        options.groups.resize(2);
        options.accumulate = 2;
        options.addressing = how;
        options.quantized_gather = how == addressing::stable ? 8 : 0;
        options.quantized_reduce = how == addressing::stable ? 4 : 0;
        sharded_optimizer optimizer(ranks, toy_model(dtype::fp32), options);
        one_step(optimizer, 2);
        ranks.barrier().wait();
        const std::uint64_t before = allocations.load();
        for (int step = 0; step < 5; ++step) one_step(optimizer, 2);
        const std::uint64_t after = allocations.load();
        ranks.barrier().wait();
        EXPECT_EQ(after - before, 0U) << row;
      });
    }
  }
}

TEST(steady_state, of_an_own_rule_allocates_nothing) {
  for (const std::string& row : partition::policy_names()) {
    for (const auto rests : {partition::tier::device, partition::tier::host}) {
      run_ranks(4, [&](collectives::communicator& ranks) {
        engine_options options;
        options.policy = partition::policy_of_name(row, 2);
        options.groups.resize(2);
        options.own_states = 1;
        options.extra_states = 1;
        options.tiers.optimizer = rests;
        options.tiers.cell_elements = 2048;
        sharded_optimizer optimizer(ranks, toy_model(dtype::bf16, 7), options);
        const range_function rule = [](const state_range& range) { range.master[0] += 1.0F; };
        one_step(optimizer, 1, &rule);
        ranks.barrier().wait();
        const std::uint64_t before = allocations.load();
        for (int step = 0; step < 3; ++step) one_step(optimizer, 1, &rule);
        const std::uint64_t after = allocations.load();
        ranks.barrier().wait();
        EXPECT_EQ(after - before, 0U) << row;
      });
    }
  }
}

}  // namespace
}  // namespace zero::testing
