// A state read in logical coordinates and written back: every element once, what training goes on
// from is what it would have gone on from, and another world, stage, tier or layout has the same.

#include "engine/own_rule_oracle.hpp"
#include "engine/shard_runs.hpp"
#include "engine/tier_scratch.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace zero::testing {
namespace {

using optim::master_format;
using optim::state_format;
using partition::tier;

toy_run run_of(const std::string& policy, dtype type = dtype::fp32, tier rests = tier::device) {
  toy_run run;
  run.type = type;
  run.wide = 7;
  run.steps = 5;
  run.options.policy = partition::policy_of_name(policy, 2);
  run.options.groups.resize(2);
  run.options.groups[0].constants.weight_decay = 0.1F;
  run.options.groups[1].learning_rate_factor = 0.5F;
  run.options.clip_norm = 1.0;
  run.options.disk_directory = tier_scratch();
  run.options.tiers.cell_elements = 2048;
  run.options.tiers.optimizer = rests;
  if (policy == "3" && rests != tier::device) run.options.tiers.parameters = rests;
  return run;
}

class worlds : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(all, worlds, ::testing::Values(1, 2, 3, 7));

TEST_P(worlds, go_on_with_the_same_bits_at_every_stage_on_every_tier) {
  for (const char* policy : {"0", "1", "2", "3"}) {
    for (const tier rests : {tier::device, tier::host, tier::disk}) {
      for (const dtype type : {dtype::fp32, dtype::bf16}) {
        SCOPED_TRACE(std::string(policy) + " on " + name_of(rests) + ", " + name_of(type));
        toy_run run = run_of(policy, type, rests);
        run.options.tiers.optimizer_ratio = type == dtype::fp32 ? 1.0 : 0.5;
        expect_continues(GetParam(), run, 2);
      }
    }
  }
}

TEST_P(worlds, go_on_with_whole_parameters_to_a_rank) {
  for (const char* policy : {"0", "1", "3"}) {
    toy_run run = run_of(policy, dtype::bf16, tier::host);
    run.options.layout = partition::layout_kind::whole;
    run.options.resident_bytes = 64;
    expect_continues(GetParam(), run, 3);
  }
}

TEST(groups_of_ranks, go_on_with_the_same_bits) {
  for (const char* policy : {"hybrid", "hybrid1", "hpz", "mics"}) {
    for (const dtype type : {dtype::fp32, dtype::bf16}) {
      SCOPED_TRACE(std::string(policy) + ", " + name_of(type));
      toy_run run = run_of(policy, type);
      run.micro_batches = run.options.accumulate = 2;
      expect_continues(4, run, 2);
    }
  }
}

TEST(formats_of_states, go_on_with_the_same_bits) {
  for (const state_format states : {state_format::fp32, state_format::bf16, state_format::block8}) {
    for (const master_format master :
         {master_format::fp32, master_format::remainder, master_format::none}) {
      for (const dtype type : {dtype::fp32, dtype::bf16, dtype::fp16}) {
        if (type == dtype::fp16 && master == master_format::remainder) continue;
        for (const tier rests : {tier::device, tier::disk}) {
          SCOPED_TRACE(std::string(name_of(type)) + ", states " + name_of(states) + ", master " +
                       name_of(master) + " on " + name_of(rests));
          for (const char* policy : {"1", "3"}) {
            toy_run run = run_of(policy, type, rests);
            run.options.formats = {states, master};
            run.options.tiers.optimizer_ratio = 0.5;
            expect_continues(2, run, 2);
          }
        }
      }
    }
  }
}

TEST(rules, go_on_with_the_same_bits) {
  using optim::algorithm;
  for (const algorithm a :
       {algorithm::adamw, algorithm::adam, algorithm::sgd, algorithm::lion, algorithm::adagrad}) {
    toy_run run = run_of("2", dtype::bf16);
    run.options.algorithm = a;
    run.options.extra_states = 1;
    expect_continues(3, run, 1);
  }
  for (const char* policy : {"0", "3"}) {
    toy_run run = with_odd_rule(run_of(policy, dtype::bf16, tier::disk));
    run.options.extra_states = 2;
    expect_continues(3, run, 2);
  }
}

// A skipped step is one that was made, and the scale that fell stays so.
TEST(loss_scales, go_on_where_they_were) {
  for (const int until : {1, 2, 3}) {
    toy_run run = run_of("2", dtype::fp16);
    run.options.loss_scale = {64.0F, true, 2.0F, 0.5F, 3, 1, 1.0F, 1024.0F};
    run.steps = 6;
    run.bad_step = 1;
    expect_continues(2, run, until);
  }
}

TEST(accumulation, goes_on_with_the_same_bits) {
  for (const reduce_at when : {reduce_at::micro_batch, reduce_at::boundary}) {
    for (const char* policy : {"0", "2"}) {
      toy_run run = run_of(policy, dtype::bf16, tier::host);
      run.micro_batches = run.options.accumulate = 3;
      run.options.reduction = when;
      expect_continues(3, run, 2);
    }
  }
}

// Announced updates begin before the step, by what resume said.
TEST(announced_steps, go_on_with_the_same_bits) {
  toy_run run = run_of("2", dtype::bf16, tier::disk);
  run.options.clip_norm = 0.0;
  run.options.non_finite = non_finite::apply;
  run.announces = true;
  expect_continues(2, run, 2);
}

TEST(reading, changes_nothing_and_shows_what_is_streamed) {
  for (const char* policy : {"0", "1", "2", "3"}) {
    for (const tier rests : {tier::device, tier::disk}) {
      const toy_run run = run_of(policy, dtype::bf16, rests);
      watched_run watched;
      train_watched(3, run, 2, watched);
      std::vector<std::vector<std::vector<float>>> streamed(3);
      toy_run plain = run;
      plain.at_end = [&](sharded_optimizer& optimizer) {
        for (int array = 0; array < 3; ++array) {
          auto& all = streamed[static_cast<std::size_t>(array)];
          const auto take = [&](std::size_t p, std::uint64_t offset, span<const float> values) {
            all.resize(std::max(all.size(), p + 1));
            ASSERT_EQ(all[p].size(), offset);
            all[p].insert(all[p].end(), values.begin(), values.end());
          };
          optimizer.stream_state(array - 1, take);
        }
      };
      toy_result right;
      run_ranks(3, [&](collectives::communicator& ranks) {
        toy_result own = train_toy(ranks, plain);
        if (ranks.rank() == 0) right = std::move(own);
      });
      EXPECT_EQ(to_hex(watched.result.digest), to_hex(right.digest));
      EXPECT_EQ(watched.result.memory.measured, right.memory.measured);
      EXPECT_EQ(watched.result.memory.measured_peak, right.memory.measured_peak);
      EXPECT_EQ(watched.end.names, (std::vector<std::string>{"exp_avg", "exp_avg_sq"}));
      for (std::size_t a = 0; a < 3; ++a) {
        for (std::size_t p = 0; p < streamed[a].size(); ++p) {
          if (p == 5 && a > 0) continue;  // frozen
          EXPECT_EQ(watched.end.arrays[a][p], streamed[a][p]) << a << " of " << p;
        }
      }
    }
  }
}

// Peers need not know.
TEST(reading, is_of_one_rank_alone) {
  for (const tier rests : {tier::device, tier::disk}) {
    toy_run run = run_of("3", dtype::bf16, rests);
    watched_run right;
    train_watched(3, run, 2, right);
    std::uint64_t elements = 0;
    run_ranks(3, [&](collectives::communicator& ranks) {
      toy_run own = run;
      own.after_step = [&](sharded_optimizer& optimizer, int step) {
        if (ranks.rank() != 1 || step != 2) return;
        optimizer.read_shards([&](const shard_values& v) { elements += v.where.count; });
      };
      const toy_result result = train_toy(ranks, own);
      EXPECT_EQ(to_hex(result.digest), to_hex(right.result.digest));
    });
    EXPECT_GT(elements, 1024U);
  }
}

// Long runs are cut; more than one cut, and what is left.
TEST(reading, cuts_at_two_to_the_18) {
  toy_run run = run_of("1");
  run.wide = 800;
  run.steps = 2;
  std::uint64_t longest = 0;
  std::size_t pieces = 0;
  watched_run right;
  train_watched(1, run, 1, right);
  run.at_end = [&](sharded_optimizer& optimizer) {
    for (const shard_extent& e : optimizer.saved_extents()) {
      longest = std::max(longest, e.count);
      if (e.parameter == 3) ++pieces;
    }
  };
  run_ranks(1, [&](collectives::communicator& ranks) { static_cast<void>(train_toy(ranks, run)); });
  EXPECT_EQ(longest, std::uint64_t{1} << 18U);
  EXPECT_EQ(pieces, 4U);  // of 807,200
  expect_continues(2, run, 1);
}

// What was written before, where others had more elements, must not share the scale of a block.
TEST(padding, is_zeros_whatever_was_written_before) {
  toy_run run = run_of("1", dtype::bf16);
  run.options.formats = {state_format::block8, master_format::remainder};
  run.steps = 1;
  watched_run made;
  train_watched(1, run, 1, made);
  for (std::size_t array : {1U, 2U}) {
    for (std::size_t p = 0; p < made.between.arrays[array].size(); ++p) {
      const float value = p == 3 ? 0x1p20F : 0x1p-20F;  // the largest parameter, and after it
      std::fill(made.between.arrays[array][p].begin(), made.between.arrays[array][p].end(), value);
    }
  }
  std::fill(made.between.arrays[1][5].begin(), made.between.arrays[1][5].end(), 0.0F);  // frozen
  std::fill(made.between.arrays[2][5].begin(), made.between.arrays[2][5].end(), 0.0F);
  watched_run again;
  train_on(1, run, 1, made.between, again);
  expect_same_bits(again.between, made.between);
}

struct resting {
  int world;
  const char* policy;
  tier rests;
  partition::layout_kind layout;
};

std::vector<resting> elsewhere() {
  std::vector<resting> all;
  for (const int world : {1, 2, 3, 4, 6}) {
    for (const char* policy : {"0", "1", "2", "3", "hybrid", "hpz"}) {
      if (policy[0] == 'h' && world % 2 != 0) continue;
      const tier rests = world % 2 == 0 && policy[0] != 'h' ? tier::disk : tier::device;
      const auto layout = world == 3 ? partition::layout_kind::whole : partition::layout_kind::flat;
      all.push_back({world, policy, rests, layout});
    }
  }
  return all;
}

toy_run run_at(const resting& where, dtype type, optim::optimizer_formats formats) {
  toy_run run = run_of(where.policy, type, where.rests);
  run.options.layout = where.layout;
  run.options.formats = formats;
  run.options.loss_scale = {8.0F, true, 2.0F, 0.5F, 3, 1, 1.0F, 1024.0F};
  return run;
}

// What rests in blocks of codes is coded with other neighbours; the rest is the same, bit for bit.
TEST(another_world, has_the_same_state) {
  const std::vector<optim::optimizer_formats> formats = {
      {state_format::fp32, master_format::fp32}, {state_format::bf16, master_format::remainder}};
  for (const optim::optimizer_formats& f : formats) {
    watched_run saved;
    train_watched(4, run_at({4, "3", tier::disk, partition::layout_kind::flat}, dtype::bf16, f), 3,
                  saved);
    for (const resting& where : elsewhere()) {
      SCOPED_TRACE(std::to_string(where.world) + " ranks, " + where.policy);
      watched_run got;
      toy_run run = run_at(where, dtype::bf16, f);
      train_on(where.world, run, 3, saved.between, got);
      expect_same_bits(got.between, saved.between);
      expect_same_progress(got.between.progress, saved.between.progress);
      // Sums of more or fewer ranks differ; the next steps are near all the same.
      for (const double norm : got.result.norms) EXPECT_TRUE(std::isfinite(norm));
    }
  }
}

// Widened and back; from remainders and from 32 bits.
TEST(another_format, keeps_what_it_can_hold) {
  const resting where{2, "2", tier::host, partition::layout_kind::flat};
  watched_run narrow;
  train_watched(2, run_at(where, dtype::bf16, {state_format::bf16, master_format::remainder}), 2,
                narrow);
  watched_run wide;
  train_on(3, run_at(where, dtype::bf16, {}), 2, narrow.between, wide);
  expect_same_bits(wide.between, narrow.between);
  watched_run coded;
  train_on(2, run_at(where, dtype::bf16, {state_format::block8, master_format::none}), 2,
           narrow.between, coded);
  for (std::size_t p = 0; p < narrow.between.arrays[0].size(); ++p) {
    for (std::size_t e = 0; e < narrow.between.arrays[0][p].size(); ++e) {
      const float weight = narrow.between.arrays[0][p][e];
      ASSERT_NEAR(coded.between.arrays[0][p][e], weight, std::fabs(weight) / 256) << p;
      for (std::size_t a : {1U, 2U}) {
        const float state = narrow.between.arrays[a][p][e];
        ASSERT_NEAR(coded.between.arrays[a][p][e], state, std::fabs(state) / 16 + 1e-6F) << p;
      }
    }
  }
}

}  // namespace
}  // namespace zero::testing
