// A GPT of LibTorch modules: the same bits at every stage, and when its parameters are where.

#include "training.hpp"

#include <gtest/gtest.h>

#include <mutex>
#include <string>

namespace {

using namespace training;

TEST(torch_gpt, ends_with_the_same_bits_at_every_stage) {
  for (const bool enters_root : {false, true}) {
    const auto make = [=] { return Gpt(enters_root); };
    const tensors plain = train_plain(make(), adamw(3e-3), 10);
    for (const int ranks : {1, 2, 3}) {
      const tensors at_0 = train_wrapped(ranks, make, at_stage(0), adamw(3e-3), 10);
      if (ranks == 1) {
        EXPECT_EQ(largest_difference(at_0, plain), 0.0);
      }
      for (const int stage : {1, 2, 3}) {
        EXPECT_EQ(
            largest_difference(train_wrapped(ranks, make, at_stage(stage), adamw(3e-3), 10), at_0),
            0.0)
            << ranks << " ranks, stage " << stage << (enters_root ? ", root entered" : "");
      }
    }
  }
}

// Biases of keys have a gradient of 0 but for rounding, of which Adam makes steps.
TEST(torch_gpt, ends_within_rounding_of_the_unwrapped_one) {
  const auto make = [] { return Gpt(true); };
  const tensors plain = train_plain(make(), sgd(0.05), 20);
  EXPECT_GT(largest_difference(plain, copies(*make())), 1e-2);
  for (const int ranks : {2, 4}) {
    for (const int stage : {1, 3}) {
      EXPECT_LT(
          largest_difference(train_wrapped(ranks, make, at_stage(stage), sgd(0.05), 20), plain),
          1e-6)
          << ranks << " ranks, stage " << stage;
    }
  }
}

TEST(torch_gpt, and_wherever_state_rests_and_however_it_is_addressed) {
  const auto make = [] { return Gpt(true); };
  const tensors expected = train_wrapped(2, make, at_stage(0), adamw(3e-3), 5);
  for (const int tier : {ZERO_ON_HOST, ZERO_ON_DISK}) {
    zero::torch::options how = at_stage(3);
    how.config.optimizer_tier = tier;
    testing::TempDir().copy(how.config.disk_path, sizeof how.config.disk_path - 1);
    EXPECT_EQ(largest_difference(train_wrapped(2, make, how, adamw(3e-3), 5), expected), 0.0)
        << tier;
  }
  for (const int prefetch : {0, 3}) {
    zero::torch::options how = at_stage(3);
    how.config.prefetch = prefetch;
    EXPECT_EQ(largest_difference(train_wrapped(2, make, how, adamw(3e-3), 5), expected), 0.0)
        << prefetch;
  }
}

TEST(torch_gpt, in_sixteen_bits_with_master_weights_in_32) {
  const auto make = [] {
    Gpt model(true);
    model->to(torch::kBFloat16);
    return model;
  };
  const tensors at_0 = train_wrapped(2, make, at_stage(0), adamw(3e-3), 5);
  EXPECT_EQ(at_0.front().scalar_type(), torch::kBFloat16);
  EXPECT_GT(largest_difference(at_0, copies(*make())), 1e-3);
  for (const int stage : {1, 2, 3}) {
    EXPECT_EQ(largest_difference(train_wrapped(2, make, at_stage(stage), adamw(3e-3), 5), at_0),
              0.0)
        << stage;
  }
}

TEST(torch_gpt, a_block_that_is_not_gathered_has_no_bytes) {
  std::mutex one_by_one;
  on_ranks(2, [&](zero_ranks* reach, int rank) {
    Gpt model{nullptr};
    {
      const std::lock_guard<std::mutex> lock(one_by_one);
      model = Gpt(true);
    }
    const std::size_t of_block = bytes_of(*model->blocks[0]);
    const auto optimizer = zero::torch::wrap(*model, at_stage(3), reach, adamw(3e-3));
    for (int step = 0; step < 3; ++step) {
      std::size_t seen = 0;
      model->before_block = [&](std::size_t at) {
        ++seen;
        EXPECT_GT(model->token->weight.storage().nbytes(), 0U);  // the root is in use
        for (std::size_t i = 0; i < model->blocks->size(); ++i) {
          const bool never_used = step == 0 && i >= at;
          EXPECT_EQ(bytes_of(*model->blocks[i]), never_used ? of_block : 0U) << at << ' ' << i;
        }
      };
      const torch::Tensor loss = loss_of(model, step, {rank, 2});
      EXPECT_EQ(seen, 3U);
      EXPECT_EQ(bytes_of(*model), 0U);
      loss.backward();
      EXPECT_EQ(bytes_of(*model), 0U);
      for (const auto& p : model->parameters()) EXPECT_FALSE(p.grad().defined());
      optimizer->step();
      EXPECT_EQ(bytes_of(*model), 0U);
    }
  });
}

TEST(torch_gpt, a_root_that_nobody_enters_stays_and_is_brought_up_to_date) {
  on_ranks(1, [&](zero_ranks* reach, int) {
    Gpt model(false);
    const auto optimizer = zero::torch::wrap(*model, at_stage(3), reach, adamw(3e-2));
    const torch::Tensor before = model->token->weight.detach().clone();
    loss_of(model, 0).backward();
    optimizer->step();
    EXPECT_EQ(bytes_of(*model->blocks), 0U);
    EXPECT_EQ(model->token->weight.storage().nbytes(), before.nbytes());
    EXPECT_GT((model->token->weight - before).abs().max().item<double>(), 1e-3);
  });
}

TEST(torch_gpt, is_evaluated_between_steps_and_in_their_midst) {
  const auto make = [] { return Gpt(true); };
  const tensors expected = train_wrapped(1, make, at_stage(0), adamw(3e-3), 4);
  on_ranks(1, [&](zero_ranks* reach, int) {
    Gpt model(true), twin(true);
    const auto optimizer = zero::torch::wrap(*model, at_stage(3), reach, adamw(3e-3));
    for (int step = 0; step < 4; ++step) {
      const torch::Tensor loss = loss_of(model, step);
      {
        const torch::NoGradGuard no_gradient;
        EXPECT_EQ(loss_of(model, step).item<double>(), loss.item<double>());
      }
      loss.backward();
      optimizer->step();
      const torch::NoGradGuard no_gradient;
      const double first = loss_of(model, 100).item<double>();
      EXPECT_EQ(loss_of(model, 100).item<double>(), first);
      if (step == 0) {
        EXPECT_NE(loss_of(twin, 100).item<double>(), first);
      }
    }
    auto whole = optimizer->whole();
    EXPECT_EQ(largest_difference(copies(*model), expected), 0.0);
  });
}

// What is frozen is needed after the last gradient of its unit, for the gradient of what came
// before.
TEST(torch_gpt, has_blocks_that_begin_frozen) {
  const auto make = [] {
    Gpt model(true);
    for (const std::size_t at : {1, 2}) {
      const auto* const block = model->blocks[at]->as<Block>();
      for (auto p : block->attention->parameters()) p.set_requires_grad(false);
      for (auto p : block->projection->parameters()) p.set_requires_grad(false);
      for (auto p : block->norm1->parameters()) p.set_requires_grad(false);
    }
    return model;
  };
  const tensors plain = train_plain(make(), sgd(0.1), 5);
  for (const int stage : {0, 1, 2, 3}) {
    EXPECT_EQ(largest_difference(train_wrapped(1, make, at_stage(stage), sgd(0.1), 5), plain), 0.0)
        << stage;
  }
}

TEST(torch_gpt, uses_a_block_twice_in_training_and_evaluation) {
  const auto train = [](int stage) {
    tensors ended;
    on_ranks(1, [&](zero_ranks* reach, int) {
      Gpt model(true);
      model->blocks->push_back(model->blocks->ptr(0));
      const auto optimizer = zero::torch::wrap(*model, at_stage(stage), reach, adamw(3e-3));
      for (int step = 0; step < 3; ++step) {
        loss_of(model, step).backward();
        optimizer->step();
        const torch::NoGradGuard no_gradient;
        EXPECT_EQ(loss_of(model, 9).item<double>(), loss_of(model, 9).item<double>());
      }
      auto whole = optimizer->whole();
      ended = copies(*model);
    });
    return ended;
  };
  EXPECT_EQ(largest_difference(train(3), train(0)), 0.0);
}

}  // namespace
