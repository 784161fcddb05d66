// A GPT over bytes, trained by AdamW, sharded over ranks.
//
// Usage: torch_trainer_sharded TEXT [STEPS]

#include "block.hpp"

#include <zero/torch.hpp>
#include <torch/nn/functional/loss.h>
#include <torch/optim/adamw.h>
#include <torch/utils.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

struct GptImpl : torch::nn::Module {
  explicit GptImpl(const sizes& of)
      : token(of.vocabulary, of.channels),
        place(of.context, of.channels),
        norm(torch::nn::LayerNormOptions({of.channels})) {
    register_module("token", token);
    register_module("place", place);
    register_module("blocks", blocks);
    for (int64_t i = 0; i < of.blocks; ++i) blocks->push_back(Block(of.channels, of.heads));
    register_module("norm", norm);
  }

  torch::Tensor forward(const torch::Tensor& tokens) {
    auto x = token(tokens) + place(torch::arange(tokens.size(1)));
    for (const auto& block : *blocks) {
      x = zero::torch::call(block->as<Block>(), x);
    }
    return norm(x).matmul(token->weight.t());
  }

  torch::nn::Embedding token, place;
  torch::nn::ModuleList blocks;
  torch::nn::LayerNorm norm;
};
TORCH_MODULE(Gpt);

int main(int count, char** words) {
  if (count < 2) return std::fprintf(stderr, "usage: %s TEXT [STEPS]\n", words[0]), 2;
  const std::string text = read_text(words[1]);
  const int steps = count > 2 ? std::atoi(words[2]) : 20;
  const int64_t batch = 12;
  torch::manual_seed(1);
  const sizes of;
  Gpt model(of);
  auto optimizer = zero::torch::wrap(*model, [](const std::vector<torch::Tensor>& shards) {
    return std::make_unique<torch::optim::AdamW>(shards, torch::optim::AdamWOptions(3e-3));
  });
  const int64_t rows = batch / optimizer->ranks();
  for (int step = 0; step < steps; ++step) {
    const auto [x, y] = batch_of(text, step, optimizer->rank() * rows, rows, of.context);
    const auto logits = model->forward(x);
    const auto loss = torch::nn::functional::cross_entropy(logits.flatten(0, 1), y.flatten());
    optimizer->zero_grad();
    loss.backward();
    optimizer->step();
    const double mean = optimizer->mean(loss.item<double>());
    if (optimizer->rank() == 0) std::printf("step %d loss %.9f\n", step + 1, mean);
  }
  return 0;
}
