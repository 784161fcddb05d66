// The options of train and compare: the model that is meant, what goes together, and that a rank
// process is told exactly what its starter was.

#include "train/train_options.hpp"

#include "compare/compare_options.hpp"
#include "train/sharding_choice.hpp"
#include "train/train_rank.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>

#include <algorithm>

namespace zero::cli {
namespace {

train_options parsed(const arguments& given) {
  train_options o;
  train_option_set(o).parse(given);
  return o;
}

TEST(TrainOptions, TheModelIsGpt3mUnlessSaid) {
  EXPECT_EQ(chosen_model(parsed({}).training).name, "gpt-3m");
  EXPECT_EQ(chosen_model(parsed({"--model", "gpt-4m-odd"}).training).channels, 255);
  const auto custom = chosen_model(parsed({"--layers", "3", "--channels", "12", "--heads", "4",
                                           "--vocabulary", "300", "--context", "9"})
                                       .training);
  EXPECT_EQ(custom.layers, 3);
  EXPECT_EQ(custom.channels, 12);
  EXPECT_EQ(custom.heads, 4);
  EXPECT_EQ(custom.vocabulary, 300);
  EXPECT_EQ(custom.context, 9);
}

TEST(TrainOptions, ASequenceIsTheContextUnlessSaid) {
  const auto whole = parsed({"--model", "gpt-11m"}).training;
  EXPECT_EQ(sequence_of(whole, chosen_model(whole)), 256);
  const auto part = parsed({"--model", "gpt-11m", "--sequence", "17"}).training;
  EXPECT_EQ(sequence_of(part, chosen_model(part)), 17);
}

// Every option away from its default survives the way to a rank process.
TEST(TrainOptions, ARankIsToldWhatItsStarterWas) {
  const arguments given{"--stage=hybrid",
                        "--shard-group=4",
                        "--offload-optimizer=nvme",
                        "--offload-gradients=cpu",
                        "--offload-parameters=none",
                        "--offload-ratio=0.37",
                        "--nvme-path=/n p",
                        "--nvme-endurance=2KiB",
                        "--measure-links=off",
                        "--memory-budget=1GiB",
                        "--layers=3",
                        "--channels=12",
                        "--heads=4",
                        "--vocabulary=300",
                        "--context=90",
                        "--text=a b",
                        "--text=--c",
                        "--steps=7",
                        "--batch=6",
                        "--sequence=5",
                        "--accumulate=2",
                        "--reduce-at=boundary",
                        "--seed=18446744073709551615",
                        "--dtype=fp16",
                        "--gradient-dtype=same",
                        "--quantize-gather=8",
                        "--quantize-reduce=4",
                        "--optimizer=lion",
                        "--optimizer-states=bf16",
                        "--master=none",
                        "--learning-rate=0.1",
                        "--schedule=cosine",
                        "--warmup-steps=3",
                        "--final-learning-rate-fraction=0.3",
                        "--weight-decay=0.01",
                        "--clip-norm=1e-05",
                        "--non-finite=apply",
                        "--loss-scale=1024",
                        "--prefetch=2",
                        "--addressing=stable",
                        "--layout=whole",
                        "--resident-bytes=4KiB",
                        "--recompute",
                        "--deadline=2.5",
                        "--init-from=i",
                        "--export=e",
                        "--sample=4",
                        "--trace=t",
                        "--max-restarts=3"};
  train_options first = parsed(given);
  const arguments written = train_option_set(first).to_arguments();
  EXPECT_EQ(written.size(), given.size() + 1);  // and --device=cpu
  train_options second = parsed(written);
  EXPECT_EQ(train_option_set(second).to_arguments(), written);
  EXPECT_EQ(second.training.seed, 18446744073709551615U);
  EXPECT_EQ(second.training.learning_rate, 0.1);
  EXPECT_EQ(second.training.clip_norm, 1e-5);
  EXPECT_EQ(second.training.text, (std::vector<std::string>{"a b", "--c"}));
  EXPECT_TRUE(second.training.recompute);
  EXPECT_EQ(second.offload_gradients, offload_tier::cpu);
  EXPECT_EQ(second.offload_parameters, offload_tier::none);
  EXPECT_EQ(second.offload_ratio, 0.37);
}

TEST(TrainOptions, ARankIsToldOfItsCheckpoints) {
  const arguments given{"--checkpoint=kept here", "--save-every=12", "--keep=0", "--resume",
                        "--checkpoint-async",     "--max-restarts=3"};
  train_options first = parsed(given);
  const checkpoint_options second = parsed(train_option_set(first).to_arguments()).checkpoints;
  EXPECT_EQ(second.directory, "kept here");
  EXPECT_EQ(second.save_every, 12U);
  EXPECT_EQ(second.keep, 0);
  EXPECT_TRUE(second.resume && second.background);
  EXPECT_EQ(second.restarts, 3);
  EXPECT_FALSE(is_due(second, 11, 30));
  EXPECT_TRUE(is_due(second, 24, 30));
  EXPECT_TRUE(is_due(second, 30, 30));
  EXPECT_FALSE(is_due(checkpoint_options{}, 30, 30));
}

TEST(TrainOptions, CompareTellsItsRanksAllButTheStage) {
  compare_options o;
  compare_option_set(o).parse(
      {"--seed", "9", "--stages", "3,hpz", "--optimizer", "sgd", "--shard-group", "2"});
  EXPECT_EQ(o.stages, (std::vector<std::string>{"3", "hpz"}));
  arguments told = train_arguments(o, "hpz", offload_tier::none);
  ASSERT_EQ(told.front(), "train");
  told.erase(told.begin());
  const train_options rank = parsed(told);
  EXPECT_EQ(rank.stage, "hpz");
  EXPECT_EQ(rank.training.shard_group, 2);
  EXPECT_TRUE(engine_options_of(rank).policy.secondary_parameters);
  EXPECT_EQ(engine_options_of(rank).policy.group_size, 2);
  EXPECT_EQ(rank.training.seed, 9U);
  EXPECT_EQ(rank.training.optimizer, optim::algorithm::sgd);
  EXPECT_FALSE(rank.ranks.has_value());
}

TEST(TrainOptions, OnAGpuTheRanksAreThreadsOfTheProcessThatIsStarted) {
  compare_options o;
  compare_option_set(o).parse({"--device", "cuda", "--ranks", "3", "--offload-activations"});
  const train_options threads = [&] {
    arguments given = train_arguments(o, "1", offload_tier::none);
    given.erase(given.begin());
    return parsed(given);
  }();
  EXPECT_EQ(threads.ranks, 3);
  EXPECT_EQ(threads.training.device, compute_device::cuda);
  EXPECT_TRUE(threads.training.offload_activations);
  o.training.device = compute_device::cpu;
  arguments given = train_arguments(o, "1", offload_tier::none);
  EXPECT_EQ(std::count(given.begin(), given.end(), "--ranks=3"), 0);
}

TEST(TrainOptions, ActivationsAreOffloadedFromAGpuOnly) {
  train_options o = parsed({"--offload-activations", "--device", "cuda"});
  EXPECT_NO_THROW(check(o, 1));
  o.training.device = compute_device::cpu;
  EXPECT_THROW(check(o, 1), invalid_argument);
}

TEST(TrainOptions, AGroupIsTheRanksOfAHostUnlessSaid) {
  rank_identity launched;
  launched.who = {3, 8};
  launched.source = "RANK and WORLD_SIZE";
  launched.ranks_of_host = 4;
  EXPECT_EQ(chosen_group("hybrid", std::nullopt, 8, launched), 4);
  EXPECT_EQ(chosen_group("hybrid", 2, 8, launched), 2);
  EXPECT_EQ(chosen_group("hpz", std::nullopt, 8, std::nullopt), 8);  // all on this machine
  EXPECT_EQ(chosen_group("3", std::nullopt, 8, launched), std::nullopt);
  launched.ranks_of_host.reset();
  EXPECT_EQ(chosen_group("3", std::nullopt, 8, launched), std::nullopt);
  EXPECT_EQ(chosen_group("mics", 4, 8, launched), 4);
  try {
    static_cast<void>(chosen_group("hybrid1", std::nullopt, 8, launched));
    FAIL();
  } catch (const invalid_argument& e) {
    EXPECT_STREQ(e.what(),
                 "--stage hybrid1 needs --shard-group: RANK and WORLD_SIZE do not say how many "
                 "ranks a host has");
  }
}

TEST(TrainOptions, AGroupDividesTheRanks) {
  const train_options o = parsed({"--stage", "hybrid", "--shard-group", "3", "--batch", "12"});
  EXPECT_NO_THROW(check(o, 6));
  try {
    check(o, 4);
    FAIL();
  } catch (const invalid_argument& e) {
    EXPECT_NE(std::string(e.what()).find("--shard-group 3"), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("4 ranks"), std::string::npos) << e.what();
  }
}

TEST(TrainOptions, LossScaleIsDynamicForFp16Alone) {
  EXPECT_TRUE(engine_options_of(parsed({"--dtype", "fp16"})).loss_scale.dynamic);
  EXPECT_FALSE(engine_options_of(parsed({"--dtype", "bf16"})).loss_scale.dynamic);
  EXPECT_EQ(engine_options_of(parsed({"--dtype", "bf16"})).loss_scale.initial, 1.0F);
  const auto fixed = engine_options_of(parsed({"--dtype", "fp16", "--loss-scale", "256"}));
  EXPECT_FALSE(fixed.loss_scale.dynamic);
  EXPECT_EQ(fixed.loss_scale.initial, 256.0F);
  EXPECT_TRUE(engine_options_of(parsed({"--loss-scale", "dynamic"})).loss_scale.dynamic);
}

TEST(TrainOptions, MatricesDecayAndVectorsDoNot) {
  const auto engine = engine_options_of(parsed({"--weight-decay", "0.25"}));
  ASSERT_EQ(engine.groups.size(), 2U);
  EXPECT_EQ(engine.groups[0].constants.weight_decay, 0.25F);
  EXPECT_EQ(engine.groups[1].constants.weight_decay, 0.0F);
}

}  // namespace
}  // namespace zero::cli
