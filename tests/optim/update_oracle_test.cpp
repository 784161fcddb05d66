// Update against the textbook formulas in double precision, written anew here: Kingma and Ba
// (Adam), Loshchilov and Hutter (AdamW), Chen et al. (Lion), Duchi et al. (Adagrad), and SGD with
// momentum as PyTorch documents it.
#include <zero/optim/update.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

namespace zero::testing {
namespace {

using optim::algorithm;
using optim::hyper;

struct textbook_element {
  double weight;
  double first = 0.0;   // m, momentum or sum
  double second = 0.0;  // v
};

double sign(double x) { return x > 0 ? 1.0 : x < 0 ? -1.0 : 0.0; }

void textbook_adam(const hyper& h, int step, double g, textbook_element& e) {
  const double beta1 = h.beta1;
  const double beta2 = h.beta2;
  e.first = beta1 * e.first + (1 - beta1) * g;
  e.second = beta2 * e.second + (1 - beta2) * g * g;
  const double first_hat = e.first / (1 - std::pow(beta1, step));
  const double second_hat = e.second / (1 - std::pow(beta2, step));
  e.weight -= h.learning_rate * first_hat / (std::sqrt(second_hat) + h.epsilon);
}

void textbook_step(algorithm a, const hyper& h, int step, double g, textbook_element& e) {
  const double rate = h.learning_rate;
  const double decay = h.weight_decay;
  if (a == algorithm::adamw) {
    e.weight -= rate * decay * e.weight;
    textbook_adam(h, step, g, e);
  } else if (a == algorithm::adam) {
    textbook_adam(h, step, g + decay * e.weight, e);
  } else if (a == algorithm::sgd) {
    g += decay * e.weight;
    e.first = step == 1 ? g : h.momentum * e.first + g;
    e.weight -= rate * (h.nesterov ? g + h.momentum * e.first : e.first);
  } else if (a == algorithm::lion) {
    const double update = sign(h.beta1 * e.first + (1.0 - h.beta1) * g);
    e.weight -= rate * (update + decay * e.weight);
    e.first = h.beta2 * e.first + (1.0 - h.beta2) * g;
  } else {
    g += decay * e.weight;
    e.first += g * g;
    e.weight -= rate * g / (std::sqrt(e.first) + h.epsilon);
  }
}

// Runs both over `steps` and compares. Gradients have magnitudes in [0.1, 1], so no quotient is
// worse conditioned than 10: in units of 2^-24, a state is off by at most 8 a step, a direction by
// at most 10 times the sum of those, and a weight by that times the rate and by 3 a step.
void compare(algorithm a, const hyper& h, float gradient_scale, int steps) {
  constexpr std::size_t count = 257;
  constexpr double unit = 0x1p-24;
  std::mt19937_64 random(static_cast<unsigned>(a) + 10);
  std::uniform_real_distribution<float> magnitude(0.1F, 1.0F);
  std::vector<float> weight(count), gradient(count), state0(count), state1(count);
  std::vector<textbook_element> textbook(count);
  for (std::size_t i = 0; i < count; ++i) {
    weight[i] = std::normal_distribution<float>(0.0F, 1.0F)(random);
    textbook[i].weight = weight[i];
  }
  for (int step = 1; step <= steps; ++step) {
    for (std::size_t i = 0; i < count; ++i) {
      gradient[i] = magnitude(random) * (random() % 2 ? 1.0F : -1.0F) / gradient_scale;
      const double g = double{gradient[i]} * double{gradient_scale};
      textbook_step(a, h, step, g, textbook[i]);
    }
    optim::update_spans spans;
    spans.count = count;
    spans.master = weight.data();
    spans.gradient = {gradient.data(), count, dtype::fp32};
    spans.state[0] = state0.data();
    spans.state[1] = state1.data();
    optim::update(a, h, {static_cast<std::uint64_t>(step), gradient_scale}, spans);
  }
  const double largest_direction = a == algorithm::sgd ? steps : 10.0;
  const double direction_error = unit * 8 * steps * largest_direction * 2;
  for (std::size_t i = 0; i < count; ++i) {
    const double tolerance = unit * 3 * steps * (1 + std::fabs(textbook[i].weight)) +
                             double{h.learning_rate} * steps * direction_error;
    EXPECT_NEAR(weight[i], textbook[i].weight, tolerance) << "weight " << i;
    EXPECT_NEAR(state0[i], textbook[i].first,
                unit * 8 * steps * (1 + std::fabs(textbook[i].first)));
    if (optim::state_count(a) == 2) {
      EXPECT_NEAR(state1[i], textbook[i].second, unit * 8 * steps * textbook[i].second);
    }
  }
}

class update_oracle : public ::testing::TestWithParam<algorithm> {};

TEST_P(update_oracle, customary_constants) {
  compare(GetParam(), optim::default_hyper(GetParam()), 1.0F, 20);
}

TEST_P(update_oracle, weight_decay) {
  hyper h = optim::default_hyper(GetParam());
  h.learning_rate = 0.01F;
  h.weight_decay = 0.1F;
  compare(GetParam(), h, 1.0F, 20);
}

TEST_P(update_oracle, gradient_scale) {
  hyper h = optim::default_hyper(GetParam());
  h.learning_rate = 0.01F;
  compare(GetParam(), h, 1.0F / 1024, 20);
}

TEST_P(update_oracle, unusual_constants) {
  hyper h;
  h.learning_rate = 0.05F;
  h.weight_decay = 0.01F;
  h.beta1 = 0.5F;
  h.beta2 = 0.7F;
  h.epsilon = 0.25F;  // as large as the root beside it: where it stands matters
  h.momentum = 0.3F;
  h.nesterov = true;
  compare(GetParam(), h, 0.5F, 20);
}

INSTANTIATE_TEST_SUITE_P(algorithms, update_oracle,
                         ::testing::Values(algorithm::adamw, algorithm::adam, algorithm::sgd,
                                           algorithm::lion, algorithm::adagrad),
                         [](const auto& test) { return optim::name_of(test.param); });

TEST(update_sgd, plain_without_momentum) {
  hyper h = optim::default_hyper(algorithm::sgd);
  h.momentum = 0.0F;
  compare(algorithm::sgd, h, 1.0F, 20);
}

TEST(update_sgd, first_step_puts_the_gradient_into_the_buffer) {
  for (const bool nesterov : {false, true}) {
    hyper h = optim::default_hyper(algorithm::sgd);
    h.nesterov = nesterov;
    h.momentum = 0.9F;
    float weight = 1.0F;
    float gradient = 0.3F;
    optim::update_spans spans;
    float buffer = 0.0F;
    spans.count = 1;
    spans.master = &weight;
    spans.gradient = {&gradient, 1, dtype::fp32};
    spans.state[0] = &buffer;
    optim::update(algorithm::sgd, h, {}, spans);
    EXPECT_EQ(buffer, gradient);
  }
}

TEST(update_adam, late_steps_have_no_correction_left) {
  // At step 10^6, 1 - beta^step is 1 in fp64, and an element alone follows the plain recurrence.
  const hyper h = optim::default_hyper(algorithm::adam);
  float weight = 0.5F;
  float gradient = 0.25F;
  float exp_avg = 0.125F;
  float exp_avg_sq = 0.0625F;
  optim::update_spans spans;
  spans.count = 1;
  spans.master = &weight;
  spans.gradient = {&gradient, 1, dtype::fp32};
  spans.state[0] = &exp_avg;
  spans.state[1] = &exp_avg_sq;
  optim::update(algorithm::adam, h, {1000000, 1.0F}, spans);
  const double m = 0.9 * 0.125 + 0.1 * 0.25;
  const double v = 0.999 * 0.0625 + 0.001 * 0.0625;
  EXPECT_NEAR(weight, 0.5 - 1e-3 * m / (std::sqrt(v) + 1e-8), 4 * 0x1p-24);
}

TEST(update_lion, steps_by_the_sign_alone) {
  hyper h = optim::default_hyper(algorithm::lion);
  h.learning_rate = 0.25F;
  std::vector<float> weight{1, 1, 1}, gradient{1e-30F, -1e30F, 0.0F}, exp_avg{0, 0, 0};
  optim::update_spans spans;
  spans.count = 3;
  spans.master = weight.data();
  spans.gradient = {gradient.data(), 3, dtype::fp32};
  spans.state[0] = exp_avg.data();
  optim::update(algorithm::lion, h, {}, spans);
  EXPECT_EQ(weight, (std::vector<float>{0.75F, 1.25F, 1.0F}));
}

}  // namespace
}  // namespace zero::testing
