#pragma once
// A transformer block of LibTorch modules, and text as bytes: the same for plain.cpp and
// sharded.cpp, and not changed.

#include <torch/nn/functional.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include <cmath>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

struct sizes {
  int64_t vocabulary = 256;
  int64_t context = 32;
  int64_t channels = 48;
  int64_t heads = 3;
  int64_t blocks = 3;
};

// Attention to what came before, and a two-layer network, each added to what goes past them.
struct BlockImpl : torch::nn::Module {
  BlockImpl(int64_t channels, int64_t head_count)
      : norm1(torch::nn::LayerNormOptions({channels})),
        attention(channels, 3 * channels),
        projection(channels, channels),
        norm2(torch::nn::LayerNormOptions({channels})),
        up(channels, 4 * channels),
        down(4 * channels, channels),
        heads(head_count) {
    register_module("norm1", norm1);
    register_module("attention", attention);
    register_module("projection", projection);
    register_module("norm2", norm2);
    register_module("up", up);
    register_module("down", down);
  }

  torch::Tensor forward(torch::Tensor x) {
    x = x + attend(norm1(x));
    return x + down(torch::gelu(up(norm2(x))));
  }

  torch::Tensor attend(const torch::Tensor& x) {
    const int64_t batch = x.size(0);
    const int64_t length = x.size(1);
    const int64_t width = x.size(2) / heads;
    const auto parts = attention(x).view({batch, length, 3, heads, width}).permute({2, 0, 3, 1, 4});
    const auto later = torch::ones({length, length}, torch::kBool).triu(1);
    auto scores = parts[0].matmul(parts[1].transpose(2, 3)) / std::sqrt(static_cast<double>(width));
    scores = scores.masked_fill(later, -std::numeric_limits<float>::infinity());
    const auto mixed = torch::softmax(scores, 3).matmul(parts[2]);
    return projection(mixed.transpose(1, 2).reshape({batch, length, x.size(2)}));
  }

  torch::nn::LayerNorm norm1;
  torch::nn::Linear attention, projection;
  torch::nn::LayerNorm norm2;
  torch::nn::Linear up, down;
  int64_t heads;
};
TORCH_MODULE(Block);

// All bytes of a file.
inline std::string read_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text(std::istreambuf_iterator<char>(in), {});
  if (text.size() < 4096) throw std::runtime_error(path + ": 4096 bytes of text are needed");
  return text;
}

// Sequences [first, first + count) of step `step`, and what follows each byte of them.
inline std::pair<torch::Tensor, torch::Tensor> batch_of(const std::string& text, int64_t step,
                                                        int64_t first, int64_t count,
                                                        int64_t length) {
  auto x = torch::empty({count, length}, torch::kLong);
  auto y = torch::empty({count, length}, torch::kLong);
  const int64_t room = static_cast<int64_t>(text.size()) - length - 1;
  for (int64_t row = 0; row < count; ++row) {
    const int64_t begin = (step * 7919 + (first + row) * 104729) % room;
    for (int64_t i = 0; i < length; ++i) {
      const auto at = static_cast<std::size_t>(begin + i);
      x[row][i] = static_cast<int64_t>(static_cast<unsigned char>(text[at]));
      y[row][i] = static_cast<int64_t>(static_cast<unsigned char>(text[at + 1]));
    }
  }
  return {x, y};
}
