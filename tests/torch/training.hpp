#pragma once
// Small models of LibTorch modules, and how they are trained with and without zero::torch.

#include "block.hpp"

#include <zero/torch.hpp>

#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace training {

using tensors = std::vector<torch::Tensor>;
using any_optimizer = std::unique_ptr<torch::optim::Optimizer>;
using factory = std::function<any_optimizer(tensors)>;
using wrapped = zero::torch::optimizer<torch::optim::Optimizer>;

// Values by (seed, index) alone, so that threads may ask at once.
torch::Tensor values(uint64_t seed, at::IntArrayRef sizes);
// Gives every parameter such values.
void fill(torch::nn::Module& module, uint64_t seed);

// Runs `body(ranks, rank)` on `count` threads and rethrows what one of them threw.
void on_ranks(int count, const std::function<void(zero_ranks*, int)>& body);

zero::torch::options at_stage(int stage);

// Copies of all parameters, in the order of their names.
tensors copies(const torch::nn::Module& module);
// Bytes that the storages of its parameters have.
std::size_t bytes_of(const torch::nn::Module& module);
double largest_difference(const tensors& a, const tensors& b);

// Layers in an nn::Sequential, which are entered without a line.
torch::nn::Sequential make_layers();

// A GPT whose blocks are entered where they are called; of odd sizes, output tied to input.
struct GptImpl : torch::nn::Module {
  explicit GptImpl(bool enters_root);
  torch::Tensor forward(torch::Tensor tokens);
  torch::Tensor body(const torch::Tensor& tokens);

  sizes of;
  torch::nn::Embedding token, place;
  torch::nn::ModuleList blocks;
  torch::nn::LayerNorm norm;
  bool enter_root;
  std::function<void(std::size_t)> before_block;
};
TORCH_MODULE(Gpt);

// Rows of step `step` that are rank `rank`'s of `ranks`; all rows together are 12.
struct part {
  int rank = 0;
  int ranks = 1;
};
torch::Tensor loss_of(torch::nn::Sequential& model, int step, part of = {});
torch::Tensor loss_of(Gpt& model, int step, part of = {});

// Parameters after `steps` steps without zero::torch.
template <class Model>
tensors train_plain(Model model, const factory& make, int steps) {
  const any_optimizer optimizer = make(model->parameters());
  for (int step = 0; step < steps; ++step) {
    optimizer->zero_grad();
    loss_of(model, step).backward();
    optimizer->step();
  }
  return copies(*model);
}

// The same with it: of rank 0, once every rank has seen that it has the same.
tensors train_wrapped(int ranks, const std::function<torch::nn::Sequential()>& make_model,
                      const zero::torch::options& how, const factory& make, int steps);
tensors train_wrapped(int ranks, const std::function<Gpt()>& make_model,
                      const zero::torch::options& how, const factory& make, int steps);

factory sgd(double rate, double momentum = 0.9, double decay = 0.01);
factory adam(double rate);
factory adamw(double rate);

}  // namespace training
