// The GPT against an independent double-precision reference: the loss, and every single gradient
// against central finite differences.

#include "trainer/model_step.hpp"
#include "trainer/reference_gpt.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace zero::trainer::testing {
namespace {

// What a test needs of a small model: fp32 parameters, the same in double, and tokens.
struct small_model {
  explicit small_model(const gpt_config& c, int batch, int length)
      : config(c),
        sequences(batch),
        parameters(c, dtype::fp32),
        reference(c),
        tokens(random_tokens(std::size_t(batch) * std::size_t(length), c.vocabulary, 11)),
        targets(random_tokens(tokens.size(), c.vocabulary, 12)) {
    randomise(parameters, 1);
    for (auto& [name, values] : reference.values) {
      for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = double{parameters.get(name, i)};
      }
    }
  }

  [[nodiscard]] double reference_loss() const { return reference.loss(tokens, targets, sequences); }
  // d loss / d parameter, by central differences. A step of 1e-5 in double leaves a relative
  // error of about 1e-10 from the third derivative and 1e-11 from rounding.
  [[nodiscard]] double slope(const std::string& name, std::size_t i) {
    double& value = reference.values.at(name)[i];
    const double kept = value;
    constexpr double step = 1e-5;
    value = kept + step;
    const double above = reference_loss();
    value = kept - step;
    const double below = reference_loss();
    value = kept;
    return (above - below) / (2 * step);
  }

  gpt_config config;
  int sequences;
  tensor_set parameters;
  reference_gpt reference;
  std::vector<std::int32_t> tokens;
  std::vector<std::int32_t> targets;
};

// fp32 has 2^-24 = 6e-8 of relative rounding. About 40 roundings lie one after the other between
// a gradient and the loss, and cancel like a random walk against the tensor's largest element.
constexpr double gradient_tolerance = 5e-6;

void expect_gradients(small_model& m, const tensor_set& gradients, double scale, double tolerance) {
  for (const std::string& name : gradients.names()) {
    std::vector<double> slopes;
    double largest = 0;
    for (std::size_t i = 0; i < gradients.size(name); ++i) {
      slopes.push_back(scale * m.slope(name, i));
      largest = std::max(largest, std::abs(slopes.back()));
    }
    double worst = 0;
    for (std::size_t i = 0; i < slopes.size(); ++i) {
      worst = std::max(worst, std::abs(slopes[i] - double{gradients.get(name, i)}) / largest);
    }
    EXPECT_GT(largest, 1e-3) << name << ": a gradient of nothing proves nothing";
    EXPECT_LT(worst, tolerance) << name;
    ::testing::Test::RecordProperty(name, std::to_string(worst));
  }
}

TEST(gpt_gradient, loss_and_every_gradient_match_the_reference) {
  small_model m({"odd", 13, 2, 15, 5, 9}, 2, 7);
  gpt model(m.config, {2, 0, recomputation::none, dtype::fp32});
  const double loss = forward(model, m.parameters, m.tokens, m.targets, 2);
  EXPECT_NEAR(loss, m.reference_loss(), 1e-6 * m.reference_loss());
  const tensor_set gradients(m.config, dtype::fp32);
  const double scale = 0.25;
  backward(model, m.parameters, gradients, static_cast<float>(scale));
  // The position after the last token is never used.
  for (std::size_t i = 7 * 15; i < 9 * 15; ++i) EXPECT_EQ(gradients.get("wpe.weight", i), 0.0f);
  expect_gradients(m, gradients, scale, gradient_tolerance);
}

// Longer than one tile of attention, one head, and a vocabulary of several chunks of the head.
TEST(gpt_gradient, several_tiles_of_attention_and_chunks_of_the_head) {
  small_model m({"long", 601, 1, 4, 1, 150}, 1, 150);
  gpt model(m.config, {1, 0, recomputation::none, dtype::fp32});
  const double loss = forward(model, m.parameters, m.tokens, m.targets, 1);
  EXPECT_NEAR(loss, m.reference_loss(), 1e-6 * m.reference_loss());
  const tensor_set gradients(m.config, dtype::fp32);
  backward(model, m.parameters, gradients, 1.0f);
  for (const char* name : {"h.0.attn.c_attn.weight", "h.0.attn.c_attn.bias", "ln_f.weight"}) {
    double largest = 0, worst = 0;
    for (std::size_t i = 0; i < gradients.size(name); ++i) {
      const double slope = m.slope(name, i);
      largest = std::max(largest, std::abs(slope));
      worst = std::max(worst, std::abs(slope - double{gradients.get(name, i)}));
    }
    EXPECT_LT(worst, 2 * gradient_tolerance * largest) << name;
  }
  // A few rows of the embedding in every chunk; 256 entries are one.
  for (const std::size_t row : {0u, 255u, 256u, 511u, 512u, 600u}) {
    EXPECT_NEAR(double{gradients.get("wte.weight", row * 4 + 1)},
                m.slope("wte.weight", row * 4 + 1), 1e-5)
        << row;
  }
}

TEST(gpt_gradient, one_token_one_layer_one_channel_a_head) {
  small_model m({"least", 2, 1, 3, 3, 1}, 1, 1);
  gpt model(m.config, {1, 1, recomputation::none, dtype::fp32});
  const double loss = forward(model, m.parameters, m.tokens, m.targets, 1);
  EXPECT_NEAR(loss, m.reference_loss(), 1e-6);
  const tensor_set gradients(m.config, dtype::fp32);
  backward(model, m.parameters, gradients, 1.0f);
  for (const std::string& name : gradients.names()) {
    for (std::size_t i = 0; i < gradients.size(name); ++i) {
      EXPECT_NEAR(double{gradients.get(name, i)}, m.slope(name, i), 2e-6) << name << " " << i;
    }
  }
}

TEST(gpt_gradient, logits_of_any_row_match_the_reference) {
  small_model m({"odd", 13, 2, 15, 5, 9}, 2, 7);
  gpt model(m.config, {2, 7, recomputation::block, dtype::fp32});
  static_cast<void>(forward(model, m.parameters, m.tokens, m.targets, 2));
  for (int row : {0, 6, 7, 13}) {
    std::vector<float> logits(13);
    model.head_logits(m.parameters.at("wte.weight"), row, logits);
    const auto first = m.tokens.begin() + row / 7 * 7;
    const matrix expected = m.reference.forward({first, first + 7});
    for (std::size_t v = 0; v < 13; ++v) {
      EXPECT_NEAR(double{logits[v]}, expected[std::size_t(row % 7)][v], 1e-5);
    }
  }
}

}  // namespace
}  // namespace zero::trainer::testing
