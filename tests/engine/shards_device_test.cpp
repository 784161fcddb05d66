// The same on a device that is late at random: states pass through host memory, and nothing may
// depend on the host having waited.

#include "engine/shard_runs.hpp"
#include "engine/tier_scratch.hpp"
#include "support/queued_device.hpp"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace zero::testing {
namespace {

using optim::master_format;
using optim::state_format;
using partition::tier;

toy_result train_late(collectives::communicator& ranks, const toy_run& run) {
  queued_stream lane(static_cast<std::uint64_t>(ranks.rank()) + 29, 100);
  const auto work = make_queued_processor(lane);
  const auto device = on_device(ranks);
  return train_toy(
      *device, *work,
      [&](element_use, typed_span elements, piece_of_work piece) {
        lane.run([elements, piece = std::move(piece)] { piece(elements); });
      },
      run);
}

toy_run run_of(const char* policy, dtype type, tier rests) {
  toy_run run;
  run.type = type;
  run.wide = 3;
  run.steps = 3;
  run.options.policy = partition::policy_of_name(policy, 2);
  run.options.groups.resize(2);
  run.options.groups[0].constants.weight_decay = 0.1F;
  run.options.clip_norm = 1.0;
  run.options.disk_directory = tier_scratch();
  run.options.tiers.cell_elements = 2048;
  run.options.tiers.optimizer = rests;
  run.options.tiers.optimizer_ratio = 0.5;
  if (policy[0] == '3') run.options.tiers.parameters = rests;
  return run;
}

TEST(shards_of_a_device, go_on_with_the_same_bits) {
  for (const char* policy : {"0", "1", "2", "3"}) {
    for (const dtype type : {dtype::fp32, dtype::bf16}) {
      for (const tier rests : {tier::device, tier::host, tier::disk}) {
        SCOPED_TRACE(std::string(policy) + " on " + name_of(rests) + ", " + name_of(type));
        expect_continues(2, run_of(policy, type, rests), 1, train_late);
      }
    }
  }
}

TEST(shards_of_a_device, go_on_in_every_format) {
  for (const state_format states : {state_format::bf16, state_format::block8}) {
    for (const master_format master :
         {master_format::fp32, master_format::remainder, master_format::none}) {
      toy_run run = run_of("2", dtype::bf16, tier::host);
      run.options.formats = {states, master};
      expect_continues(2, run, 1, train_late);
    }
  }
}

TEST(shards_of_a_device, are_those_of_the_host) {
  const toy_run run = run_of("1", dtype::bf16, tier::device);
  watched_run late;
  train_watched(2, run, 1, late, train_late);
  watched_run here;
  train_on(3, run_of("3", dtype::bf16, tier::disk), 1, late.between, here);
  expect_same_bits(here.between, late.between);
  watched_run back;
  train_on(2, run, 1, here.between, back, train_late);
  expect_same_bits(back.end, late.end);
}

}  // namespace
}  // namespace zero::testing
