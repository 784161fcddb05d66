// What is refused, and what fails: a state that could not be filled is told to all, and mended by
// one that can.

#include "engine/shard_runs.hpp"
#include "engine/tier_scratch.hpp"
#include "support/failing_disk.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace zero::testing {
namespace {

using partition::tier;

toy_run run_of(const char* policy, tier rests = tier::device) {
  toy_run run;
  run.type = dtype::bf16;
  run.steps = 4;
  run.options.policy = partition::policy_of_name(policy, 2);
  run.options.groups.resize(2);
  run.options.disk_directory = tier_scratch();
  run.options.tiers.cell_elements = 2048;
  run.options.tiers.optimizer = rests;
  return run;
}

struct no_bytes : std::runtime_error {
  no_bytes() : std::runtime_error("the file ends here") {}
};

template <typename Call>
std::string told(const Call& call) {
  try {
    call();
  } catch (const error& e) {
    return e.what();
  }
  return {};
}

// On one rank or more, at the first room or a later one, `fill` throws; what comes next is refused
// until a write succeeds, and then the run goes on as if nothing had happened.
TEST(a_fill_that_throws, is_told_to_all_and_mended_by_another) {
  for (const char* policy : {"0", "2", "3", "hybrid"}) {
    for (const tier rests : {tier::device, tier::disk}) {
      if (policy[0] == 'h' && rests == tier::disk) continue;
      const int world = policy[0] == 'h' ? 4 : 3;
      for (const bool last : {false, true}) {
        const toy_run run = run_of(policy, rests);
        watched_run right;
        train_watched(world, run, 2, right);
        watched_run again;
        toy_run retried = run;
        retried.first_step = 2;
        run_ranks(world, [&](collectives::communicator& ranks) {
          toy_run own = retried;
          own.at_start = [&](sharded_optimizer& optimizer) {
            std::size_t before = last ? optimizer.kept_extents().size() - 1 : 0;
            const auto fill = [&](const shard_room&) {
              if (ranks.rank() == 1 && before-- == 0) throw no_bytes();
            };
            if (ranks.rank() == 1) {
              EXPECT_THROW(optimizer.write_shards(fill), no_bytes);
            } else {
              const std::string text = told([&] { optimizer.write_shards(fill); });
              EXPECT_NE(text.find("rank 1 could not fill"), std::string::npos) << text;
            }
            EXPECT_THROW(static_cast<void>(optimizer.gather(0)), invalid_argument);
            EXPECT_THROW(static_cast<void>(optimizer.progress()), invalid_argument);
            EXPECT_THROW(optimizer.read_shards([](const shard_values&) {}), invalid_argument);
            EXPECT_THROW(optimizer.resume({}), invalid_argument);
            EXPECT_THROW(optimizer.write_parameters([](std::size_t, std::uint64_t, span<float>) {}),
                         invalid_argument);
            right.between.hand_out(optimizer);
          };
          own.at_end = [&](sharded_optimizer& optimizer) { again.end.collect(optimizer); };
          static_cast<void>(train_toy(ranks, own));
        });
        expect_same_bits(again.end, right.end);
      }
    }
  }
}

TEST(a_fill_that_throws, may_do_so_on_all_ranks_and_again) {
  const toy_run run = run_of("2");
  watched_run right;
  train_watched(2, run, 2, right);
  run_ranks(2, [&](collectives::communicator& ranks) {
    sharded_optimizer optimizer(ranks, toy_model(run.type), run.options);
    const auto fill = [](const shard_room&) { throw no_bytes(); };
    EXPECT_THROW(optimizer.write_shards(fill), no_bytes);
    EXPECT_THROW(optimizer.write_shards(fill), no_bytes);
    const std::string text = told([&] { optimizer.begin_micro_batch(); });
    EXPECT_NE(text.find("0 and 1"), std::string::npos) << text;
    right.between.hand_out(optimizer);
    optimizer.begin_micro_batch();
  });
}

TEST(shards, are_refused_in_the_middle_of_a_step) {
  run_ranks(2, [&](collectives::communicator& ranks) {
    const toy_run run = run_of("3");
    sharded_optimizer optimizer(ranks, toy_model(run.type), run.options);
    optimizer.initialize([](std::size_t, std::uint64_t, span<float>) {});
    const auto see = [](const shard_values&) {};
    const auto fill = [](const shard_room&) {};
    EXPECT_THROW(optimizer.read_shards({}), invalid_argument);
    EXPECT_THROW(optimizer.write_shards({}), invalid_argument);
    optimizer.begin_micro_batch();
    {
      const gathered_unit held = optimizer.gather(0);
      EXPECT_THROW(optimizer.write_shards(fill), invalid_argument);
      optimizer.read_shards(see);
    }
    static_cast<void>(optimizer.gradients(0));
    optimizer.read_shards(see);
    optimizer.reduce(0);
    EXPECT_THROW(optimizer.read_shards(see), invalid_argument);
    EXPECT_THROW(optimizer.write_shards(fill), invalid_argument);
    EXPECT_THROW(optimizer.resume({}), invalid_argument);
    optimizer.step(0.1F);
    optimizer.read_shards(see);
  });
}

TEST(progress, that_cannot_be_is_refused) {
  run_ranks(1, [&](collectives::communicator& ranks) {
    toy_run run = run_of("2");
    run.options.loss_scale = {64.0F, true, 2.0F, 0.5F, 3, 1, 1.0F, 1024.0F};
    sharded_optimizer optimizer(ranks, toy_model(run.type), run.options);
    EXPECT_THROW(optimizer.resume({3, 2, {1.0F, 0, 1}}), invalid_argument);
    EXPECT_THROW(optimizer.resume({2, 3, {0.0F, 0, 1}}), invalid_argument);
    EXPECT_THROW(optimizer.resume({2, 3, {-1.0F, 0, 1}}), invalid_argument);
    EXPECT_THROW(optimizer.resume({2, 3, {std::numeric_limits<float>::quiet_NaN(), 0, 1}}),
                 invalid_argument);
    optimizer.resume({2, 3, {16.0F, 1, 1}});
    expect_same_progress(optimizer.progress(), {2, 3, {16.0F, 1, 1}});
    EXPECT_EQ(optimizer.last_step().step, 2U);
    EXPECT_EQ(optimizer.loss_scale(), 16.0F);
  });
}

// What an announced step has begun was counted from the old progress.
TEST(progress, is_not_changed_under_an_announced_step) {
  run_ranks(1, [&](collectives::communicator& ranks) {
    toy_run run = run_of("2", tier::host);
    run.options.non_finite = non_finite::apply;
    sharded_optimizer optimizer(ranks, toy_model(run.type), run.options);
    optimizer.initialize([](std::size_t, std::uint64_t, span<float>) {});
    optimizer.announce_step(0.1F);
    EXPECT_THROW(optimizer.resume({}), invalid_argument);
  });
}

// What the disk does to one rank the others are told by their communicator, as in a step.
TEST(a_disk_that_fails, ends_all_ranks) {
  fault_plan plan;
  plan.what = disk_fault::eio;
  plan.reads = false;
  const fault_script script(2, {{1, plan}});
  const auto errors = try_ranks(2, [&](collectives::communicator& ranks) {
    toy_run run = run_of("1", tier::disk);
    run.options.make_disk = script.engines_of(ranks.rank());
    sharded_optimizer optimizer(ranks, toy_model(run.type), run.options);
    optimizer.write_shards([](const shard_room&) {});
  });
  EXPECT_THROW(std::rethrow_exception(errors[1]), io_error);
  EXPECT_THROW(std::rethrow_exception(errors[0]), error);
}

// A look that throws is the client's own affair.
TEST(a_look_that_throws, changes_nothing) {
  const toy_run run = run_of("1", tier::disk);
  watched_run right;
  train_watched(2, run, 2, right);
  run_ranks(2, [&](collectives::communicator& ranks) {
    toy_run own = run;
    own.after_step = [&](sharded_optimizer& optimizer, int) {
      if (ranks.rank() == 0) {
        EXPECT_THROW(optimizer.read_shards([](const shard_values&) { throw no_bytes(); }),
                     no_bytes);
      }
    };
    EXPECT_EQ(to_hex(train_toy(ranks, own).digest), to_hex(right.result.digest));
  });
}

}  // namespace
}  // namespace zero::testing
