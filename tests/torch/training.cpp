#include "training.hpp"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/nn/functional/loss.h>
#include <torch/utils.h>

#include <algorithm>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <thread>

namespace training {
namespace {

// Some sums depend on how many threads they are made by: the twin has one, as each rank has.
class one_thread : public testing::Environment {
 public:
  void SetUp() override { at::set_num_threads(1); }
};
const testing::Environment* const environment =
    testing::AddGlobalTestEnvironment(new one_thread);  // gtest's own

}  // namespace

torch::Tensor values(uint64_t seed, at::IntArrayRef sizes) {
  const torch::NoGradGuard no_gradient;
  return torch::empty(sizes).normal_(0, 0.3, at::detail::createCPUGenerator(seed));
}

void fill(torch::nn::Module& module, uint64_t seed) {
  const torch::NoGradGuard no_gradient;
  for (torch::Tensor& p : module.parameters()) p.copy_(values(seed++, p.sizes()));
}

void on_ranks(int count, const std::function<void(zero_ranks*, int)>& body) {
  std::vector<zero_ranks*> ranks(static_cast<std::size_t>(count));
  zero_message why{};
  if (zero_ranks_threads(count, ranks.data(), &why) != ZERO_OK) throw std::runtime_error(why.text);
  std::vector<std::exception_ptr> thrown(ranks.size());
  std::vector<std::thread> threads;
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    threads.emplace_back([&, rank] {
      at::set_num_threads(1);
      try {
        body(ranks[rank], static_cast<int>(rank));
      } catch (...) {
        thrown[rank] = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (zero_ranks* r : ranks) zero_ranks_destroy(r);
  for (const std::exception_ptr& error : thrown) {
    if (error) std::rethrow_exception(error);
  }
}

zero::torch::options at_stage(int stage) {
  zero::torch::options how;
  how.config.stage = stage;
  how.config.deadline_seconds = 20;
  return how;
}

tensors copies(const torch::nn::Module& module) {
  tensors all;
  for (const torch::Tensor& p : module.parameters()) all.push_back(p.detach().clone());
  return all;
}

std::size_t bytes_of(const torch::nn::Module& module) {
  std::size_t bytes = 0;
  for (const auto& p : module.parameters()) bytes += p.storage().nbytes();
  return bytes;
}

double largest_difference(const tensors& a, const tensors& b) {
  if (a.size() != b.size()) throw std::invalid_argument("not the same parameters");
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    most = std::max(most, (a[i] - b[i]).abs().max().item<double>());
  }
  return most;
}

torch::nn::Sequential make_layers() {
  torch::nn::Sequential layers(torch::nn::Linear(7, 13), torch::nn::Tanh(),
                               torch::nn::Linear(13, 11), torch::nn::Tanh(),
                               torch::nn::Linear(11, 1));
  fill(*layers, 5);
  return layers;
}

torch::Tensor loss_of(torch::nn::Sequential& model, int step, part of) {
  const int64_t rows = 12 / of.ranks;
  const auto seed = static_cast<uint64_t>(1000 + step);
  const auto x = values(seed, {12, 7}).slice(0, of.rank * rows, (of.rank + 1) * rows);
  const auto y = x.sin().sum(1, true);
  return torch::nn::functional::mse_loss(model->forward(x), y);
}

GptImpl::GptImpl(bool enters_root)
    : of{61, 9, 12, 3, 3},
      token(of.vocabulary, of.channels),
      place(of.context, of.channels),
      norm(torch::nn::LayerNormOptions({of.channels})),
      enter_root(enters_root) {
  register_module("token", token);
  register_module("place", place);
  register_module("blocks", blocks);
  for (int64_t i = 0; i < of.blocks; ++i) blocks->push_back(Block(of.channels, of.heads));
  register_module("norm", norm);
  fill(*this, 50);
}

torch::Tensor GptImpl::forward(torch::Tensor tokens) {
  if (!enter_root) return body(tokens);
  auto unit = zero::torch::use(*this, tokens);
  return unit(body(tokens));
}

torch::Tensor GptImpl::body(const torch::Tensor& tokens) {
  auto x = token(tokens) + place(torch::arange(tokens.size(1)));
  for (std::size_t i = 0; i < blocks->size(); ++i) {
    if (before_block) before_block(i);
    x = zero::torch::call(blocks[i]->as<Block>(), x);
  }
  return norm(x).matmul(token->weight.t());
}

torch::Tensor loss_of(Gpt& model, int step, part of) {
  const int64_t rows = 12 / of.ranks;
  auto all = (values(static_cast<uint64_t>(3000 + step), {12, 8}).abs() * 1000)
                 .to(torch::kLong)
                 .remainder(model->of.vocabulary);
  const auto tokens = all.slice(0, of.rank * rows, (of.rank + 1) * rows);
  const auto logits = model->forward(tokens.slice(1, 0, 7));
  return torch::nn::functional::cross_entropy(logits.flatten(0, 1),
                                              tokens.slice(1, 1, 8).flatten());
}

namespace {

template <class Model>
tensors train(int ranks, const std::function<Model()>& make_model, const zero::torch::options& how,
              const factory& make, int steps) {
  std::vector<tensors> ended(static_cast<std::size_t>(ranks));
  std::mutex one_by_one;  // modules draw their first values from one generator
  on_ranks(ranks, [&](zero_ranks* reach, int rank) {
    Model model{nullptr};
    {
      const std::lock_guard<std::mutex> lock(one_by_one);
      model = make_model();
    }
    const auto optimizer = zero::torch::wrap(*model, how, reach, make);
    for (int step = 0; step < steps; ++step) {
      optimizer->zero_grad();
      loss_of(model, step, {rank, ranks}).backward();
      if (!optimizer->step()) throw std::runtime_error("a step was left out");
    }
    auto whole = optimizer->whole();
    ended[static_cast<std::size_t>(rank)] = copies(*model);
    whole.end();
  });
  for (const tensors& others : ended) {
    if (largest_difference(ended.front(), others) != 0) throw std::runtime_error("ranks differ");
  }
  return ended.front();
}

}  // namespace

tensors train_wrapped(int ranks, const std::function<torch::nn::Sequential()>& make_model,
                      const zero::torch::options& how, const factory& make, int steps) {
  return train<torch::nn::Sequential>(ranks, make_model, how, make, steps);
}
tensors train_wrapped(int ranks, const std::function<Gpt()>& make_model,
                      const zero::torch::options& how, const factory& make, int steps) {
  return train<Gpt>(ranks, make_model, how, make, steps);
}

factory sgd(double rate, double momentum, double decay) {
  return [=](tensors of) -> any_optimizer {
    return std::make_unique<torch::optim::SGD>(
        std::move(of), torch::optim::SGDOptions(rate).momentum(momentum).weight_decay(decay));
  };
}
factory adam(double rate) {
  return [=](tensors of) -> any_optimizer {
    return std::make_unique<torch::optim::Adam>(
        std::move(of), torch::optim::AdamOptions(rate).weight_decay(0.01).amsgrad(true));
  };
}
factory adamw(double rate) {
  return [=](tensors of) -> any_optimizer {
    return std::make_unique<torch::optim::AdamW>(
        std::move(of), torch::optim::AdamWOptions(rate).weight_decay(0.1));
  };
}

}  // namespace training
