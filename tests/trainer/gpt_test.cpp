// Properties of the GPT: the same bits with recomputation and at any address, storage in 16 bits,
// sequences shared among ranks, and what it refuses.

#include "trainer/gpt.hpp"

#include "trainer/blas.hpp"
#include "trainer/model_step.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace zero::trainer::testing {
namespace {

const gpt_config odd{"odd", 37, 3, 15, 5, 70};

struct outcome {
  double loss;
  tensor_set gradients;
};

// One step over `sequences` sequences, starting at sequence `first` of a batch of 3.
outcome step(const gpt_config& config, const gpt_options& options, dtype gradient_type,
             std::size_t shift = 0, int first = 0, int sequences = 3) {
  tensor_set parameters(config, options.storage, shift);
  randomise(parameters, 5);
  const std::size_t length = std::size_t(config.context);
  auto tokens = random_tokens(3 * length, config.vocabulary, 21);
  auto targets = random_tokens(3 * length, config.vocabulary, 22);
  const auto part = [&](std::vector<std::int32_t>& all) {
    const auto begin = all.begin() + std::ptrdiff_t(std::size_t(first) * length);
    all = std::vector<std::int32_t>(begin, begin + std::ptrdiff_t(std::size_t(sequences) * length));
  };
  part(tokens);
  part(targets);
  gpt model(config, options);
  outcome result{0, tensor_set(config, gradient_type, shift)};
  result.loss = forward(model, parameters, tokens, targets, sequences);
  backward(model, parameters, result.gradients, 1.0f / 256);
  return result;
}

bool same_bits(const outcome& a, const outcome& b) {
  return a.loss == b.loss && a.gradients.all().bytes() == b.gradients.all().bytes() &&
         std::memcmp(a.gradients.all().data, b.gradients.all().data, a.gradients.all().bytes()) ==
             0;
}

// Greatest difference of two gradients over the greatest element of their tensor.
double difference(const tensor_set& a, const tensor_set& b) {
  double worst = 0;
  for (const std::string& name : a.names()) {
    double largest = 0, apart = 0;
    for (std::size_t i = 0; i < a.size(name); ++i) {
      largest = std::max(largest, std::abs(double{a.get(name, i)}));
      apart = std::max(apart, std::abs(double{a.get(name, i)} - double{b.get(name, i)}));
    }
    worst = std::max(worst, apart / largest);
  }
  return worst;
}

TEST(gpt, recomputation_gives_the_same_bits) {
  for (const dtype type : {dtype::fp32, dtype::bf16, dtype::fp16}) {
    const outcome kept = step(odd, {3, 0, recomputation::none, type}, type);
    const outcome again = step(odd, {3, 0, recomputation::block, type}, type);
    EXPECT_TRUE(same_bits(kept, again)) << name_of(type);
  }
}

TEST(gpt, addresses_do_not_change_bits) {
  for (const dtype type : {dtype::fp32, dtype::bf16}) {
    const gpt_options options{3, 0, recomputation::none, type};
    const outcome here = step(odd, options, type, 0);
    for (const std::size_t shift : {1u, 3u, 7u, 16u}) {
      EXPECT_TRUE(same_bits(here, step(odd, options, type, shift))) << shift;
    }
  }
}

TEST(gpt, recomputation_takes_less_memory) {
  const gpt_config config = find_gpt("gpt-11m");
  const gpt keeps(config, {2, 0, recomputation::none, dtype::fp32});
  const gpt recomputes(config, {2, 0, recomputation::block, dtype::fp32});
  // 9 C floats a row and block are kept, and 4 + 2 H of statistics.
  const std::size_t block = std::size_t{2} * 256 * (9 * 384 + 16) * 4;
  EXPECT_EQ(keeps.activation_bytes(), recomputes.activation_bytes() + 5 * block);
}

TEST(gpt, sixteen_bit_storage_is_fp32_arithmetic_on_rounded_values) {
  for (const dtype type : {dtype::bf16, dtype::fp16}) {
    const double half_ulp = type == dtype::bf16 ? 0x1p-9 : 0x1p-12;
    const outcome narrow = step(odd, {3, 0, recomputation::none, type}, type);
    // fp32 gradients beside 16-bit parameters: the very same sums, not rounded.
    const outcome wide = step(odd, {3, 0, recomputation::none, type}, dtype::fp32);
    EXPECT_EQ(narrow.loss, wide.loss);
    for (const std::string& name : wide.gradients.names()) {
      if (name == "wte.weight") continue;  // added to twice: by the head and by the embedding
      for (std::size_t i = 0; i < wide.gradients.size(name); ++i) {
        const float exact = wide.gradients.get(name, i);
        const float rounded =
            type == dtype::bf16 ? to_float(to_bf16(exact)) : to_float(to_fp16(exact));
        ASSERT_EQ(narrow.gradients.get(name, i), rounded) << name << " " << i;
      }
    }
    EXPECT_LT(difference(wide.gradients, narrow.gradients), 2 * half_ulp) << name_of(type);
  }
}

TEST(gpt, gradients_are_added_to) {
  tensor_set parameters(odd, dtype::fp32), gradients(odd, dtype::fp32), twice(odd, dtype::fp32);
  randomise(parameters, 5);
  const auto tokens = random_tokens(70, odd.vocabulary, 1);
  gpt model(odd, {1, 0, recomputation::none, dtype::fp32});
  static_cast<void>(forward(model, parameters, tokens, tokens, 1));
  backward(model, parameters, gradients, 0.5f);
  // A second backward of the same forward, and one of a new forward.
  backward(model, parameters, twice, 0.5f);
  static_cast<void>(forward(model, parameters, tokens, tokens, 1));
  backward(model, parameters, twice, 0.5f);
  for (const std::string& name : gradients.names()) {
    for (std::size_t i = 0; i < gradients.size(name); ++i) {
      const float once = gradients.get(name, i);
      ASSERT_NEAR(twice.get(name, i), 2 * once, 4e-6f * std::abs(once) + 2e-6f) << name;
    }
  }
}

TEST(gpt, ranks_that_share_a_batch_sum_to_the_same_gradient) {
  const gpt_options options{3, 0, recomputation::none, dtype::fp32};
  const outcome whole = step(odd, options, dtype::fp32);
  const std::vector<std::vector<std::pair<int, int>>> splits = {
      {{0, 1}, {1, 2}}, {{0, 1}, {1, 1}, {2, 1}}, {{0, 0}, {0, 3}}};
  for (const auto& ranks : splits) {
    double loss = 0;
    tensor_set sum(odd, dtype::fp32);
    for (const auto& [first, count] : ranks) {
      const outcome part = step(odd, options, dtype::fp32, 0, first, count);
      loss += part.loss;
      for (const std::string& name : sum.names()) {
        for (std::size_t i = 0; i < sum.size(name); ++i) {
          sum.set(name, i, sum.get(name, i) + part.gradients.get(name, i));
        }
      }
    }
    EXPECT_NEAR(loss, whole.loss, 1e-6 * whole.loss);
    EXPECT_LT(difference(whole.gradients, sum), 1e-6);
  }
}

TEST(gpt, no_sequences_compute_nothing) {
  for (const dtype type : {dtype::fp32, dtype::bf16}) {
    const outcome nothing = step(odd, {0, 0, recomputation::block, type}, type, 0, 0, 0);
    EXPECT_EQ(nothing.loss, 0.0);
    for (std::size_t i = 0; i < nothing.gradients.all().bytes(); ++i) {
      ASSERT_EQ(static_cast<const std::uint8_t*>(nothing.gradients.all().data)[i], 0);
    }
  }
}

TEST(gpt, a_gradient_without_memory_is_left_out) {
  tensor_set parameters(odd, dtype::bf16), gradients(odd, dtype::bf16);
  randomise(parameters, 5);
  const auto tokens = random_tokens(70, odd.vocabulary, 1);
  gpt model(odd, {1, 0, recomputation::none, dtype::bf16});
  static_cast<void>(forward(model, parameters, tokens, tokens, 1));
  model.head_backward(parameters.at("wte.weight"), {}, 1.0f);
  model.final_norm_backward(parameters.at("ln_f.weight"), {}, gradients.at("ln_f.bias"));
  for (int layer = 2; layer >= 0; --layer) {
    block_gradients some = gradients_of(gradients, layer);
    if (layer == 1) some = {};
    model.block_backward(layer, block_of(parameters, layer), some);
  }
  model.embed_backward({}, gradients.at("wpe.weight"));
  const auto zero = [&](const std::string& name) {
    const typed_span g = gradients.at(name);
    const auto* bytes = static_cast<const std::uint8_t*>(g.data);
    return std::all_of(bytes, bytes + g.bytes(), [](std::uint8_t byte) { return byte == 0; });
  };
  EXPECT_TRUE(zero("h.1.mlp.c_fc.weight"));
  EXPECT_FALSE(zero("h.0.mlp.c_fc.weight"));
  EXPECT_FALSE(zero("wpe.weight"));
}

TEST(gpt, what_is_not_finite_stays_not_finite) {
  for (const char* name : {"wpe.weight", "h.1.attn.c_attn.weight", "h.2.mlp.c_fc.bias"}) {
    tensor_set parameters(odd, dtype::fp32), gradients(odd, dtype::fp32);
    randomise(parameters, 5);
    parameters.set(name, 4, std::nanf(""));
    const auto tokens = random_tokens(70, odd.vocabulary, 1);
    gpt model(odd, {1, 0, recomputation::none, dtype::fp32});
    EXPECT_FALSE(std::isfinite(forward(model, parameters, tokens, tokens, 1))) << name;
    backward(model, parameters, gradients, 1.0f);
    EXPECT_FALSE(std::isfinite(gradients.get("h.0.ln_1.weight", 0))) << name;
  }
}

TEST(gpt, refuses_what_does_not_fit) {
  EXPECT_THROW(gpt(odd, {1, 71, recomputation::none, dtype::fp32}), invalid_argument);
  EXPECT_THROW(gpt(odd, {-1, 0, recomputation::none, dtype::fp32}), invalid_argument);
  EXPECT_THROW(gpt(odd, {1, 0, recomputation::none, dtype::byte}), invalid_argument);
  EXPECT_THROW(gpt(find_gpt("gpt2"), {1 << 20, 0, recomputation::none, dtype::fp32}),
               invalid_argument);
  gpt_config uneven = odd;
  uneven.heads = 4;
  EXPECT_THROW(gpt(uneven, {}), invalid_argument);

  const tensor_set p(odd, dtype::fp32), half(odd, dtype::bf16);
  gpt model(odd, {2, 10, recomputation::none, dtype::fp32});
  const auto embed = [&](std::size_t tokens, int sequences) {
    model.embed_forward(std::vector<std::int32_t>(tokens, 1), sequences, p.at("wte.weight"),
                        p.at("wpe.weight"));
  };
  EXPECT_NO_THROW(embed(20, 2));
  for (const auto& [tokens, sequences] :
       {std::pair{30, 3}, {22, 2}, {19, 2}, {0, 1}, {10, 0}, {10, -1}}) {
    EXPECT_THROW(embed(std::size_t(tokens), sequences), invalid_argument) << tokens;
  }
  for (const std::int32_t token : {-1, 37}) {
    const std::vector<std::int32_t> tokens = {1, token};
    EXPECT_THROW(model.embed_forward(tokens, 1, p.at("wte.weight"), p.at("wpe.weight")),
                 invalid_argument);
  }
  EXPECT_THROW(model.block_forward(3, block_of(p, 0)), invalid_argument);
  EXPECT_THROW(model.block_backward(-1, block_of(p, 0), gradients_of(p, 0)), invalid_argument);
  EXPECT_THROW(model.block_forward(0, block_of(half, 0)), invalid_argument);
  EXPECT_THROW(model.block_backward(0, block_of(p, 0), gradients_of(half, 0)), invalid_argument);
  EXPECT_THROW(model.final_norm_forward(p.at("wte.weight"), p.at("ln_f.bias")), invalid_argument);
  const std::vector<std::int32_t> three = {1, 2, 3};
  double loss = 0;
  EXPECT_THROW(model.head_forward(p.at("wte.weight"), three, &loss), invalid_argument);
  std::vector<float> logits(37), short_logits(36);
  EXPECT_THROW(model.head_logits(p.at("wte.weight"), 20, logits), invalid_argument);
  EXPECT_THROW(model.head_logits(p.at("wte.weight"), 0, short_logits), invalid_argument);
}

TEST(blas, computes_right_here) { EXPECT_NO_THROW(check_blas()); }

TEST(blas, empty_products) {
  std::vector<float> c = {1, 2, 3, 4};
  matmul(operand::plain, operand::plain, 0, 2, 2, 1, nullptr, 2, c.data(), 2, 0, nullptr, 2);
  matmul(operand::plain, operand::plain, 1, 2, 0, 1, nullptr, 1, nullptr, 2, 3, c.data(), 2);
  EXPECT_EQ(c, (std::vector<float>{3, 6, 3, 4}));
  matmul(operand::plain, operand::plain, 2, 2, 0, 1, nullptr, 1, nullptr, 2, 0, c.data(), 2);
  EXPECT_EQ(c, (std::vector<float>(4, 0.0f)));
}

}  // namespace
}  // namespace zero::trainer::testing
