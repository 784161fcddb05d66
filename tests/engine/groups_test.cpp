// Groups of ranks: whatever is sharded over them, the bits are those of sharding nothing, memory is
// what was predicted, and so is every byte that ranks tell each other.

#include "engine/toy_client.hpp"
#include "support/run_ranks.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace zero::testing {
namespace {

struct named_policy {
  std::string name;
  partition::sharding_policy policy;
};

std::string text_of(const named_policy& row) {
  return row.name + " in groups of " + std::to_string(row.policy.group_size);
}

// Rows of the table, and what the table has no name for.
std::vector<named_policy> policies_of(int world) {
  using so = partition::sharded_over;
  std::vector<named_policy> all;
  for (int size = 1; size <= world; ++size) {
    if (world % size != 0) continue;
    for (const char* name : {"hybrid", "hybrid1", "hpz"}) {
      all.push_back({name, partition::policy_of_name(name, size)});
    }
    all.push_back({"optimizer", {so::nobody, so::nobody, so::group, false, size}});
    all.push_back({"gradients", {so::nobody, so::group, so::group, false, size}});
    all.push_back({"half", {so::nobody, so::group, so::world, false, size}});
    all.push_back({"two thirds", {so::group, so::group, so::world, false, size}});
  }
  return all;
}

toy_run base_run(dtype type = dtype::fp32) {
  toy_run run;
  run.type = type;
  run.options.policy = partition::policy_of_stage(0);
  run.options.groups.resize(2);
  run.options.groups[0].constants.weight_decay = 0.1F;
  run.options.groups[1].learning_rate_factor = 0.5F;
  run.options.clip_norm = 1.0;
  return run;
}

void expect_traffic_as_planned(const toy_result& result, const toy_run& run, int world) {
  const partition::communication_volume each =
      sharded_optimizer::predict_communication(toy_model(run.type), run.options, world).step();
  const auto steps = static_cast<std::uint64_t>(run.steps - 1);
  const collectives::traffic& first = result.traffic_after_first_step;
  const collectives::traffic& end = result.traffic_at_end;
  EXPECT_EQ(end.all_gather - first.all_gather, steps * each.all_gather);
  EXPECT_EQ(end.reduce_scatter - first.reduce_scatter, steps * each.reduce_scatter);
  EXPECT_EQ(end.calls - first.calls, steps * each.calls);
  EXPECT_EQ(end.all_to_all - first.all_to_all, steps * each.all_to_all);
  EXPECT_EQ(end.all_reduce + end.broadcast, 0U);
  EXPECT_EQ(end.staged, first.staged);
  EXPECT_GT(each.calls, 0U);
}

toy_result train_and_check(int world, const toy_run& run) {
  std::vector<toy_result> results(static_cast<std::size_t>(world));
  run_ranks(world, [&](collectives::communicator& ranks) {
    results[static_cast<std::size_t>(ranks.rank())] = train_toy(ranks, run);
  });
  for (const toy_result& r : results) {
    EXPECT_EQ(r.digest, results[0].digest);
    EXPECT_EQ(r.norms, results[0].norms);
    EXPECT_EQ(r.memory.predicted, r.memory.measured);
    EXPECT_EQ(r.memory.predicted_peak, r.memory.measured_peak);
    EXPECT_EQ(r.allocations_after_first_step, r.allocations_at_end);
    if (!run.evaluate_between) expect_traffic_as_planned(r, run, world);
  }
  return std::move(results[0]);
}

void expect_all_agree(int world, const toy_run& flat) {
  const toy_result first = train_and_check(world, flat);
  toy_run run = flat;
  for (const named_policy& row : policies_of(world)) {
    SCOPED_TRACE(text_of(row));
    run.options.policy = row.policy;
    const toy_result other = train_and_check(world, run);
    EXPECT_EQ(to_hex(other.digest), to_hex(first.digest));
    EXPECT_EQ(other.norms, first.norms);
    EXPECT_EQ(other.skipped, first.skipped);
    EXPECT_EQ(other.master, first.master);
  }
  for (int stage = 1; stage <= 3; ++stage) {
    SCOPED_TRACE(stage);
    run.options.policy = partition::policy_of_stage(stage);
    EXPECT_EQ(to_hex(train_and_check(world, run).digest), to_hex(first.digest));
  }
}

class worlds : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(groups, worlds, ::testing::Values(2, 3, 4, 6));

TEST_P(worlds, agree_with_sharding_nothing_in_every_dtype) {
  for (const dtype type : {dtype::fp32, dtype::bf16, dtype::fp16}) {
    for (const gradient_storage kept : {gradient_storage::fp32, gradient_storage::same}) {
      toy_run run = base_run(type);
      run.options.gradients = kept;
      if (type == dtype::fp16) {
        run.options.loss_scale = {64.0F, true, 2.0F, 0.5F, 2, 1, 1.0F, 1024.0F};
      }
      SCOPED_TRACE(name_of(type));
      expect_all_agree(GetParam(), run);
    }
  }
}

TEST_P(worlds, agree_under_accumulation_with_either_policy) {
  for (const dtype type : {dtype::fp32, dtype::bf16}) {
    for (const gradient_storage kept : {gradient_storage::fp32, gradient_storage::same}) {
      for (const reduce_at when : {reduce_at::micro_batch, reduce_at::boundary}) {
        toy_run run = base_run(type);
        run.micro_batches = run.options.accumulate = 3;
        run.options.reduction = when;
        run.options.gradients = kept;
        SCOPED_TRACE(name_of(type));
        expect_all_agree(GetParam(), run);
      }
    }
  }
}

TEST_P(worlds, agree_at_every_prefetch_and_addressing) {
  for (const int prefetch : {0, 2, 9}) {
    for (const addressing how : {addressing::slots, addressing::stable}) {
      toy_run run = base_run();
      run.options.prefetch = prefetch;
      run.options.addressing = how;
      SCOPED_TRACE(prefetch);
      expect_all_agree(GetParam(), run);
      run.evaluate_between = true;
      run.micro_batches = run.options.accumulate = 2;
      expect_all_agree(GetParam(), run);
    }
  }
}

TEST_P(worlds, agree_in_a_whole_layout_with_resident_parameters) {
  for (const bool whole : {false, true}) {
    for (const dtype type : {dtype::fp32, dtype::bf16}) {
      toy_run run = base_run(type);
      run.options.layout = whole ? partition::layout_kind::whole : partition::layout_kind::flat;
      run.options.resident_bytes = 128;
      expect_all_agree(GetParam(), run);
    }
  }
}

TEST_P(worlds, skip_a_step_alike) {
  toy_run run = base_run();
  run.bad_step = 1;
  expect_all_agree(GetParam(), run);
}

// Fewer micro-batches than a step may have: the exchange waits for the step.
TEST_P(worlds, agree_when_a_step_is_shorter_than_it_may_be) {
  for (const reduce_at when : {reduce_at::micro_batch, reduce_at::boundary}) {
    toy_run run = base_run(dtype::bf16);
    run.options.accumulate = 3;
    run.options.reduction = when;
    run.micro_batches = 2;
    run.evaluate_between = true;  // no prediction of such a run
    expect_all_agree(GetParam(), run);
  }
}

void fill(sharded_optimizer& optimizer) {
  optimizer.initialize([](std::size_t parameter, std::uint64_t offset, span<float> values) {
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = toy_value(parameter, offset + i);
  });
}

// Elements that differ from what they should be, of every parameter seen through a gather.
std::uint64_t wrong_elements(sharded_optimizer& optimizer, int unit, float shift) {
  const std::size_t first_of[] = {0, 3, 6, 8};
  const gathered_unit held = optimizer.gather(unit);
  std::uint64_t wrong = 0;
  const auto& parameters =
      optimizer.layout().model().units[static_cast<std::size_t>(unit)].parameters;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const const_typed_span values = held.parameter(i);
    const std::size_t index = first_of[unit] + i;
    const std::size_t storage = optimizer.layout().parameters()[index].storage;
    for (std::uint64_t e = 0; e < values.count; ++e) {
      wrong += static_cast<const float*>(values.data)[e] != toy_value(storage, e) + shift ? 1 : 0;
    }
  }
  return wrong;
}

TEST_P(worlds, read_write_and_gather_in_any_order) {
  for (const named_policy& row : policies_of(GetParam())) {
    for (const int prefetch : {0, 1, 3}) {
      SCOPED_TRACE(text_of(row));
      run_ranks(GetParam(), [&](collectives::communicator& ranks) {
        engine_options options = base_run().options;
        options.policy = row.policy;
        options.prefetch = prefetch;
        sharded_optimizer optimizer(ranks, toy_model(dtype::fp32), options);
        for (const float shift : {0.0F, 1.0F, 2.0F}) {
          fill(optimizer);
          {
            full_parameters_region region = optimizer.full_parameters();
            for (const partition::placement& p : optimizer.layout().parameters()) {
              if (p.storage != p.index) continue;
              const typed_span values = region.writable(p.index);
              for (std::uint64_t e = 0; e < p.count; ++e) {
                float& value = static_cast<float*>(values.data)[e];
                EXPECT_EQ(value, toy_value(p.index, e));
                if (ranks.rank() == 0) value += shift;  // the others' is not taken
              }
            }
            region.write();
          }
          optimizer.begin_micro_batch();
          for (const int unit : {3, 1, 1, 0, 2, 0, 3, 2}) {
            EXPECT_EQ(wrong_elements(optimizer, unit, shift), 0U) << unit;
          }
          optimizer.begin_micro_batch();  // leaves what it gathers ahead unused
        }
      });
    }
  }
}

TEST(groups, every_rank_initialises_what_it_updates_and_no_more) {
  for (const auto& [name, copies] : std::vector<std::pair<std::string, std::size_t>>{
           {"hybrid", 2}, {"hybrid1", 1}, {"hpz", 1}, {"3", 1}, {"0", 4}}) {
    std::mutex mutex;
    std::multiset<std::pair<std::size_t, std::uint64_t>> filled;
    run_ranks(4, [&](collectives::communicator& ranks) {
      engine_options options = base_run(dtype::bf16).options;
      options.policy = partition::policy_of_name(name, 2);
      sharded_optimizer optimizer(ranks, toy_model(dtype::bf16), options);
      optimizer.initialize([&](std::size_t parameter, std::uint64_t offset, span<float> values) {
        const std::lock_guard<std::mutex> lock(mutex);
        for (std::size_t i = 0; i < values.size(); ++i) {
          values[i] = 1.0F;
          filled.insert({parameter, offset + i});
        }
      });
    });
    EXPECT_EQ(filled.count({3, 1008}), copies) << name;
    EXPECT_EQ(filled.count({8, 0}), copies) << name;
  }
}

// Ranks that step apart are named as the world numbers them, though votes lie in another order.
TEST(groups, dissent_names_ranks_of_the_world) {
  for (const int odd : {1, 2, 3, 5}) {
    run_ranks(6, [&](collectives::communicator& ranks) {
      engine_options options = base_run().options;
      options.policy = partition::policy_of_name("hybrid", 2);
      sharded_optimizer optimizer(ranks, toy_model(dtype::fp32), options);
      fill(optimizer);
      try {
        optimizer.step(ranks.rank() == odd ? 0.5F : 0.25F);
        ADD_FAILURE() << "ranks stepped apart";
      } catch (const desync& refusal) {
        EXPECT_EQ(refusal.ranks, std::vector<int>{odd});
        EXPECT_NE(std::string(refusal.what()).find("0.5"), std::string::npos);
      }
    });
  }
}

// What goes wrong inside a group is everybody's end, at once and not at a deadline.
TEST(groups, an_error_in_one_is_told_to_all) {
  for (const char* name : {"hybrid", "hybrid1", "hpz"}) {
    SCOPED_TRACE(name);
    std::vector<std::string> told(4);
    run_ranks(4, [&](collectives::communicator& ranks) {
      ranks.set_deadline(std::chrono::minutes(30));  // a hang would be one
      engine_options options = base_run().options;
      options.policy = partition::policy_of_name(name, 2);
      options.prefetch = 0;
      try {
        sharded_optimizer optimizer(ranks, toy_model(dtype::fp32), options);
        fill(optimizer);
        optimizer.begin_micro_batch();
        for (const int unit : {0, 1, 2}) static_cast<void>(optimizer.gather(unit));
        static_cast<void>(optimizer.gather(ranks.rank() == 1 ? 1 : 0));
        for (const int unit : {0, 1, 2, 3}) optimizer.reduce(unit);
        optimizer.step(0.1F);
        ADD_FAILURE() << "nobody noticed";
      } catch (const error& e) {
        told[static_cast<std::size_t>(ranks.rank())] = e.what();
      }
    });
    EXPECT_NE(told[0].find("rank 1"), std::string::npos) << told[0];
    EXPECT_EQ(told[0], told[1]);
    EXPECT_FALSE(told[2].empty() || told[3].empty());
  }
}

TEST(groups, that_do_not_divide_the_world_are_refused) {
  run_ranks(4, [&](collectives::communicator& ranks) {
    for (const int size : {-1, 0, 3, 8}) {
      engine_options options = base_run().options;
      options.policy = partition::policy_of_name("hybrid", size);
      EXPECT_THROW(sharded_optimizer(ranks, toy_model(dtype::fp32), options), invalid_argument);
    }
  });
}

// A bf16 model of one unit on two hosts of two ranks, worked out by hand: 4 pieces of c elements.
TEST(groups, bytes_that_cross_hosts_are_predicted) {
  partition::parameter_spec weight;
  weight.name = "weight";
  weight.shape = {4 * 128 * 3};
  weight.type = dtype::bf16;
  const std::uint64_t c = 128 * 3;
  const partition::model_spec model{{{"unit", {weight}}}};
  const auto all_ranks = [&](const char* name, int group, int accumulate) {
    engine_options options;
    options.policy = partition::policy_of_name(name, group);
    options.accumulate = accumulate;
    std::uint64_t sum = 0;
    for (int rank = 0; rank < 4; ++rank) {
      sum += sharded_optimizer::predict_crossing(model, options, {0, 0, 1, 1}, rank);
    }
    return sum;
  };
  const std::uint64_t vote = 4 * 24;       // each rank's to the other host, once
  const std::uint64_t gather = 4 * c * 2;  // each piece once
  // Two partial sums of 4 bytes, or twice two elements of 2: as many, so each sends its own.
  const std::uint64_t reduce = 4 * 2 * c * 2;
  EXPECT_EQ(all_ranks("3", 0, 1), gather + reduce + vote);
  EXPECT_EQ(all_ranks("3", 0, 3), gather + 3 * reduce + vote);
  // The only unit stays in its slot, so that hpz has nothing to gather again.
  EXPECT_EQ(all_ranks("hpz", 2, 1), gather + reduce + vote);
  // Groups are hosts: each owner's fp32 piece crosses once, parameters never.
  EXPECT_EQ(all_ranks("hybrid", 2, 1), reduce + 4 * c * 4 + vote);
  EXPECT_EQ(all_ranks("hybrid", 2, 3), 3 * reduce + 4 * c * 4 + vote);
  EXPECT_EQ(all_ranks("hybrid1", 2, 1), reduce + 4 * c * 2 + vote);
  EXPECT_EQ(all_ranks("0", 0, 1), reduce + 4 * c * 4 + vote);
  EXPECT_THROW(static_cast<void>(sharded_optimizer::predict_crossing(model, {}, {0, 1}, 2)),
               invalid_argument);
}

// hybrid never asks another group for parameters, hpz only once a step.
TEST(groups, gathers_stay_within_them) {
  const auto bytes = [](const char* name, partition::rank_group among, partition::transfer what) {
    toy_run run = base_run();
    run.options.prefetch = 0;
    run.options.policy = partition::policy_of_name(name, 2);
    std::uint64_t sum = 0;
    const auto plan =
        sharded_optimizer::predict_communication(toy_model(dtype::fp32), run.options, 4);
    for (const auto& o : plan.operations) {
      if (o.what == what && o.among == among) sum += o.times * o.bytes();
    }
    return sum;
  };
  using partition::rank_group;
  using partition::transfer;
  EXPECT_EQ(bytes("hybrid", rank_group::world, transfer::gather), 0U);
  EXPECT_GT(bytes("hybrid", rank_group::within, transfer::gather), 0U);
  EXPECT_GT(bytes("hpz", rank_group::within, transfer::gather_again), 0U);
  EXPECT_LT(bytes("hpz", rank_group::world, transfer::gather),
            bytes("3", rank_group::world, transfer::gather));
}

}  // namespace
}  // namespace zero::testing
