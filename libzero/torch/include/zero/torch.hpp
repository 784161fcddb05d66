#pragma once
// torch: a LibTorch module whose parameters, gradients and optimizer are sharded, by a few lines in
// the program that trains it. Headers alone, over <zero/zero.h>; the program links LibTorch.
//
//     auto opt = zero::torch::wrap(*model, how, ranks, [](std::vector<torch::Tensor> shards) {
//       return std::make_unique<torch::optim::AdamW>(shards, torch::optim::AdamWOptions(3e-4));
//     });
//     ...
//     loss.backward();
//     opt->step();

#include <zero/torch/optimizer.hpp>
#include <zero/torch/use.hpp>

#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

namespace zero::torch {

// Shards the parameters of `module` as how.config says, and makes the client's optimizer over what
// of them this rank updates: `factory` is given fp32 tensors of one dimension, or as
// `const std::vector<shard>&` their names and shapes too (for parameter groups), and returns a
// unique_ptr. The list may be empty. The module is used as before, from the same thread; it must
// outlive what is returned. Every rank gets the values of rank 0. Collective.
template <class Factory>
auto wrap(::torch::nn::Module& module, const options& how, zero_ranks* ranks,
          const Factory& factory) {
  using made =
      typename std::conditional_t<std::is_invocable_v<Factory, const std::vector<shard>&>,
                                  std::invoke_result<Factory, const std::vector<shard>&>,
                                  std::invoke_result<Factory, std::vector<at::Tensor>>>::type;
  using inner = typename made::element_type;
  return std::make_unique<optimizer<inner>>(module, how, ranks, factory);
}

// Configuration and ranks from the environment.
template <class Factory>
auto wrap(::torch::nn::Module& module, const Factory& factory) {
  options how;
  zero_message why{};
  const zero_status status = zero_config_environment(&how.config, &why);
  expect_ok(status, why);
  return wrap(module, how, nullptr, factory);
}

}  // namespace zero::torch
