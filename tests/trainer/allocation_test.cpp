// A step allocates nothing: every operator new of this program is counted.

#include "trainer/model_step.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace {
std::atomic<long> allocations{0};
}  // namespace

void* operator new(std::size_t bytes) {
  ++allocations;
  if (void* block = std::malloc(bytes > 0 ? bytes : 1)) return block;
  throw std::bad_alloc();
}
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, std::size_t) noexcept { std::free(block); }

namespace zero::trainer::testing {
namespace {

TEST(allocation, a_step_allocates_nothing) {
  const gpt_config config{"odd", 300, 2, 15, 5, 70};
  for (const recomputation recompute : {recomputation::none, recomputation::block}) {
    for (const dtype type : {dtype::fp32, dtype::bf16, dtype::fp16}) {
      const tensor_set parameters(config, type), gradients(config, type);
      const auto tokens = random_tokens(140, config.vocabulary, 1);
      std::vector<block_parameters> p;
      std::vector<block_gradients> g;
      for (int layer = 0; layer < 2; ++layer) {
        p.push_back(block_of(parameters, layer));
        g.push_back(gradients_of(gradients, layer));
      }
      const auto wte = parameters.at("wte.weight"), wpe = parameters.at("wpe.weight");
      const auto weight = parameters.at("ln_f.weight"), bias = parameters.at("ln_f.bias");
      gpt model(config, {2, 0, recompute, type});
      const std::size_t bytes = model.activation_bytes();
      const long before = allocations;
      model.embed_forward(tokens, 2, wte, wpe);
      for (int layer = 0; layer < 2; ++layer) model.block_forward(layer, p[std::size_t(layer)]);
      model.final_norm_forward(weight, bias);
      double loss = 0;
      model.head_forward(wte, tokens, &loss);
      model.head_backward(wte, wte, 1.0f);
      model.final_norm_backward(weight, weight, bias);
      for (int layer = 1; layer >= 0; --layer) {
        model.block_backward(layer, p[std::size_t(layer)], g[std::size_t(layer)]);
      }
      model.embed_backward(wte, wpe);
      EXPECT_EQ(allocations - before, 0) << name_of(type);
      EXPECT_EQ(model.activation_bytes(), bytes);
      EXPECT_GT(loss, 0.0);
    }
  }
}

}  // namespace
}  // namespace zero::trainer::testing
