// The wrapped optimizer against the same one without zero::torch.

#include "training.hpp"

#include <gtest/gtest.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adagrad.h>
#include <torch/optim/rmsprop.h>
#include <torch/optim/schedulers/step_lr.h>

#include <string>
#include <tuple>

namespace {

using namespace training;

struct named_factory {
  std::string name;
  factory make;
};
std::ostream& operator<<(std::ostream& out, const named_factory& f) { return out << f.name; }

const named_factory all_rules[] = {
    {"sgd", sgd(0.05)},
    {"adam", adam(3e-3)},
    {"adamw", adamw(3e-3)},
    {"rmsprop",
     [](tensors of) -> any_optimizer {
       return std::make_unique<torch::optim::RMSprop>(of, torch::optim::RMSpropOptions(1e-3));
     }},
    {"adagrad",
     [](tensors of) -> any_optimizer {
       return std::make_unique<torch::optim::Adagrad>(of, torch::optim::AdagradOptions(1e-2));
     }},
};

class torch_rule : public testing::TestWithParam<std::tuple<named_factory, int>> {};

TEST_P(torch_rule, ends_with_the_bits_of_the_unwrapped_one_at_one_rank) {
  const auto& [rule, stage] = GetParam();
  const tensors plain = train_plain(make_layers(), rule.make, 50);
  EXPECT_GT(largest_difference(plain, copies(*make_layers())), 1e-2);
  EXPECT_EQ(
      largest_difference(train_wrapped(1, make_layers, at_stage(stage), rule.make, 50), plain),
      0.0);
}

TEST_P(torch_rule, ends_within_rounding_of_it_at_several_ranks) {
  const auto& [rule, stage] = GetParam();
  const tensors plain = train_plain(make_layers(), rule.make, 50);
  for (const int ranks : {2, 3, 4}) {
    EXPECT_LT(largest_difference(train_wrapped(ranks, make_layers, at_stage(stage), rule.make, 50),
                                 plain),
              1e-6)
        << ranks;
  }
}

INSTANTIATE_TEST_SUITE_P(all, torch_rule,
                         testing::Combine(testing::ValuesIn(all_rules), testing::Range(0, 4)),
                         [](const auto& of) {
                           return std::get<0>(of.param).name + "_stage_" +
                                  std::to_string(std::get<1>(of.param));
                         });

// Runs `train` at one rank of stage `stage`, with the model and its optimizer.
tensors at_one_rank(int stage, const zero::torch::options& how, const factory& make,
                    const std::function<void(torch::nn::Sequential&, wrapped&)>& train) {
  zero::torch::options options = how;
  options.config.stage = stage;
  tensors ended;
  on_ranks(1, [&](zero_ranks* reach, int) {
    auto model = make_layers();
    const auto optimizer = zero::torch::wrap(*model, options, reach, make);
    train(model, *optimizer);
    auto whole = optimizer->whole();
    ended = copies(*model);
    whole.end();
  });
  return ended;
}

class torch_stage : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(all, torch_stage, testing::Range(0, 4));

TEST_P(torch_stage, rates_come_from_a_scheduler_over_the_inner_optimizer) {
  auto model = make_layers();
  torch::optim::SGD optimizer(model->parameters(), torch::optim::SGDOptions(0.1));
  torch::optim::StepLR scheduler(optimizer, 3, 0.5);
  for (int step = 0; step < 12; ++step) {
    optimizer.zero_grad();
    loss_of(model, step).backward();
    optimizer.step();
    scheduler.step();
  }
  const auto train = [](torch::nn::Sequential& m, wrapped& o) {
    torch::optim::StepLR halving(o.inner(), 3, 0.5);
    for (int step = 0; step < 12; ++step) {
      loss_of(m, step).backward();
      o.step();
      halving.step();
    }
  };
  EXPECT_EQ(largest_difference(at_one_rank(GetParam(), {}, sgd(0.1, 0, 0), train), copies(*model)),
            0.0);
}

TEST_P(torch_stage, micro_batches_are_summed) {
  auto model = make_layers();
  const any_optimizer optimizer = adamw(1e-2)(model->parameters());
  for (int step = 0; step < 8; ++step) {
    optimizer->zero_grad();
    for (int i = 0; i < 3; ++i) loss_of(model, 3 * step + i).backward();
    optimizer->step();
  }
  const auto train = [](torch::nn::Sequential& m, wrapped& o) {
    for (int step = 0; step < 8; ++step) {
      for (int i = 0; i < 3; ++i) {
        o.micro_batch(i, 3);
        loss_of(m, 3 * step + i).backward();
      }
      o.step();
      o.zero_grad();
    }
  };
  zero::torch::options how;
  how.config.accumulate = 3;
  EXPECT_EQ(largest_difference(at_one_rank(GetParam(), how, adamw(1e-2), train), copies(*model)),
            0.0);
  how.config.reduce_at = ZERO_AT_BOUNDARY;
  EXPECT_EQ(largest_difference(at_one_rank(GetParam(), how, adamw(1e-2), train), copies(*model)),
            0.0);
}

TEST_P(torch_stage, a_second_backward_that_was_not_announced_is_refused) {
  at_one_rank(GetParam(), {}, sgd(0.1), [](torch::nn::Sequential& m, wrapped& o) {
    loss_of(m, 0).backward();
    EXPECT_ANY_THROW(loss_of(m, 1).backward());
    o.zero_grad();  // what there is is not used
    loss_of(m, 2).backward();
    EXPECT_TRUE(o.step());
  });
}

TEST_P(torch_stage, gradients_are_clipped_to_a_global_norm) {
  auto model = make_layers();
  const any_optimizer optimizer = sgd(0.5, 0, 0)(model->parameters());
  std::vector<double> norms;
  for (int step = 0; step < 10; ++step) {
    optimizer->zero_grad();
    loss_of(model, step).backward();
    norms.push_back(torch::nn::utils::clip_grad_norm_(model->parameters(), 0.05));
    optimizer->step();
  }
  EXPECT_GT(*std::min_element(norms.begin(), norms.end()), 0.05);
  const auto step_by_step = [&](torch::nn::Sequential& m, wrapped& o) {
    for (int step = 0; step < 10; ++step) {
      loss_of(m, step).backward();
      EXPECT_NEAR(o.clip_grad_norm(0.05), norms[static_cast<std::size_t>(step)], 1e-5);
      o.step();
    }
  };
  EXPECT_LT(
      largest_difference(at_one_rank(GetParam(), {}, sgd(0.5, 0, 0), step_by_step), copies(*model)),
      1e-6);
  zero::torch::options how;
  how.config.clip_norm = 0.05;
  const auto always = [](torch::nn::Sequential& m, wrapped& o) {
    for (int step = 0; step < 10; ++step) {
      loss_of(m, step).backward();
      o.step();
    }
  };
  EXPECT_LT(
      largest_difference(at_one_rank(GetParam(), how, sgd(0.5, 0, 0), always), copies(*model)),
      1e-5);
}

TEST_P(torch_stage, gradients_may_be_set_to_none_or_to_zero_anywhere) {
  const tensors plain = train_plain(make_layers(), sgd(0.1), 9);
  const auto train = [](torch::nn::Sequential& m, wrapped& o) {
    for (int step = 0; step < 9; ++step) {
      if (step % 3 == 0) o.zero_grad(true);
      if (step % 3 == 1) o.zero_grad(false);
      for (auto& p : m->parameters()) {
        EXPECT_FALSE(p.grad().defined());
        if (step % 3 == 2) p.mutable_grad() = torch::zeros(p.sizes());
      }
      m->zero_grad();
      loss_of(m, step).backward();
      o.step();
    }
  };
  EXPECT_EQ(largest_difference(at_one_rank(GetParam(), {}, sgd(0.1), train), plain), 0.0);
}

TEST_P(torch_stage, what_zero_grad_forgets_is_not_used) {
  const tensors plain = train_plain(make_layers(), adamw(1e-2), 5);
  const auto train = [](torch::nn::Sequential& m, wrapped& o) {
    for (int step = 0; step < 5; ++step) {
      loss_of(m, 77).backward();
      o.zero_grad();
      loss_of(m, step).backward();
      EXPECT_TRUE(o.step());
    }
  };
  EXPECT_EQ(largest_difference(at_one_rank(GetParam(), {}, adamw(1e-2), train), plain), 0.0);
}

// A step with an argument, as some optimizers have it.
struct decaying_sgd : torch::optim::SGD {
  using torch::optim::SGD::SGD;
  using torch::optim::SGD::step;
  void step(int iteration) {
    for (auto& group : param_groups()) group.options().set_lr(0.1 / (1 + iteration));
    step();
  }
};

TEST_P(torch_stage, steps_of_another_signature) {
  auto plain = make_layers();
  decaying_sgd optimizer(plain->parameters(), torch::optim::SGDOptions(0.1).momentum(0.5));
  for (int step = 0; step < 8; ++step) {
    optimizer.zero_grad();
    loss_of(plain, step).backward();
    optimizer.step(step);
  }
  for (const bool apart : {false, true}) {
    on_ranks(1, [&](zero_ranks* reach, int) {
      auto model = make_layers();
      const auto o = zero::torch::wrap(*model, at_stage(GetParam()), reach, [](tensors of) {
        return std::make_unique<decaying_sgd>(of, torch::optim::SGDOptions(0.1).momentum(0.5));
      });
      for (int step = 0; step < 8; ++step) {
        loss_of(model, step).backward();
        if (!apart) {
          o->step_with([&](decaying_sgd& inner) { inner.step(step); });
        } else {
          ASSERT_TRUE(o->pre_step());
          o->inner().step(step);
          o->post_step();
        }
      }
      auto whole = o->whole();
      EXPECT_EQ(largest_difference(copies(*model), copies(*plain)), 0.0);
    });
  }
}

TEST_P(torch_stage, groups_are_made_of_names_and_shapes) {
  const auto with_groups = [](const tensors& matrices, const tensors& others) {
    std::vector<torch::optim::OptimizerParamGroup> groups;
    groups.emplace_back(matrices, std::make_unique<torch::optim::SGDOptions>(
                                      torch::optim::SGDOptions(0.1).weight_decay(0.2)));
    groups.emplace_back(others, std::make_unique<torch::optim::SGDOptions>(0.05));
    return std::make_unique<torch::optim::SGD>(groups, torch::optim::SGDOptions(0.1));
  };
  auto plain = make_layers();
  tensors matrices, others;
  for (const auto& p : plain->parameters()) (p.dim() > 1 ? matrices : others).push_back(p);
  const auto optimizer = with_groups(matrices, others);
  for (int step = 0; step < 6; ++step) {
    optimizer->zero_grad();
    loss_of(plain, step).backward();
    optimizer->step();
  }
  on_ranks(2, [&](zero_ranks* reach, int rank) {
    auto model = make_layers();
    const auto o = zero::torch::wrap(
        *model, at_stage(GetParam()), reach, [&](const std::vector<zero::torch::shard>& shards) {
          tensors a, b;
          for (const auto& s : shards) {
            EXPECT_EQ(s.sizes.size() > 1, s.parameter.find("weight") != std::string::npos);
            (s.sizes.size() > 1 ? a : b).push_back(s.values);
          }
          return with_groups(a, b);
        });
    for (int step = 0; step < 6; ++step) {
      loss_of(model, step, {rank, 2}).backward();
      o->step();
    }
    auto whole = o->whole();
    EXPECT_LT(largest_difference(copies(*model), copies(*plain)), 1e-6);
  });
}

TEST_P(torch_stage, a_closure_runs_once_and_its_loss_comes_back) {
  const tensors plain = train_plain(make_layers(), sgd(0.1), 4);
  const auto train = [](torch::nn::Sequential& m, wrapped& o) {
    int calls = 0;
    for (int step = 0; step < 4; ++step) {
      const torch::Tensor loss = o.step([&] {
        ++calls;
        auto l = loss_of(m, step);
        l.backward();
        return l;
      });
      EXPECT_GT(loss.item<double>(), 0.0);
    }
    EXPECT_EQ(calls, 4);
  };
  EXPECT_EQ(largest_difference(at_one_rank(GetParam(), {}, sgd(0.1), train), plain), 0.0);
}

TEST_P(torch_stage, a_gradient_that_is_not_finite_changes_nothing) {
  const auto train = [](torch::nn::Sequential& m, wrapped& o) {
    (loss_of(m, 0) * std::numeric_limits<float>::infinity()).backward();
    EXPECT_FALSE(o.step());
    EXPECT_EQ(o.last_step().skipped, 1);
  };
  EXPECT_EQ(
      largest_difference(at_one_rank(GetParam(), {}, adamw(0.1), train), copies(*make_layers())),
      0.0);
}

TEST_P(torch_stage, what_the_inner_optimizer_throws_comes_out) {
  struct refusing : torch::optim::SGD {
    using torch::optim::SGD::SGD;
    torch::Tensor step(LossClosure) override { throw std::domain_error("not today"); }
  };
  on_ranks(1, [&](zero_ranks* reach, int) {
    auto model = make_layers();
    const auto o = zero::torch::wrap(*model, at_stage(GetParam()), reach, [](tensors of) {
      return std::make_unique<refusing>(of, torch::optim::SGDOptions(0.1));
    });
    loss_of(model, 0).backward();
    EXPECT_THROW(o->step_with([](refusing& inner) { inner.step(nullptr); }), std::domain_error);
    EXPECT_EQ(zero_first_error(o->handle()), ZERO_CALLBACK);
  });
}

}  // namespace
