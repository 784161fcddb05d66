// One step of a wrapped module, which must end where the same step of the module as it is does.

#include <zero/torch.hpp>

#include <torch/nn/modules/linear.h>
#include <torch/optim/sgd.h>

#include <memory>
#include <vector>

int main() {
  torch::nn::Linear plain(3, 2), wrapped(3, 2);
  {
    torch::NoGradGuard only_values;
    for (auto* module : {&plain, &wrapped}) {
      (*module)->weight.fill_(0.25);
      (*module)->bias.fill_(1);
    }
  }
  const auto sgd = [](std::vector<torch::Tensor> shards) {
    return std::make_unique<torch::optim::SGD>(shards, torch::optim::SGDOptions(0.5));
  };
  auto of_plain = sgd(plain->parameters());
  zero_ranks* ranks = nullptr;
  if (zero_ranks_threads(1, &ranks, nullptr) != ZERO_OK) return 1;
  {
    auto of_wrapped = zero::torch::wrap(*wrapped, zero::torch::options(), ranks, sgd);
    const auto input = torch::arange(6, torch::kFloat).view({2, 3});
    plain(input).square().sum().backward();
    wrapped(input).square().sum().backward();
    of_plain->step();
    if (!of_wrapped->step()) return 2;
    if (!torch::equal(plain->weight, wrapped->weight)) return 3;
    if (!torch::equal(plain->bias, wrapped->bias)) return 4;
    if (plain->bias[0].item<float>() == 1) return 5;
  }
  zero_ranks_destroy(ranks);
  return 0;
}
