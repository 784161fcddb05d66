// Modules of odd kinds, at every stage: inputs, ties, frozen weights, orders of use, exceptions.

#include "training.hpp"

#include <gtest/gtest.h>
#include <torch/nn/modules/container/modulelist.h>

#include <algorithm>
#include <mutex>
#include <stdexcept>
#include <string>

namespace {

using namespace training;

// Two inputs, one of them not always differentiable; can be told to throw or to lose its output.
struct PieceImpl : torch::nn::Module {
  explicit PieceImpl(torch::nn::Linear shared = nullptr)
      : linear(shared.is_empty() ? torch::nn::Linear(6, 6) : shared), inner(6, 6), unused(3, 3) {
    register_module("linear", linear);
    register_module("inner", inner);
    register_module("unused", unused);
  }
  torch::Tensor forward(torch::Tensor x, torch::Tensor y) {
    auto unit = zero::torch::use(*this, x, y);
    if (throws) throw std::domain_error("in the forward");
    const auto out =
        overwrites ? inner(linear(x * y).tanh_()).add_(x) : x + inner(torch::tanh(linear(x * y)));
    if (loses) return out;
    return unit(out);
  }
  torch::nn::Linear linear, inner, unused;
  bool throws = false;
  bool loses = false;
  bool overwrites = false;  // activations, where they are
};
TORCH_MODULE(Piece);

struct PiecesImpl : torch::nn::Module {
  PiecesImpl() {
    register_module("pieces", pieces);
    for (int i = 0; i < 3; ++i) pieces->push_back(Piece());
  }
  PieceImpl& piece(std::size_t i) { return *pieces[i]->as<Piece>(); }
  torch::Tensor loss(int step) {
    auto x = values(static_cast<uint64_t>(step + 500), {5, 6});
    auto y = values(static_cast<uint64_t>(step + 900), {5, 6});
    for (const int at : path) {
      x = piece(static_cast<std::size_t>(at)).forward(x, y);
      if (piece(static_cast<std::size_t>(at)).overwrites) x.mul_(0.5);
      if (at == 0) y = y + x;
    }
    return x.square().mean();
  }
  torch::nn::ModuleList pieces;
  std::vector<int> path = {0, 1, 2};
};
TORCH_MODULE(Pieces);

using change_function = std::function<void(PiecesImpl&)>;

// Trains both ways at one rank, where the bits must be the same.
void expect_same(int stage, const change_function& change, zero::torch::options how = {}) {
  const factory make = adamw(1e-2);
  how.config.stage = stage;
  Pieces plain;
  fill(*plain, 9);
  change(*plain);
  tensors trainable;
  for (const auto& p : plain->parameters()) {
    const bool there = std::any_of(trainable.begin(), trainable.end(),
                                   [&](const torch::Tensor& other) { return other.is_same(p); });
    if (p.requires_grad() && !there) trainable.push_back(p);
  }
  const any_optimizer optimizer = make(trainable);
  for (int step = 0; step < 6; ++step) {
    // A parameter without a gradient has a gradient of 0 here, and decays.
    for (auto& p : trainable) p.mutable_grad() = torch::zeros_like(p);
    plain->loss(step).backward();
    optimizer->step();
  }
  on_ranks(1, [&](zero_ranks* reach, int) {
    Pieces model;
    fill(*model, 9);
    change(*model);
    const auto o = zero::torch::wrap(*model, how, reach, make);
    for (int step = 0; step < 6; ++step) {
      model->loss(step).backward();
      ASSERT_TRUE(o->step());
      if (stage == 3) {
        EXPECT_EQ(bytes_of(*model), 0U);
      }
    }
    auto whole = o->whole();
    EXPECT_EQ(largest_difference(copies(*model), copies(*plain)), 0.0) << stage;
  });
}

class torch_pieces : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(all, torch_pieces, testing::Range(0, 4));

TEST_P(torch_pieces, with_parameters_that_take_no_part) {
  expect_same(GetParam(), [](PiecesImpl&) {});
}

// Activations that are overwritten hold nothing that a hook could start again from.
TEST_P(torch_pieces, pitfall_9_whose_activations_are_overwritten) {
  expect_same(GetParam(), [](PiecesImpl& m) {
    for (std::size_t i = 0; i < 3; ++i) m.piece(i).overwrites = true;
  });
}

void tie(PieceImpl& piece, const char* name, torch::nn::Linear& own, torch::nn::Linear& to) {
  own = to;
  piece.unregister_module(name);
  piece.register_module(name, to);
}

TEST_P(torch_pieces, with_weights_tied_across_units) {
  expect_same(GetParam(), [](PiecesImpl& m) {
    tie(m.piece(2), "linear", m.piece(2).linear, m.piece(0).linear);
  });
}

TEST_P(torch_pieces, with_one_tensor_under_two_names) {
  expect_same(GetParam(),
              [](PiecesImpl& m) { tie(m.piece(1), "inner", m.piece(1).inner, m.piece(1).linear); });
}

TEST_P(torch_pieces, with_frozen_weights_at_every_place) {
  for (const int at : {0, 1, 2}) {
    expect_same(GetParam(), [at](PiecesImpl& m) {
      m.piece(1).linear->weight.set_requires_grad(at == 0);
      m.piece(1).inner->weight.set_requires_grad(at == 1);
      m.piece(static_cast<std::size_t>(at)).inner->bias.set_requires_grad(false);
    });
  }
}

TEST_P(torch_pieces, with_units_that_are_frozen_altogether) {
  for (const std::size_t at : {0, 1, 2}) {
    expect_same(GetParam(), [at](PiecesImpl& m) {
      for (auto& p : m.piece(at).parameters()) p.set_requires_grad(false);
    });
  }
}

TEST_P(torch_pieces, used_several_times_in_a_forward) {
  expect_same(GetParam(), [](PiecesImpl& m) { m.path = {1, 0, 1, 2, 1, 2}; });
}

TEST_P(torch_pieces, used_as_a_whole_several_times_where_that_was_said) {
  zero::torch::options how;
  for (int i = 0; i < 6; ++i) how.forward_order.push_back("pieces." + std::to_string(i % 3));
  expect_same(
      GetParam(), [](PiecesImpl& m) { m.path = {0, 1, 2, 0, 1, 2}; }, how);
}

TEST_P(torch_pieces, used_in_another_order_than_they_stand) {
  expect_same(GetParam(), [](PiecesImpl& m) { m.path = {2, 0, 1}; });
}

TEST_P(torch_pieces, an_exception_in_a_forward_leaves_no_unit_held) {
  const auto train = [&](bool with_exceptions) {
    tensors ended;
    on_ranks(2, [&](zero_ranks* reach, int rank) {
      static std::mutex one_by_one;
      Pieces model{nullptr};
      {
        const std::lock_guard<std::mutex> lock(one_by_one);
        model = Pieces();
        fill(*model, 9);
      }
      const auto o = zero::torch::wrap(*model, at_stage(GetParam()), reach, adamw(1e-2));
      for (int step = 0; step < 4; ++step) {
        if (with_exceptions) {
          const auto at = static_cast<std::size_t>(step % 3);
          model->piece(at).throws = true;
          EXPECT_THROW(model->loss(step), std::domain_error);
          model->piece(at).throws = false;
          if (GetParam() == 3 && step > 0) {
            EXPECT_EQ(bytes_of(*model), 0U);
          }
        }
        model->loss(step).backward();
        ASSERT_TRUE(o->step());
      }
      auto whole = o->whole();
      if (rank == 0) ended = copies(*model);
      whole.end();
    });
    return ended;
  };
  EXPECT_EQ(largest_difference(train(true), train(false)), 0.0);
}

struct failing_backward : torch::autograd::Function<failing_backward> {
  static torch::Tensor forward(torch::autograd::AutogradContext*, const torch::Tensor& x) {
    return x * 2;
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext*,
                                                 const torch::autograd::variable_list&) {
    throw std::domain_error("in the backward");
  }
};

TEST_P(torch_pieces, an_exception_in_a_backward_costs_one_step) {
  on_ranks(1, [&](zero_ranks* reach, int) {
    Pieces model;
    const auto o = zero::torch::wrap(*model, at_stage(GetParam()), reach, adamw(1e-2));
    const auto failing = [&] {
      const auto x = values(1, {5, 6});
      auto y = model->piece(0).forward(x, x);
      y = model->piece(1).forward(failing_backward::apply(y), x);
      return y.square().mean();
    };
    EXPECT_THROW(failing().backward(), std::domain_error);
    EXPECT_FALSE(o->step());
    EXPECT_THROW(failing().backward(), std::domain_error);
    o->zero_grad();
    model->loss(0).backward();
    EXPECT_TRUE(o->step());
    if (GetParam() == 3) {
      EXPECT_EQ(bytes_of(model->piece(2)), 0U);
    }
  });
}

TEST(torch_use, an_output_that_did_not_pass_the_unit_is_an_error) {
  on_ranks(1, [&](zero_ranks* reach, int) {
    Pieces model;
    const auto o = zero::torch::wrap(*model, at_stage(3), reach, adamw(1e-2));
    model->loss(0).backward();
    o->step();
    model->piece(1).loses = true;
    try {
      static_cast<void>(model->loss(1));
      ADD_FAILURE() << "it was accepted";
    } catch (const std::exception& error) {
      EXPECT_NE(std::string(error.what()).find("'pieces.1'"), std::string::npos) << error.what();
    }
    model->piece(1).loses = false;
    model->loss(1).backward();
    EXPECT_TRUE(o->step());
    EXPECT_EQ(bytes_of(*model), 0U);
  });
}

TEST(torch_use, does_nothing_in_a_module_that_was_not_wrapped) {
  Pieces model;
  const torch::Tensor loss = model->loss(0);
  loss.backward();
  EXPECT_TRUE(model->piece(0).linear->weight.grad().defined());
}

TEST(torch_use, children_of_a_sequential_need_no_line) {
  on_ranks(2, [&](zero_ranks* reach, int rank) {
    static std::mutex one_by_one;
    torch::nn::Sequential model{nullptr};
    {
      const std::lock_guard<std::mutex> lock(one_by_one);
      model = make_layers();
    }
    const auto names = model->named_parameters().keys();
    const auto o = zero::torch::wrap(*model, at_stage(3), reach, sgd(0.1));
    EXPECT_EQ(bytes_of(*model), 0U);  // from the start
    EXPECT_EQ(model->named_parameters().keys(), names);
    loss_of(model, 0, {rank, 2}).backward();
    EXPECT_EQ(bytes_of(*model), 0U);
    o->step();
    o->unwrap();
    EXPECT_NE(model->at<torch::nn::LinearImpl>(0).weight.storage().nbytes(), 0U);
  });
}

TEST(torch_use, a_backward_through_weights_of_before_the_step_is_refused) {
  for (const int stage : {0, 1, 2, 3}) {
    on_ranks(1, [&](zero_ranks* reach, int) {
      Gpt model(true);
      const auto o = zero::torch::wrap(*model, at_stage(stage), reach, adamw(1e-2));
      const torch::Tensor old = loss_of(model, 0);
      loss_of(model, 1).backward();
      o->step();
      EXPECT_ANY_THROW(old.backward()) << stage;
    });
  }
}

TEST(torch_use, a_forward_that_is_thrown_away_is_not_waited_for) {
  on_ranks(1, [&](zero_ranks* reach, int) {
    Pieces model;
    const auto o = zero::torch::wrap(*model, at_stage(3), reach, adamw(1e-2));
    for (int step = 0; step < 3; ++step) {
      static_cast<void>(model->loss(77));
      model->loss(step).backward();
      EXPECT_TRUE(o->step());
    }
  });
}

}  // namespace
