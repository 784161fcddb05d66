// The schedule: what is gathered ahead, what is served on demand, what is refused.

#include "engine/toy_client.hpp"
#include "support/run_ranks.hpp"

#include <zero/base/error.hpp>
#include <zero/engine/sharded_optimizer.hpp>

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <vector>

namespace zero::testing {
namespace {

engine_options sharded(int prefetch) {
  engine_options options;
  options.policy = partition::policy_of_stage(3);
  options.groups.resize(2);
  options.prefetch = prefetch;
  return options;
}

void fill(sharded_optimizer& optimizer) {
  optimizer.initialize([](std::size_t parameter, std::uint64_t offset, span<float> values) {
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = toy_value(parameter, offset + i);
  });
}

// Every element of a held unit is what it was initialised with.
void expect_initial(const gathered_unit& held, std::size_t i, std::size_t parameter) {
  const const_typed_span values = held.parameter(i);
  for (std::uint64_t e = 0; e < values.count; ++e) {
    ASSERT_EQ(static_cast<const float*>(values.data)[e], toy_value(parameter, e)) << e;
  }
}

template <typename Body>
void on_two_ranks(const engine_options& options, Body body) {
  run_ranks(2, [&](collectives::communicator& ranks) {
    sharded_optimizer optimizer(ranks, toy_model(dtype::fp32), options);
    fill(optimizer);
    body(optimizer);
  });
}

TEST(schedule, gathers_ahead_from_the_second_unit_on) {
  for (const int prefetch : {1, 2}) {
    on_two_ranks(sharded(prefetch), [&](sharded_optimizer& optimizer) {
      optimizer.begin_micro_batch();
      for (const int unit : {0, 1, 2, 3, 3, 2, 1, 0}) static_cast<void>(optimizer.gather(unit));
      EXPECT_EQ(optimizer.schedule().gathers, 8U);
      EXPECT_EQ(optimizer.schedule().prefetched, 8U);  // the first by begin_micro_batch
      EXPECT_EQ(optimizer.schedule().on_demand, 0U);
    });
  }
}

TEST(schedule, without_prefetch_only_the_turn_is_found_gathered) {
  on_two_ranks(sharded(0), [&](sharded_optimizer& optimizer) {
    optimizer.begin_micro_batch();
    for (const int unit : {0, 1, 2, 3, 3, 2, 1, 0}) static_cast<void>(optimizer.gather(unit));
    EXPECT_EQ(optimizer.schedule().prefetched, 1U);
  });
}

// The full buckets of a unit, those with gradients alone if `trained`; whole pages where pages are
// mapped.
std::uint64_t full_bytes(const sharded_optimizer& optimizer, int unit, bool trained) {
  const partition::layout& layout = optimizer.layout();
  const bool maps = optimizer.options().addressing == addressing::stable;
  const auto page = maps ? static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE)) : 1;
  std::uint64_t sum = 0;
  for (const std::size_t index : layout.buckets_of(unit)) {
    const partition::bucket& b = layout.buckets()[index];
    if (b.trainable || !trained) sum += b.padded * size_of(b.type);
  }
  return (sum + page - 1) / page * page;
}

TEST(schedule, traces_what_is_in_use_of_its_slots) {
  for (const addressing how : {addressing::slots, addressing::stable}) {
    engine_options options = sharded(0);
    options.addressing = how;
    on_two_ranks(options, [&](sharded_optimizer& optimizer) {
      trace_recorder recorder(1000);
      optimizer.set_trace(&recorder);
      const auto in_use = [&] { return recorder.samples().back().in_use; };
      EXPECT_EQ(in_use(), 0U);
      optimizer.begin_micro_batch();
      for (const int unit : {0, 1, 2, 3}) {
        const gathered_unit held = optimizer.gather(unit);
        EXPECT_EQ(in_use(), full_bytes(optimizer, unit, false)) << unit;
      }
      EXPECT_EQ(in_use(), 0U);  // unit 3 is there still, and nobody uses it
      for (const int unit : {3, 2, 1, 0}) {
        gathered_unit held = optimizer.gather(unit);
        const std::uint64_t parameters = in_use();
        EXPECT_EQ(parameters, full_bytes(optimizer, unit, false)) << unit;
        static_cast<void>(optimizer.gradients(unit));
        EXPECT_EQ(in_use(), parameters + full_bytes(optimizer, unit, true)) << unit;
        held.release();
        EXPECT_EQ(in_use(), full_bytes(optimizer, unit, true)) << unit;
        optimizer.reduce(unit);
        EXPECT_EQ(in_use(), 0U) << unit;
      }
      EXPECT_GT(recorder.samples().back().reserved, 0U);
      for (const memory_sample& s : recorder.samples()) EXPECT_LE(s.in_use, s.reserved);
      optimizer.set_trace(nullptr);
    });
  }
}

TEST(schedule, another_order_is_served_and_counted) {
  for (const addressing how : {addressing::slots, addressing::stable}) {
    for (const int prefetch : {0, 1, 2}) {
      engine_options options = sharded(prefetch);
      options.addressing = how;
      on_two_ranks(options, [&](sharded_optimizer& optimizer) {
        optimizer.begin_micro_batch();
        for (const int unit : {3, 1, 1, 0, 2, 0}) {
          const gathered_unit held = optimizer.gather(unit);
          const std::size_t first[] = {0, 3, 6, 8};
          expect_initial(held, 0, first[unit]);
        }
        EXPECT_GT(optimizer.schedule().on_demand, 0U);
      });
    }
  }
}

TEST(schedule, a_unit_used_twice_in_the_declared_order_is_served_ahead) {
  engine_options options = sharded(1);
  options.forward_order = {0, 1, 2, 3, 0};
  on_two_ranks(options, [&](sharded_optimizer& optimizer) {
    optimizer.begin_micro_batch();
    for (const int unit : {0, 1, 2, 3, 0, 0, 3, 2, 1, 0}) {
      const gathered_unit held = optimizer.gather(unit);
      if (unit == 0) expect_initial(held, 0, 0);
    }
    EXPECT_EQ(optimizer.schedule().on_demand, 0U);
    EXPECT_EQ(optimizer.schedule().prefetched, 10U);
  });
}

TEST(schedule, the_same_unit_may_be_held_twice) {
  on_two_ranks(sharded(1), [&](sharded_optimizer& optimizer) {
    optimizer.begin_micro_batch();
    gathered_unit first = optimizer.gather(0);
    const gathered_unit second = optimizer.gather(0);
    first.release();
    first.release();  // once is enough, twice is harmless
    expect_initial(second, 0, 0);
    EXPECT_THROW(static_cast<void>(first.parameter(0)), invalid_argument);
  });
}

TEST(schedule, holding_more_than_there_are_slots_is_refused_by_name) {
  on_two_ranks(sharded(0), [&](sharded_optimizer& optimizer) {
    optimizer.begin_micro_batch();
    const gathered_unit held = optimizer.gather(3);
    try {
      static_cast<void>(optimizer.gather(1));
      ADD_FAILURE() << "a second unit was held in one slot";
    } catch (const invalid_argument& refusal) {
      EXPECT_NE(std::string(refusal.what()).find("'second'"), std::string::npos);
      EXPECT_NE(std::string(refusal.what()).find("'fourth'"), std::string::npos);
    }
    expect_initial(held, 0, 8);
    EXPECT_THROW(optimizer.step(0.1F), invalid_argument);  // and a step would pull it away
  });
}

TEST(schedule, stable_addresses_stay_the_same) {
  engine_options options = sharded(1);
  options.addressing = addressing::stable;
  on_two_ranks(options, [&](sharded_optimizer& optimizer) {
    std::vector<const void*> address(4);
    for (int round = 0; round < 3; ++round) {
      optimizer.begin_micro_batch();
      for (const int unit : {0, 1, 2, 3, 3, 2, 1, 0}) {
        const gathered_unit held = optimizer.gather(unit);
        const void*& known = address[static_cast<std::size_t>(unit)];
        if (known == nullptr) known = held.parameter(0).data;
        EXPECT_EQ(held.parameter(0).data, known);
        const std::size_t first[] = {0, 3, 6, 8};
        expect_initial(held, 0, first[unit]);
      }
      optimizer.step(0.0F);
    }
  });
}

TEST(gradients, are_zero_when_taken_and_kept_until_reduced) {
  for (int stage = 0; stage <= 3; ++stage) {
    engine_options options = sharded(1);
    options.policy = partition::policy_of_stage(stage);
    on_two_ranks(options, [&](sharded_optimizer& optimizer) {
      for (int step = 0; step < 2; ++step) {
        optimizer.begin_micro_batch();
        const unit_gradients taken = optimizer.gradients(2);
        auto* values = static_cast<float*>(taken.gradient(0).data);
        EXPECT_EQ(values[30], 0.0F) << "stage " << stage << " step " << step;
        values[30] = 5.0F;
        EXPECT_EQ(static_cast<float*>(optimizer.gradients(2).gradient(0).data)[30], 5.0F);
        optimizer.reduce(2);
        EXPECT_THROW(static_cast<void>(taken.gradient(0)), invalid_argument);
        EXPECT_THROW(optimizer.reduce(2), invalid_argument);  // accumulate is 1
        EXPECT_DOUBLE_EQ(optimizer.step(0.0F).gradient_norm, 10.0);
      }
      EXPECT_EQ(optimizer.step(0.0F).gradient_norm, 0.0);  // nobody reduced anything
    });
  }
}

TEST(gradients, of_frozen_and_empty_parameters_have_no_memory) {
  on_two_ranks(sharded(1), [&](sharded_optimizer& optimizer) {
    optimizer.begin_micro_batch();
    const unit_gradients taken = optimizer.gradients(1);
    EXPECT_NE(taken.gradient(0).data, nullptr);
    EXPECT_EQ(taken.gradient(1).count, 0U);
    EXPECT_EQ(taken.gradient(2).data, nullptr);
    EXPECT_THROW(static_cast<void>(taken.gradient(3)), invalid_argument);
    optimizer.reduce(1);
    EXPECT_THROW(static_cast<void>(optimizer.gather(4)), invalid_argument);
    EXPECT_THROW(static_cast<void>(optimizer.gather(-1)), invalid_argument);
    EXPECT_THROW(static_cast<void>(optimizer.gradients(7)), invalid_argument);
    EXPECT_THROW(optimizer.reduce(7), invalid_argument);
  });
}

}  // namespace
}  // namespace zero::testing
