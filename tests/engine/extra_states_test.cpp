// Weights and states between steps: seen, changed, exchanged and read out, wherever they rest.

#include "engine/own_rule_runs.hpp"

#include <zero/base/error.hpp>
#include <zero/base/float16.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace zero::testing {
namespace {

using partition::tier;
using arrays = std::vector<std::vector<float>>;  // by parameter

float mark(int state, std::size_t parameter, std::uint64_t element) {
  return static_cast<float>((element * 7 + parameter * 3 + static_cast<std::size_t>(state)) % 509) -
         100.5F;
}

void fill(std::size_t parameter, std::uint64_t offset, span<float> values) {
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = toy_value(parameter, offset + i);
}

void set_marks(const state_range& range) {
  for (int s = 0; s < range.state_count; ++s) {
    for (std::uint64_t i = 0; i < range.count; ++i) {
      range.states[s][i] = mark(s, range.parameter, range.offset + i);
    }
  }
}

// What rank 0 is handed; empty elsewhere. Runs must follow each other.
arrays streamed(sharded_optimizer& optimizer, int number) {
  arrays all(optimizer.layout().parameters().size());
  std::size_t last = 0;
  optimizer.stream_state(number,
                         [&](std::size_t p, std::uint64_t offset, span<const float> values) {
                           EXPECT_GE(p, last);
                           last = p;
                           EXPECT_EQ(offset, all[p].size());
                           all[p].insert(all[p].end(), values.begin(), values.end());
                         });
  return all;
}

// `value` of every element, in the shape of what is streamed of a state or of the weights.
template <typename Value>
arrays expected(const sharded_optimizer& optimizer, bool frozen_too, const Value& value) {
  const auto& layout = optimizer.layout();
  arrays all(layout.parameters().size());
  for (const partition::placement& p : layout.parameters()) {
    if (p.storage != p.index || (!frozen_too && !layout.parameter(p.index).trainable)) continue;
    for (std::uint64_t e = 0; e < p.count; ++e) all[p.index].push_back(value(p.index, e));
  }
  return all;
}

// That every rank, gathering, sees `value` rounded.
template <typename Value>
void expect_gathered(sharded_optimizer& optimizer, const Value& value) {
  const auto& layout = optimizer.layout();
  optimizer.begin_micro_batch(pass::evaluate);
  for (std::size_t unit = 0; unit < layout.model().units.size(); ++unit) {
    const gathered_unit held = optimizer.gather(static_cast<int>(unit));
    std::size_t i = 0;
    for (const partition::placement& p : layout.parameters()) {
      const auto& own = layout.model().units[unit].parameters;
      if (i == own.size() || layout.parameter(p.index).name != own[i].name) continue;
      const const_typed_span there = held.parameter(i++);
      for (std::uint64_t e = 0; e < there.count; ++e) {
        const float wanted = value(p.storage, e);
        if (there.type == dtype::bf16) {
          ASSERT_EQ(static_cast<const bf16_t*>(there.data)[e].bits, to_bf16(wanted).bits)
              << p.index << ", " << e;
        } else {
          ASSERT_EQ(static_cast<const float*>(there.data)[e], wanted) << p.index << ", " << e;
        }
      }
    }
  }
}

using body = std::function<void(sharded_optimizer&, int rank, const toy_run&)>;

// At every stage and of groups, on every tier, in both types.
void everywhere(int world, const engine_options& base, const body& what) {
  std::vector<std::string> policies{"0", "1", "2", "3"};
  if (world == 4) policies = {"hybrid", "hybrid1", "hpz"};
  for (const dtype type : {dtype::fp32, dtype::bf16}) {
    for (const std::string& policy : policies) {
      for (const tier where : {tier::device, tier::host, tier::disk}) {
        SCOPED_TRACE(std::string(name_of(type)) + ", " + policy + ", " + name_of(where));
        toy_run run = base_run(type);
        run.options.own_states = base.own_states;
        run.options.extra_states = base.extra_states;
        rest_on(run, where, policy);
        run_ranks(world, [&](collectives::communicator& ranks) {
          sharded_optimizer optimizer(ranks, toy_model(type, run.wide), run.options);
          optimizer.initialize(fill);
          what(optimizer, ranks.rank(), run);
          const memory_report memory = optimizer.memory();
          EXPECT_EQ(memory.predicted, memory.measured);
          EXPECT_EQ(memory.predicted_peak, memory.measured_peak);
        });
      }
    }
  }
}

engine_options with(int own, int extra) {
  engine_options options;
  options.own_states = own;
  options.extra_states = extra;
  return options;
}

// One micro-batch of the toy client's gradients, by a rank of its own world.
void backward(sharded_optimizer& optimizer, int rank, int step) {
  const auto& units = optimizer.layout().model().units;
  optimizer.begin_micro_batch();
  std::size_t first = optimizer.layout().parameters().size();
  for (int unit = static_cast<int>(units.size()) - 1; unit >= 0; --unit) {
    const auto& own = units[static_cast<std::size_t>(unit)].parameters;
    first -= own.size();
    const unit_gradients taken = optimizer.gradients(unit);
    for (std::size_t i = 0; i < own.size(); ++i) {
      const typed_span g = taken.gradient(i);
      if (!own[i].tied_to.empty()) continue;
      for (std::uint64_t e = 0; e < g.count; ++e) {
        const auto value = static_cast<float>(toy_gradient(rank, step, 0, first + i, e, 0.0));
        if (g.type == dtype::bf16) {
          static_cast<bf16_t*>(g.data)[e] = to_bf16(value);
        } else {
          static_cast<float*>(g.data)[e] = value;
        }
      }
    }
    optimizer.reduce(unit);
  }
}

class extra_states : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(worlds, extra_states, ::testing::Values(1, 2, 3, 4, 7));

TEST_P(extra_states, what_a_visit_writes_is_there) {
  everywhere(GetParam(), with(2, 1), [](sharded_optimizer& optimizer, int rank, const toy_run&) {
    const auto twice = [](std::size_t p, std::uint64_t e) {
      return p == 5 ? toy_value(p, e) : 2 * toy_value(p, e) + 0.01F;  // the fifth is frozen
    };
    optimizer.visit(access::write, [&](const state_range& range) {
      EXPECT_EQ(range.gradient.data, nullptr);
      EXPECT_EQ(range.learning_rate, 0.0F);
      EXPECT_EQ(range.step, 0U);
      EXPECT_EQ(range.state_count, 3);
      set_marks(range);
      for (std::uint64_t i = 0; i < range.count; ++i) {
        EXPECT_EQ(range.master[i], toy_value(range.parameter, range.offset + i));
        range.master[i] = twice(range.parameter, range.offset + i);
      }
    });
    expect_gathered(optimizer, twice);
    for (int s = 0; s < 3; ++s) {
      const arrays seen = streamed(optimizer, s);
      if (rank != 0) continue;
      EXPECT_EQ(seen, expected(optimizer, false,
                               [s](std::size_t p, std::uint64_t e) { return mark(s, p, e); }));
    }
    optimizer.visit(access::read, [&](const state_range& range) {
      for (std::uint64_t i = 0; i < range.count; ++i) {
        const float value = twice(range.parameter, range.offset + i);
        ASSERT_EQ(range.master[i], value);
        if (range.parameters.type == dtype::bf16) {
          ASSERT_EQ(static_cast<const bf16_t*>(range.parameters.data)[i].bits, to_bf16(value).bits);
        }
        for (int s = 0; s < 3; ++s) {
          ASSERT_EQ(range.states[s][i], mark(s, range.parameter, range.offset + i));
        }
      }
    });
  });
}

TEST_P(extra_states, a_visit_reads_without_the_others) {
  everywhere(GetParam(), with(-1, 1), [](sharded_optimizer& optimizer, int rank, const toy_run&) {
    backward(optimizer, rank, 0);
    optimizer.queue_step(0.1F);
    if (rank % 2 == 0) {
      std::uint64_t elements = 0;
      optimizer.visit(access::read, [&](const state_range& range) {
        elements += range.count;
        EXPECT_EQ(range.step, 1U);
        for (std::uint64_t i = 0; i < range.count; ++i) ASSERT_EQ(range.states[2][i], 0.0F);
      });
      if (GetParam() == 1) {
        EXPECT_EQ(elements, 35U + 13 + 7063 + 31 + 1 + 1200);
      }
    }
    backward(optimizer, rank, 1);
    EXPECT_EQ(optimizer.step(0.1F).step, 2U);
  });
}

// AdamW's own are in order, and what is extra is left alone; by the formulas of the optim room.
TEST_P(extra_states, of_a_built_in_rule_follow_its_own) {
  everywhere(
      GetParam(), with(-1, 1), [](sharded_optimizer& optimizer, int rank, const toy_run& run) {
        optimizer.visit(access::write, [](const state_range& range) {
          EXPECT_EQ(range.state_count, 3);
          for (std::uint64_t i = 0; i < range.count; ++i) {
            range.states[2][i] = mark(2, range.parameter, range.offset + i);
          }
        });
        backward(optimizer, rank, 0);
        EXPECT_FALSE(optimizer.step(0.1F).skipped);
        const auto by = static_cast<float>(1.0 / (8.0 * 3.0));
        const optim::hyper h = optimizer.options().groups[0].constants;
        const auto rest1 = static_cast<float>(1.0 - static_cast<double>(h.beta1));
        const auto first = [&](std::size_t p, std::uint64_t e) {
          float sum = 0;
          for (int r = 0; r < optimizer.layout().world_size(); ++r) {
            const auto own = static_cast<float>(toy_gradient(r, 0, 0, p, e, 0.0));
            sum += run.type == dtype::bf16 ? to_float(to_bf16(own)) : own;
          }
          return rest1 * (sum * by);
        };
        const arrays exp_avg = streamed(optimizer, 0);
        const arrays exp_avg_sq = streamed(optimizer, 1);
        const arrays extra = streamed(optimizer, 2);
        if (rank != 0) return;
        EXPECT_EQ(exp_avg, expected(optimizer, false, first));
        EXPECT_NE(exp_avg_sq, exp_avg);
        for (const auto& of_parameter : exp_avg_sq) {
          for (const float value : of_parameter) ASSERT_GE(value, 0.0F);
        }
        EXPECT_EQ(extra, expected(optimizer, false,
                                  [](std::size_t p, std::uint64_t e) { return mark(2, p, e); }));
      });
}

TEST_P(extra_states, a_swap_is_undone_by_another) {
  everywhere(GetParam(), with(1, 1), [](sharded_optimizer& optimizer, int rank, const toy_run&) {
    // A sum that bf16 cannot hold, so that bits would be lost if parameters were exchanged.
    const auto weight = [](std::size_t p, std::uint64_t e) {
      return p == 5 ? toy_value(p, e) : toy_value(p, e) + 1e-5F;
    };
    const auto marked = [](std::size_t p, std::uint64_t e) {
      return p == 5 ? toy_value(p, e) : mark(1, p, e);
    };
    optimizer.visit(access::write, [&](const state_range& range) {
      set_marks(range);
      for (std::uint64_t i = 0; i < range.count; ++i) {
        range.master[i] = weight(range.parameter, range.offset + i);
      }
    });
    const digest128 before = optimizer.parameters_digest();
    const auto streams = [&](int number, bool frozen_too, const auto& value) {
      const arrays seen = streamed(optimizer, number);
      if (rank == 0) {
        // Frozen weights are kept in the parameters' own type.
        arrays wanted = expected(optimizer, frozen_too, value);
        if (optimizer.layout().parameter(5).type == dtype::bf16) {
          for (float& v : wanted[5]) v = to_float(to_bf16(v));
        }
        EXPECT_EQ(seen, wanted) << number;
      }
    };
    optimizer.swap_with_state(1);
    EXPECT_NE(to_hex(optimizer.parameters_digest()), to_hex(before));
    expect_gathered(optimizer, marked);
    streams(-1, true, marked);
    streams(1, false, weight);
    streams(0, false, [](std::size_t p, std::uint64_t e) { return mark(0, p, e); });
    optimizer.swap_with_state(1);
    EXPECT_EQ(to_hex(optimizer.parameters_digest()), to_hex(before));
    expect_gathered(optimizer, weight);
    streams(1, false, [](std::size_t p, std::uint64_t e) { return mark(1, p, e); });
  });
}

// An evaluation by averaged weights in the middle of training leaves no trace.
TEST_P(extra_states, training_goes_on_after_two_swaps) {
  const int world = GetParam() == 4 ? 2 : GetParam();
  toy_run run = base_run(dtype::bf16);
  const plain_result right = train_plain(run, world);
  run.options.own_states = odd_states;
  run.options.extra_states = 1;
  arrays found[odd_states];
  run.update = [&](sharded_optimizer& optimizer, int) {
    static_cast<void>(optimizer.step(run.learning_rate, odd_rule));
    optimizer.swap_with_state(odd_states);
    expect_gathered(optimizer,
                    [](std::size_t p, std::uint64_t e) { return p == 5 ? toy_value(p, e) : 0.0F; });
    optimizer.swap_with_state(odd_states);
  };
  std::mutex mutex;
  run.at_end = [&](sharded_optimizer& optimizer) {
    for (int s = 0; s < odd_states; ++s) {
      const arrays seen = streamed(optimizer, s);
      const std::lock_guard lock(mutex);
      if (!seen[0].empty()) found[s] = seen;
    }
  };
  for (const char* policy : {"0", "1", "2", "3"}) {
    for (const tier where : {tier::device, tier::host, tier::disk}) {
      SCOPED_TRACE(std::string("stage ") + policy + ", " + name_of(where));
      rest_on(run, where, policy);
      run_ranks(world, [&](collectives::communicator& ranks) {
        const toy_result got = train_toy(ranks, run);
        if (ranks.rank() == 0) expect_plain(got, right);
      });
      for (int s = 0; s < odd_states; ++s) EXPECT_EQ(found[s], right.states[s]) << s;
    }
  }
}

TEST_P(extra_states, parameters_are_written_and_states_kept) {
  everywhere(GetParam(), with(1, 1), [](sharded_optimizer& optimizer, int rank, const toy_run&) {
    const auto other = [](std::size_t p, std::uint64_t e) { return 3 * toy_value(p, e) + 0.001F; };
    optimizer.visit(access::write, set_marks);
    optimizer.write_parameters([&](std::size_t p, std::uint64_t offset, span<float> values) {
      for (std::size_t i = 0; i < values.size(); ++i) values[i] = other(p, offset + i);
    });
    expect_gathered(optimizer, other);
    for (int s = 0; s < 2; ++s) {
      const arrays seen = streamed(optimizer, s);
      if (rank != 0) continue;
      EXPECT_EQ(seen, expected(optimizer, false,
                               [s](std::size_t p, std::uint64_t e) { return mark(s, p, e); }));
    }
    optimizer.initialize(fill);
    const arrays cleared = streamed(optimizer, 1);
    if (rank == 0) {
      EXPECT_EQ(cleared,
                expected(optimizer, false, [](std::size_t, std::uint64_t) { return 0.0F; }));
    }
    backward(optimizer, rank, 0);
    EXPECT_EQ(optimizer.step(0.1F, [](const state_range&) {}).step, 1U);
  });
}

}  // namespace
}  // namespace zero::testing
