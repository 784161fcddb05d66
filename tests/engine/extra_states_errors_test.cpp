// Weights and states between steps: what is refused and loses nothing, what throws, and the same on
// a device.

#include "engine/own_rule_runs.hpp"
#include "support/queued_device.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace zero::testing {
namespace {

using partition::tier;

void fill(std::size_t parameter, std::uint64_t offset, span<float> values) {
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = toy_value(parameter, offset + i);
}

void leave(const state_range&) {}

template <typename Call>
void expect_refused(const char* word, const Call& call) {
  try {
    call();
    ADD_FAILURE() << word << " was not refused";
  } catch (const invalid_argument& refused) {
    EXPECT_NE(std::string(refused.what()).find(word), std::string::npos) << refused.what();
  }
}

void drop(std::size_t, std::uint64_t, span<const float>) {}

TEST(between_steps, calls_that_cannot_be_are_refused) {
  for (const char* policy : {"0", "3"}) {
    toy_run run = base_run();
    rest_on(run, tier::host, policy);
    run.options.extra_states = 1;
    run_ranks(2, [&](collectives::communicator& ranks) {
      sharded_optimizer optimizer(ranks, toy_model(dtype::fp32), run.options);
      optimizer.initialize(fill);
      const digest128 before = optimizer.parameters_digest();
      expect_refused("state 3 of 3", [&] { optimizer.swap_with_state(3); });
      expect_refused("state -1 of 3", [&] { optimizer.swap_with_state(-1); });
      expect_refused("state 3 of 3", [&] { optimizer.stream_state(3, drop); });
      expect_refused("state -2 of 3", [&] { optimizer.stream_state(-2, drop); });
      expect_refused("no function", [&] { optimizer.visit(access::read, range_function()); });
      optimizer.begin_micro_batch();
      if (policy[0] == '3') {
        const gathered_unit held = optimizer.gather(1);
        expect_refused("'second' is still held", [&] { optimizer.visit(access::write, leave); });
        expect_refused("'second' is still held", [&] { optimizer.swap_with_state(0); });
        expect_refused("'second' is still held", [&] { optimizer.write_parameters(fill); });
        optimizer.visit(access::read, leave);
      }
      optimizer.reduce(2);
      expect_refused("'third' were reduced", [&] { optimizer.visit(access::write, leave); });
      expect_refused("'third' were reduced", [&] { optimizer.visit(access::read, leave); });
      expect_refused("'third' were reduced", [&] { optimizer.swap_with_state(0); });
      expect_refused("'third' were reduced", [&] { optimizer.write_parameters(fill); });
      EXPECT_EQ(to_hex(optimizer.parameters_digest()), to_hex(before));
      EXPECT_FALSE(optimizer.step(0.1F).skipped);
    });
  }
}

TEST(between_steps, what_is_not_in_fp32_is_not_shown) {
  for (const bool states : {false, true}) {
    engine_options options;
    options.groups.resize(2);
    if (states) {
      options.formats.states = optim::state_format::bf16;
    } else {
      options.formats.master = optim::master_format::remainder;
    }
    run_ranks(2, [&](collectives::communicator& ranks) {
      sharded_optimizer optimizer(ranks, toy_model(dtype::bf16), options);
      optimizer.initialize(fill);
      const char* word = states ? "bf16" : "remainder";
      expect_refused(word, [&] { optimizer.visit(access::read, leave); });
      expect_refused(word, [&] { optimizer.visit(access::write, leave); });
      expect_refused(word, [&] { optimizer.swap_with_state(0); });
      if (states) {
        expect_refused(word, [&] { optimizer.stream_state(0, drop); });
      } else {
        optimizer.stream_state(0, drop);  // states are in fp32
      }
      optimizer.write_parameters([](std::size_t, std::uint64_t, span<float> values) {
        for (float& v : values) v = 1.0009765625F;  // which bf16 does not hold
      });
      std::vector<float> seen;
      optimizer.stream_master([&](std::size_t, std::uint64_t, span<const float> values) {
        seen.insert(seen.end(), values.begin(), values.end());
      });
      if (ranks.rank() == 0) {
        ASSERT_GT(seen.size(), 35U);
        EXPECT_EQ(seen[34], 1.0009765625F);
      }
    });
  }
}

struct refusal {};

TEST(between_steps, a_visit_that_throws_while_it_reads_changes_nothing) {
  for (const char* policy : {"0", "3"}) {
    for (const tier where : {tier::device, tier::host, tier::disk}) {
      toy_run run = base_run(dtype::bf16);
      rest_on(run, where, policy);
      const plain_result right = train_plain(run, 2);
      run.options.own_states = odd_states;
      run.update = [&](sharded_optimizer& optimizer, int) {
        static_cast<void>(optimizer.step(run.learning_rate, odd_rule));
        int ranges = 0;
        EXPECT_THROW(optimizer.visit(access::read,
                                     [&](const state_range&) {
                                       if (++ranges == 2) throw refusal();
                                     }),
                     refusal);
      };
      run_ranks(2, [&](collectives::communicator& ranks) {
        const toy_result got = train_toy(ranks, run);
        if (ranks.rank() == 0) expect_plain(got, right);
      });
    }
  }
}

TEST(between_steps, a_visit_that_throws_while_it_writes_breaks_the_optimizer) {
  for (const int world : {1, 3}) {
    for (const char* policy : {"0", "1", "2", "3"}) {
      for (const tier where : {tier::device, tier::disk}) {
        SCOPED_TRACE(std::string("stage ") + policy + ", " + name_of(where));
        toy_run run = base_run();
        rest_on(run, where, policy);
        const auto errors = try_ranks(world, [&](collectives::communicator& ranks) {
          sharded_optimizer optimizer(ranks, toy_model(dtype::fp32), run.options);
          optimizer.initialize(fill);
          const bool throws = ranks.rank() == world - 1;
          try {
            optimizer.visit(access::write, [&](const state_range&) {
              if (throws) throw refusal();
            });
            optimizer.begin_micro_batch();
            static_cast<void>(optimizer.step(0.1F));
          } catch (const refusal&) {
            EXPECT_THROW(optimizer.visit(access::read, leave), refusal);
            EXPECT_THROW(optimizer.swap_with_state(0), refusal);
            EXPECT_THROW(optimizer.write_parameters(fill), refusal);
            EXPECT_THROW(static_cast<void>(optimizer.gradient_norm()), refusal);
            EXPECT_THROW(optimizer.skip_next_step(), refusal);
            EXPECT_THROW(optimizer.set_group(0, {}), refusal);
            throw;
          }
        });
        for (int rank = 0; rank < world; ++rank) {
          ASSERT_NE(errors[static_cast<std::size_t>(rank)], nullptr);
          try {
            std::rethrow_exception(errors[static_cast<std::size_t>(rank)]);
          } catch (const error& told) {
            EXPECT_LT(rank, world - 1);
            const std::string who = "rank " + std::to_string(world - 1) + " threw";
            EXPECT_NE(std::string(told.what()).find(who), std::string::npos) << told.what();
          } catch (const refusal&) {
            EXPECT_EQ(rank, world - 1);
          }
        }
      }
    }
  }
}

// Whose host runs ahead of what it queues: visits, swaps and streams between the odd rule's steps.
TEST(between_steps, a_device_does_the_same) {
  // Of everything but the optimizer, and of that: what is then worked on in blocks of the device.
  const std::pair<tier, tier> rests[] = {{tier::device, tier::device},
                                         {tier::host, tier::host},
                                         {tier::disk, tier::disk},
                                         {tier::host, tier::device},
                                         {tier::disk, tier::device}};
  for (const dtype type : {dtype::fp32, dtype::bf16}) {
    toy_run run = base_run(type);
    run.steps = 2;
    run.wide = 13;  // many more cells than blocks
    const plain_result right = train_plain(run, 2);
    run.options.own_states = odd_states;
    run.options.extra_states = 1;
    for (const char* policy : {"0", "1", "2", "3"}) {
      for (const auto& [where, states] : rests) {
        SCOPED_TRACE(std::string("stage ") + policy + ", " + name_of(where));
        rest_on(run, where, policy);
        run.options.tiers.depth = 2;
        if (states == tier::device) run.options.tiers.optimizer = tier::device;
        run_ranks(2, [&](collectives::communicator& ranks) {
          queued_stream lane(static_cast<std::uint64_t>(ranks.rank()) + 5, 200);
          const auto work = make_queued_processor(lane);
          const auto device = on_device(ranks);
          const auto on_lane = [&lane](void (*what)(const state_range&)) {
            return [&lane, what](const state_range& range) {
              if (range.on_device) return lane.run([range, what] { what(range); });
              what(range);
            };
          };
          toy_run own = run;
          own.update = [&](sharded_optimizer& optimizer, int) {
            optimizer.queue_step(own.learning_rate, on_lane(odd_rule));
            optimizer.visit(access::write, on_lane([](const state_range& range) {
                              for (std::uint64_t i = 0; i < range.count; ++i) {
                                range.states[odd_states][i] = range.master[i] + 1.0F;
                              }
                            }));
            optimizer.visit(access::read, on_lane([](const state_range& range) {
                              for (std::uint64_t i = 0; i < range.count; ++i) {
                                ASSERT_EQ(range.states[odd_states][i], range.master[i] + 1.0F);
                              }
                            }));
            optimizer.swap_with_state(odd_states);
            optimizer.visit(access::write, on_lane([](const state_range& range) {
                              for (std::uint64_t i = 0; i < range.count; ++i) {
                                EXPECT_EQ(range.master[i], range.states[odd_states][i] + 1.0F);
                                range.master[i] = 0.0F;
                              }
                            }));
            optimizer.swap_with_state(odd_states);
            optimizer.visit(access::read, on_lane([](const state_range& range) {
                              for (std::uint64_t i = 0; i < range.count; ++i) {
                                EXPECT_EQ(range.states[odd_states][i], 0.0F);
                              }
                            }));
          };
          const toy_result got = train_toy(
              *device, *work,
              [&](element_use, typed_span elements, piece_of_work piece) {
                lane.run([elements, piece = std::move(piece)] { piece(elements); });
              },
              own);
          EXPECT_EQ(got.memory.predicted, got.memory.measured);
          if (ranks.rank() == 0) expect_plain(got, right);
        });
      }
    }
  }
}

}  // namespace
}  // namespace zero::testing
