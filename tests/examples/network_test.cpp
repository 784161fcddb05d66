// The model of the C++ trainer: its gradients against central differences of its loss, along the
// gradient of each tensor.

#include "model.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace {

class NetworkTest : public testing::Test {
 protected:
  NetworkTest() : model_({2, 7, 3, 5}, 4) {
    std::mt19937 random(3);
    for (unsigned char& byte : text_) byte = static_cast<unsigned char>(random() % 256);
    for (std::size_t i = 0; i < 4; ++i) batch_.push_back({text_ + i, text_[i + 3]});
    std::uniform_real_distribution<float> shift(-0.1F, 0.1F);
    for (tensor& t : model_.tensors()) t.allocate();
    model_.initialise(5);
    for (tensor& t : model_.tensors()) {
      for (std::size_t i = 0; i < t.count; ++i) t.value[i] += shift(random);
    }
    model_.begin(batch_);
  }

  double forward() {
    model_.input();
    for (int b = 0; b < 2; ++b) model_.block(b);
    return model_.output(0.25);
  }

  void backward() {
    for (int b = 1; b >= 0; --b) model_.block_backward(b);
    model_.input_backward();
  }

  unsigned char text_[8] = {};
  std::vector<example> batch_;
  model model_;
};

TEST_F(NetworkTest, EachTensorsGradientIsTheSlopeOfTheLoss) {
  forward();
  backward();
  std::vector<std::vector<float>> gradients;
  for (const tensor& t : model_.tensors()) {
    gradients.emplace_back(t.gradient, t.gradient + t.count);
  }
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    const tensor& t = model_.tensors()[i];
    SCOPED_TRACE(t.name);
    double squares = 0.0;
    for (const float g : gradients[i]) squares += static_cast<double>(g) * static_cast<double>(g);
    const double norm = std::sqrt(squares);
    ASSERT_GT(norm, 0.0);
    const std::vector<float> before(t.value, t.value + t.count);
    double losses[2] = {};
    for (const int side : {0, 1}) {
      const float along = (side == 0 ? 0.002F : -0.002F) / static_cast<float>(norm);
      for (std::size_t e = 0; e < t.count; ++e) t.value[e] = before[e] + along * gradients[i][e];
      losses[side] = forward();
    }
    std::copy(before.begin(), before.end(), t.value);
    EXPECT_NEAR((losses[0] - losses[1]) / 0.004, norm, 0.01 * norm + 1e-3);
  }
}

TEST_F(NetworkTest, BackwardAddsUntilCleared) {
  forward();
  backward();
  const tensor& t = model_.tensors()[1];
  const std::vector<float> once(t.gradient, t.gradient + t.count);
  forward();
  backward();
  for (std::size_t i = 0; i < t.count; ++i) ASSERT_NEAR(t.gradient[i], 2.0F * once[i], 1e-5F) << i;
  t.clear_gradient();
  for (std::size_t i = 0; i < t.count; ++i) ASSERT_EQ(t.gradient[i], 0.0F) << i;
}

}  // namespace
