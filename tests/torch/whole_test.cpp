// All parameters at once: saving, loading, going back to a module of one's own; and what is
// refused.

#include "training.hpp"

#include <gtest/gtest.h>
#include <torch/serialize.h>

#include <filesystem>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <string>

namespace {

using namespace training;

class torch_whole : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(all, torch_whole, testing::Range(0, 4));

Gpt one_after_the_other(uint64_t seed = 50) {
  static std::mutex one_by_one;
  const std::lock_guard<std::mutex> lock(one_by_one);
  Gpt model(true);
  fill(*model, seed);
  return model;
}

void train(Gpt& model, wrapped& o, int first, int steps, part of) {
  for (int step = first; step < first + steps; ++step) {
    loss_of(model, step, of).backward();
    ASSERT_TRUE(o.step());
  }
}

TEST_P(torch_whole, is_saved_by_torch_and_loaded_where_nothing_is_sharded) {
  const std::string file = testing::TempDir() + "zero_torch_saved_" + std::to_string(GetParam());
  tensors of_rank[2];
  on_ranks(2, [&](zero_ranks* reach, int rank) {
    Gpt model = one_after_the_other();
    const auto o = zero::torch::wrap(*model, at_stage(GetParam()), reach, sgd(0.1));
    train(model, *o, 0, 3, {rank, 2});
    {
      auto whole = o->whole(ZERO_ON_RANK_0);
      if (rank == 0) torch::save(model, file);
      whole.end();
    }
    train(model, *o, 3, 1, {rank, 2});  // it goes on
    auto whole = o->whole();
    of_rank[rank] = copies(*model);
  });
  Gpt plain = one_after_the_other(7);
  torch::load(plain, file);
  std::filesystem::remove(file);
  const tensors then = train_wrapped(
      2, [] { return one_after_the_other(); }, at_stage(0), sgd(0.1), 3);
  EXPECT_EQ(largest_difference(copies(*plain), then), 0.0);
  EXPECT_EQ(largest_difference(of_rank[0], of_rank[1]), 0.0);
  EXPECT_GT(largest_difference(of_rank[0], then), 1e-4);
}

TEST_P(torch_whole, is_loaded_from_rank_0_and_trained_on) {
  std::stringstream saved;
  Gpt other = one_after_the_other(900);
  torch::save(other, saved);
  const std::string bytes = saved.str();
  const tensors expected = train_wrapped(
      2, [] { return one_after_the_other(900); }, at_stage(1), sgd(0.1, 0, 0), 3);
  on_ranks(2, [&](zero_ranks* reach, int rank) {
    Gpt model = one_after_the_other();
    const auto o = zero::torch::wrap(*model, at_stage(GetParam()), reach, sgd(0.1, 0, 0));
    train(model, *o, 20, 1, {rank, 2});
    auto whole = o->whole(ZERO_ON_ALL, ZERO_WRITE);
    if (rank == 0) {
      std::stringstream in(bytes);
      torch::load(model, in);
    }
    whole.end();
    train(model, *o, 0, 3, {rank, 2});
    auto now = o->whole();
    EXPECT_EQ(largest_difference(copies(*model), expected), 0.0);
  });
}

TEST_P(torch_whole, frozen_parameters_are_loaded_too) {
  on_ranks(2, [&](zero_ranks* reach, int rank) {
    Gpt model = one_after_the_other();
    model->place->weight.set_requires_grad(false);
    model->blocks[1]->as<Block>()->up->weight.set_requires_grad(false);
    const auto o = zero::torch::wrap(*model, at_stage(GetParam()), reach, sgd(0.1));
    auto whole = o->whole(ZERO_ON_ALL, ZERO_WRITE);
    if (rank == 0) {
      const torch::NoGradGuard no_gradient;
      for (auto& p : model->parameters()) p.fill_(0.25);
    }
    whole.end();
    auto now = o->whole();
    for (const auto& p : model->parameters()) EXPECT_TRUE(p.eq(0.25).all().item<bool>());
  });
}

TEST_P(torch_whole, every_rank_begins_with_the_values_of_rank_0) {
  on_ranks(3, [&](zero_ranks* reach, int rank) {
    Gpt model = one_after_the_other(rank == 0 ? 50 : 1000 + static_cast<uint64_t>(rank));
    const auto o = zero::torch::wrap(*model, at_stage(GetParam()), reach, sgd(0.1));
    if (GetParam() == 3) {  // before it is used, it has memory of its own
      EXPECT_EQ(largest_difference(copies(*model), copies(*one_after_the_other(50))), 0.0);
    }
    auto whole = o->whole();
    EXPECT_EQ(largest_difference(copies(*model), copies(*one_after_the_other(50))), 0.0);
  });
}

TEST_P(torch_whole, the_state_of_the_inner_optimizer_is_saved_by_torch) {
  on_ranks(2, [&](zero_ranks* reach, int rank) {
    tensors expected;
    std::stringstream weights, state;
    for (const bool resumed : {false, true}) {
      Gpt model = one_after_the_other();
      const auto o = zero::torch::wrap(*model, at_stage(GetParam()), reach, adamw(1e-2));
      if (!resumed) {
        train(model, *o, 0, 2, {rank, 2});
        auto whole = o->whole();
        torch::save(model, weights);
        whole.end();
        torch::save(o->inner(), state);
      } else {
        auto whole = o->whole(ZERO_ON_ALL, ZERO_READ | ZERO_WRITE);
        torch::load(model, weights);
        whole.end();
        torch::load(o->inner(), state);
      }
      train(model, *o, 2, 2, {rank, 2});
      auto whole = o->whole();
      if (resumed) {
        EXPECT_EQ(largest_difference(copies(*model), expected), 0.0);
      } else {
        expected = copies(*model);
      }
    }
  });
}

TEST_P(torch_whole, a_module_is_its_own_again_when_unwrapped) {
  on_ranks(2, [&](zero_ranks* reach, int rank) {
    Gpt model = one_after_the_other();
    auto o = zero::torch::wrap(*model, at_stage(GetParam()), reach, sgd(0.1));
    train(model, *o, 0, 2, {rank, 2});
    tensors then;
    {
      auto whole = o->whole();
      then = copies(*model);
    }
    o->unwrap();
    o.reset();
    EXPECT_EQ(largest_difference(copies(*model), then), 0.0);
    loss_of(model, 0).backward();
    EXPECT_TRUE(model->token->weight.grad().defined());
    sgd(0.1)(model->parameters())->step();
  });
}

TEST_P(torch_whole, without_unwrapping_it_is_empty_at_stage_3_alone) {
  on_ranks(2, [&](zero_ranks* reach, int rank) {
    Gpt model = one_after_the_other();
    tensors then;
    {
      const auto o = zero::torch::wrap(*model, at_stage(GetParam()), reach, sgd(0.1));
      train(model, *o, 0, 2, {rank, 2});
      auto whole = o->whole();
      then = copies(*model);
    }
    if (GetParam() < 3) {
      EXPECT_EQ(largest_difference(copies(*model), then), 0.0);
    } else {
      for (const auto& p : model->parameters()) EXPECT_EQ(p.storage().nbytes(), 0U);
    }
  });
}

// ---- what is refused ----

void expect_refused(torch::nn::Module& module, const std::string& why) {
  on_ranks(1, [&](zero_ranks* reach, int) {
    try {
      zero::torch::wrap(module, at_stage(1), reach, sgd(0.1));
      ADD_FAILURE() << "accepted: " << why;
    } catch (const std::exception& error) {
      EXPECT_NE(std::string(error.what()).find(why), std::string::npos) << error.what();
    }
  });
}

TEST(torch_refuses, what_cannot_be_sharded) {
  torch::nn::Linear wide(3, 3);
  wide->to(torch::kDouble);
  expect_refused(*wide, "'weight' is of Double");
  torch::nn::Tanh nothing;
  expect_refused(*nothing, "no parameters");
  torch::nn::Module overlapping;
  const auto memory = torch::zeros({8});
  overlapping.register_parameter("first", memory.slice(0, 0, 5));
  overlapping.register_parameter("second", memory.slice(0, 4, 8));
  expect_refused(overlapping, "'first' and 'second' are two tensors over the same memory");
}

TEST(torch_refuses, stages_and_orders_that_are_none) {
  on_ranks(1, [](zero_ranks* reach, int) {
    auto model = make_layers();
    EXPECT_THROW(zero::torch::wrap(*model, at_stage(4), reach, sgd(0.1)), std::runtime_error);
    zero::torch::options how = at_stage(3);
    how.forward_order = {"0", "7"};
    EXPECT_THROW(zero::torch::wrap(*model, how, reach, sgd(0.1)), std::invalid_argument);
    EXPECT_THROW(
        zero::torch::wrap(*model, at_stage(3), reach, [](tensors) { return any_optimizer(); }),
        std::invalid_argument);
    EXPECT_NE(model[0]->as<torch::nn::Linear>(), nullptr);  // nothing stands in its place
  });
}

TEST(torch_refuses, other_memory_under_a_wrapped_module) {
  for (const int stage : {0, 3}) {
    on_ranks(1, [&](zero_ranks* reach, int) {
      auto model = make_layers();
      const auto o = zero::torch::wrap(*model, at_stage(stage), reach, sgd(0.1));
      model->children()[0]->as<torch::nn::Linear>()->weight.set_data(torch::zeros({13, 7}));
      try {
        loss_of(model, 0).backward();
        o->step();
        ADD_FAILURE() << "accepted at stage " << stage;
      } catch (const std::exception& error) {
        EXPECT_NE(std::string(error.what()).find("'0.weight'"), std::string::npos) << error.what();
      }
    });
  }
}

TEST(torch_accepts, tensors_of_one_buffer_that_do_not_overlap_and_transposed_ones) {
  on_ranks(1, [](zero_ranks* reach, int) {
    torch::nn::Module module;
    const auto memory = values(3, {20});
    auto first = module.register_parameter("first", memory.slice(0, 0, 6));
    auto second = module.register_parameter("second", memory.slice(0, 6, 18).view({3, 4}).t());
    auto scalar = module.register_parameter("scalar", torch::ones({}));
    auto none = module.register_parameter("none", torch::ones({0, 4}));
    const tensors before = {first.detach().clone(), second.detach().clone()};
    const auto o = zero::torch::wrap(module, at_stage(1), reach, sgd(0.5, 0, 0));
    EXPECT_EQ(largest_difference({first.detach(), second.detach()}, before), 0.0);
    (first.sum() + (2 * second).sum() + 3 * scalar + none.sum()).backward();
    o->step();
    EXPECT_LT((first - before[0] + 0.5).abs().max().item<double>(), 1e-6);
    EXPECT_LT((second - before[1] + 1.0).abs().max().item<double>(), 1e-6);
    EXPECT_LT(std::abs(scalar.item<double>() + 0.5), 1e-6);
  });
}

TEST(torch_accepts, more_ranks_than_elements) {
  std::mutex one_by_one;
  on_ranks(7, [&](zero_ranks* reach, int) {
    torch::nn::Linear model{nullptr};
    {
      const std::lock_guard<std::mutex> lock(one_by_one);
      model = torch::nn::Linear(2, 1);
      fill(*model, 4);
    }
    const torch::Tensor before = model->weight.detach().clone();
    const auto o = zero::torch::wrap(*model, at_stage(2), reach, sgd(0.5, 0, 0));
    model(torch::ones({1, 2})).sum().backward();
    EXPECT_TRUE(o->step());
    EXPECT_LT((model->weight - before + 0.5).abs().max().item<double>(), 1e-6);
  });
}

}  // namespace
