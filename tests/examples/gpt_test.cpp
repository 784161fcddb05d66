// The model of the C trainer: its gradients against central differences of its loss, along the
// gradient of each tensor and along random directions; and that its functions add.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

extern "C" {
#include "gpt.h"
}

namespace {

constexpr int layers = 2, channels = 12, heads = 3, sequence = 5, sequences = 3;

class GptTest : public testing::Test {
 protected:
  GptTest() : m_(gpt_plan(layers, channels, heads, sequence, sequences)) {
    parameters_.resize(m_.bytes / sizeof(float));
    gradients_.resize(parameters_.size());
    gpt_use(&m_, parameters_.data(), gradients_.data());
    gpt_initialise(&m_, 7);
    std::mt19937 random(11);
    std::uniform_real_distribution<float> shift(-0.2F, 0.2F);
    for (float& p : parameters_) p += shift(random);
    for (int i = 0; i < sequence * sequences; ++i) {
      tokens_.push_back(static_cast<unsigned char>(random() % VOCABULARY));
      targets_.push_back(static_cast<unsigned char>(random() % VOCABULARY));
    }
    gpt_batch(&m_, tokens_.data(), targets_.data(), sequence * sequences);
  }

  ~GptTest() override { gpt_free(&m_); }

  double forward() {
    gpt_embed(&m_);
    for (int l = 0; l < layers; ++l) gpt_layer(&m_, l);
    return gpt_loss(&m_, 1.0 / (sequence * sequences));
  }

  void backward() {
    for (int l = layers - 1; l >= 0; --l) gpt_layer_backward(&m_, l);
    gpt_embed_backward(&m_);
  }

  // Of the loss along `direction`, a unit vector.
  double slope(const std::vector<float>& direction, float distance) {
    const std::vector<float> before = parameters_;
    double losses[2] = {};
    for (int side = 0; side < 2; ++side) {
      for (std::size_t i = 0; i < before.size(); ++i) {
        parameters_[i] = before[i] + (side == 0 ? distance : -distance) * direction[i];
      }
      losses[side] = forward();
    }
    parameters_ = before;
    return (losses[0] - losses[1]) / (2.0 * static_cast<double>(distance));
  }

  // direction, made a unit vector, against the gradient as it is.
  void expect_slope(std::vector<float> direction, const std::vector<float>& gradient) {
    double norm = 0.0;
    for (const float d : direction) norm += static_cast<double>(d) * static_cast<double>(d);
    norm = std::sqrt(norm);
    ASSERT_GT(norm, 0.0);
    double expected = 0.0;
    for (std::size_t i = 0; i < direction.size(); ++i) {
      direction[i] = static_cast<float>(direction[i] / norm);
      expected += static_cast<double>(direction[i]) * static_cast<double>(gradient[i]);
    }
    EXPECT_NEAR(slope(direction, 0.01F), expected, 2e-3 * std::fabs(expected) + 2e-4);
  }

  gpt m_;
  std::vector<float> parameters_, gradients_;
  std::vector<unsigned char> tokens_, targets_;
};

TEST_F(GptTest, EachTensorsGradientIsTheSlopeOfTheLoss) {
  forward();
  backward();
  const std::vector<float> gradient = gradients_;
  for (int tensor = 0, first = 0; tensor < TENSORS; ++tensor) {
    SCOPED_TRACE(tensor);
    const int count = static_cast<int>(m_.counts[tensor]);
    const bool stacked = tensor >= NORM1 && tensor < NORM_FINAL;
    const int pieces = stacked ? layers : 1;
    for (int piece = 0; piece < pieces; ++piece) {
      std::vector<float> direction(gradient.size());
      std::copy_n(gradient.begin() + first + piece * (count / pieces), count / pieces,
                  direction.begin() + first + piece * (count / pieces));
      expect_slope(std::move(direction), gradient);
    }
    first += count;
  }
}

TEST_F(GptTest, TheGradientIsTheSlopeAlongRandomDirections) {
  forward();
  backward();
  const std::vector<float> gradient = gradients_;
  std::mt19937 random(13);
  std::normal_distribution<float> any;
  for (int i = 0; i < 5; ++i) {
    std::vector<float> direction(gradient.size());
    for (float& d : direction) d = any(random);
    expect_slope(std::move(direction), gradient);
  }
}

TEST_F(GptTest, BackwardAdds) {
  forward();
  backward();
  const std::vector<float> once = gradients_;
  forward();
  backward();
  for (std::size_t i = 0; i < once.size(); ++i) {
    ASSERT_NEAR(gradients_[i], 2.0F * once[i], 1e-5F) << i;
  }
}

TEST_F(GptTest, NoSequencesAddNothing) {
  gpt_batch(&m_, tokens_.data(), targets_.data(), 0);
  EXPECT_EQ(forward(), 0.0);
  backward();
  EXPECT_TRUE(std::all_of(gradients_.begin(), gradients_.end(), [](float g) { return g == 0.0F; }));
}

}  // namespace
