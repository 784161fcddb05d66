// The kernels against double precision, at every length around the vector width.

#include "trainer/kernels.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace zero::trainer {
namespace {

std::vector<float> line(float first, float last, std::size_t count) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    values[i] = first + (last - first) * static_cast<float>(i) /
                            static_cast<float>(std::max<std::size_t>(count - 1, 1));
  }
  return values;
}

double exact_gelu(double x) {
  // 1 + tanh(u) as 2 / (1 + exp(-2u)): tanh loses its digits near -1, exp does not.
  return x / (1 + std::exp(-2 * std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

TEST(kernels, gelu_and_its_derivative) {
  for (std::size_t count = 0; count < 70; ++count) {
    const std::vector<float> x = line(-11, 11, count);
    std::vector<float> y(count + 1, 7.0f), g(count + 1, 3.0f);
    gelu(x.data(), count, y.data());
    gelu_backward(x.data(), count, g.data());
    for (std::size_t i = 0; i < count; ++i) {
      const double v = double{x[i]};
      // The argument of exp, up to 80 here, carries its rounding into the result.
      EXPECT_NEAR(double{y[i]}, exact_gelu(v), 2e-5 * std::abs(exact_gelu(v)) + 1e-30) << v;
      const double slope = (exact_gelu(v + 1e-5) - exact_gelu(v - 1e-5)) / 2e-5;
      EXPECT_NEAR(double{g[i]}, 3 * slope, 2e-6) << v;
    }
    EXPECT_EQ(y[count], 7.0f);
    EXPECT_EQ(g[count], 3.0f);
  }
}

TEST(kernels, gelu_where_it_matters_is_within_a_few_ulp) {
  const std::vector<float> x = line(-4, 8, 100001);
  std::vector<float> y(x.size());
  gelu(x.data(), x.size(), y.data());
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double exact = exact_gelu(double{x[i]});
    worst = std::max(worst, std::abs(double{y[i]} - exact) / (std::abs(exact) + 1e-30));
  }
  EXPECT_LT(worst, 2e-6);
}

TEST(kernels, gelu_of_the_extremes) {
  const float huge = std::numeric_limits<float>::max();
  const std::vector<float> x = {-huge, -1000, -0.0f, 0, 1000, huge, std::nanf("")};
  std::vector<float> y(x.size());
  gelu(x.data(), x.size(), y.data());
  EXPECT_NEAR(y[1], 0, 1e-30f);
  EXPECT_EQ(y[2], 0.0f);
  EXPECT_EQ(y[3], 0.0f);
  EXPECT_EQ(y[4], 1000.0f);
  EXPECT_EQ(y[5], huge);
  EXPECT_TRUE(std::isnan(y[6]));
}

TEST(kernels, softmax_pieces) {
  for (std::size_t count = 1; count < 70; ++count) {
    const std::vector<float> x = line(-20, 3, count);
    const float top = greatest(x.data(), count);
    EXPECT_EQ(top, *std::max_element(x.begin(), x.end()));
    std::vector<float> p = x;
    const float total = exponentials(p.data(), count, top);
    EXPECT_EQ(total, sum_of_exponentials(x.data(), count, top));
    double exact = 0;
    for (const float v : x) exact += std::exp(double{v} - double{top});
    EXPECT_NEAR(double{total}, exact, 1e-6 * exact);
    std::vector<float> q = x;
    scaled_exponentials(q.data(), count, top, 0.25f);
    scale(p.data(), count, 0.25f);
    EXPECT_EQ(p, q);
    for (std::size_t i = 0; i < count; ++i) {
      const double e = std::exp(double{x[i]} - double{top});
      EXPECT_NEAR(double{p[i]}, 0.25 * e, 3e-7 * e);
    }
    std::vector<float> g = x;
    softmax_backward(p.data(), count, 0.5f, g.data());
    for (std::size_t i = 0; i < count; ++i) EXPECT_FLOAT_EQ(g[i], p[i] * (x[i] - 0.5f));
    double inner = 0;
    for (std::size_t i = 0; i < count; ++i) inner += double{p[i]} * double{x[i]};
    EXPECT_NEAR(double{dot(p.data(), x.data(), count)}, inner, 1e-5);
  }
}

TEST(kernels, not_a_number_goes_through_exp) {
  for (std::size_t at = 0; at < 40; ++at) {
    std::vector<float> x = line(-3, 3, 40);
    x[at] = std::nanf("");
    EXPECT_TRUE(std::isnan(sum_of_exponentials(x.data(), x.size(), 3.0f)));
    EXPECT_TRUE(std::isnan(exponentials(x.data(), x.size(), 3.0f)));
    EXPECT_TRUE(std::isnan(x[at]));
  }
  EXPECT_EQ(greatest(nullptr, 0), -std::numeric_limits<float>::infinity());
}

TEST(kernels, layer_norm_forward_and_again) {
  for (const std::size_t channels : {1u, 2u, 15u, 16u, 17u, 51u, 255u}) {
    const std::vector<float> x = line(90, 110, 3 * channels);
    const std::vector<float> w = line(-1, 2, channels), b = line(3, -3, channels);
    std::vector<float> y(x.size()), again(x.size()), mean(3), rstd(3);
    layer_norm(x.data(), w.data(), b.data(), 3, channels, y.data(), mean.data(), rstd.data());
    layer_norm_again(x.data(), w.data(), b.data(), mean.data(), rstd.data(), 3, channels,
                     again.data());
    EXPECT_EQ(y, again);
    for (std::size_t r = 0; r < 3; ++r) {
      double m = 0, variance = 0;
      const auto n = static_cast<double>(channels);
      for (std::size_t i = 0; i < channels; ++i) m += double{x[r * channels + i]} / n;
      for (std::size_t i = 0; i < channels; ++i) {
        variance += std::pow(double{x[r * channels + i]} - m, 2) / n;
      }
      for (std::size_t i = 0; i < channels; ++i) {
        const double unit = (double{x[r * channels + i]} - m) / std::sqrt(variance + 1e-5);
        EXPECT_NEAR(double{y[r * channels + i]}, unit * double{w[i]} + double{b[i]}, 2e-4);
      }
    }
  }
}

TEST(kernels, spread_and_column_sums) {
  for (std::size_t columns = 0; columns < 40; ++columns) {
    const std::vector<float> bias = line(1, 2, columns), x = line(-8, 8, 3 * columns);
    std::vector<float> y(3 * columns), z(3 * columns), sums(columns, 9.0f);
    spread(bias.data(), nullptr, 3, columns, y.data());
    spread(bias.data(), x.data(), 3, columns, z.data());
    column_sums(x.data(), 3, columns, sums.data());
    for (std::size_t i = 0; i < columns; ++i) {
      EXPECT_EQ(y[columns + i], bias[i]);
      EXPECT_EQ(z[2 * columns + i], x[2 * columns + i] + bias[i]);
      EXPECT_EQ(sums[i], x[i] + x[columns + i] + x[2 * columns + i]);
    }
  }
}

}  // namespace
}  // namespace zero::trainer
