// The bodies of the other kernels, run on the host thread by thread, against the host's kernels or
// plain loops in double.

#include "trainer/cuda/column_kernels.hpp"
#include "trainer/cuda/element_kernels.hpp"
#include "trainer/cuda/row_kernels.hpp"
#include "trainer/cuda/token_order.hpp"
#include "trainer/kernels.hpp"
#include "trainer/model_step.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

namespace zero::trainer::cuda {
namespace {

using testing::generator;

template <typename Element>
std::vector<Element> random_elements(std::size_t count, std::uint32_t seed, float scale = 1.0f) {
  generator random(seed);
  std::vector<Element> values(count);
  for (Element& value : values) narrow(scale * random(), value);
  return values;
}

template <typename Element>
std::vector<float> wide(const std::vector<Element>& values) {
  std::vector<float> result;
  for (const Element value : values) result.push_back(widened(value));
  return result;
}

void expect_near(const std::vector<float>& made, const std::vector<float>& expected,
                 double tolerance) {
  ASSERT_EQ(made.size(), expected.size());
  double worst = 0, largest = 0;
  for (std::size_t i = 0; i < made.size(); ++i) {
    ASSERT_TRUE(std::isfinite(made[i])) << i;
    worst = std::max(worst, std::abs(double{made[i]} - double{expected[i]}));
    largest = std::max(largest, std::abs(double{expected[i]}));
  }
  EXPECT_GT(largest, 0.0);
  EXPECT_LT(worst, tolerance * largest);
}

template <typename Element>
constexpr double rounding = std::is_same_v<Element, float>    ? 1e-6
                            : std::is_same_v<Element, bf16_t> ? 0x1p-8
                                                              : 0x1p-11;

// ---- LayerNorm ---------------------------------------------------------------------------------

template <typename Element, int Width>
void layer_norm_case(std::size_t rows, std::size_t channels) {
  SCOPED_TRACE(std::to_string(rows) + " by " + std::to_string(channels));
  const auto x = random_elements<Element>(rows * channels, 1, 3.0f);
  const auto weight = random_elements<Element>(channels, 2);
  const auto bias = random_elements<Element>(channels, 3);
  const auto dy = random_elements<Element>(rows * channels, 4);
  auto dx = random_elements<Element>(rows * channels, 5);
  std::vector<Element> y(rows * channels);
  std::vector<float> mean(rows), rstd(rows);
  auto expected_dx = wide(dx);

  const thread_block<128> block(true);
  const int count = row_blocks(static_cast<int>(rows), block.warps);
  const int r = static_cast<int>(rows), c = static_cast<int>(channels);
  for (int i = 0; i < count; ++i) {
    norm_forward_body<Width>(
        block, i,
        norm_forward_arguments<Element>{x.data(), weight.data(), bias.data(), y.data(), mean.data(),
                                        rstd.data(), r, c});
    norm_backward_body<Width>(
        block, i,
        norm_backward_arguments<Element>{x.data(), weight.data(), mean.data(), rstd.data(),
                                         dy.data(), dx.data(), r, c});
  }
  std::vector<float> host_y(rows * channels), host_mean(rows), host_rstd(rows);
  std::vector<float> host_dw(channels), host_db(channels);
  layer_norm(wide(x).data(), wide(weight).data(), wide(bias).data(), rows, channels, host_y.data(),
             host_mean.data(), host_rstd.data());
  layer_norm_backward(wide(x).data(), wide(weight).data(), host_mean.data(), host_rstd.data(),
                      wide(dy).data(), rows, channels, expected_dx.data(), host_dw.data(),
                      host_db.data());
  expect_near(wide(y), host_y, 2 * rounding<Element>);
  expect_near(mean, host_mean, 1e-5);
  expect_near(rstd, host_rstd, 1e-5);
  expect_near(wide(dx), expected_dx, 2 * rounding<Element>);
}

TEST(cuda_kernels, layer_norm_and_its_gradient_are_the_hosts) {
  layer_norm_case<float, 1>(1, 3);
  layer_norm_case<float, 1>(7, 255);
  layer_norm_case<float, 4>(9, 256);
  layer_norm_case<bf16_t, 8>(5, 768);
  layer_norm_case<bf16_t, 1>(3, 51);
  layer_norm_case<fp16_t, 8>(4, 8);
}

// ---- sums over rows ----------------------------------------------------------------------------

template <int Width, typename Element, typename Terms>
std::vector<std::vector<float>> column_sums_of(const column_shape& shape, const Terms& terms) {
  const thread_block<256> block(true);
  std::vector<float> room(column_room<Terms::sums, Width>);
  std::vector<float> partial(std::size_t(Terms::sums * shape.chunks() * shape.columns), NAN);
  for (int i = 0; i < shape.blocks(Width); ++i) {
    column_chunk_body<Width>(block, i, shape, terms, partial.data(), room.data());
  }
  std::vector<std::vector<float>> result;
  for (int sum = 0; sum < Terms::sums; ++sum) {
    std::vector<Element> out(std::size_t(shape.columns));
    for (Element& value : out) narrow(1.0f, value);
    const add_column_sums<Element> add{
        partial.data() + std::size_t(sum) * shape.chunks() * shape.columns, out.data(),
        shape.chunks(), shape.columns};
    for (std::size_t column = 0; column < out.size(); ++column) add(column);
    result.push_back(wide(out));
  }
  return result;
}

TEST(cuda_kernels, column_sums_are_sums_and_are_added) {
  for (const auto& [rows, columns] :
       std::vector<std::pair<int, int>>{{1, 1}, {7, 255}, {129, 66}, {1000, 70}, {9000, 2}}) {
    SCOPED_TRACE(std::to_string(rows) + " by " + std::to_string(columns));
    const auto dy = random_elements<float>(std::size_t(rows * columns), 9);
    std::vector<float> expected(static_cast<std::size_t>(columns));
    for (int c = 0; c < columns; ++c) {
      double sum = 1.0;
      for (int r = 0; r < rows; ++r) sum += double{dy[std::size_t(r * columns + c)]};
      expected[std::size_t(c)] = static_cast<float>(sum);
    }
    const column_shape shape{rows, columns};
    const bias_terms<float> terms{dy.data()};
    const auto narrow_sums = column_sums_of<1, float>(shape, terms);
    expect_near(narrow_sums[0], expected, 2e-6);
    if (columns % 2 == 0) {
      // The width changes who sums, never the order of a sum.
      EXPECT_EQ((column_sums_of<2, float>(shape, terms)[0]), narrow_sums[0]);
    }
  }
}

TEST(cuda_kernels, gradients_of_layer_norms_parameters_are_the_hosts) {
  const std::size_t rows = 300, channels = 66;
  const auto x = random_elements<float>(rows * channels, 1, 2.0f);
  const auto dy = random_elements<float>(rows * channels, 2);
  const std::vector<float> weight(channels, 1.0f), bias(channels, 0.0f);
  std::vector<float> y(rows * channels), mean(rows), rstd(rows), dx(rows * channels);
  std::vector<float> dweight(channels), dbias(channels);
  layer_norm(x.data(), weight.data(), bias.data(), rows, channels, y.data(), mean.data(),
             rstd.data());
  layer_norm_backward(x.data(), weight.data(), mean.data(), rstd.data(), dy.data(), rows, channels,
                      dx.data(), dweight.data(), dbias.data());
  for (auto* expected : {&dweight, &dbias}) {
    for (float& value : *expected) value += 1.0f;
  }
  const auto made =
      column_sums_of<2, float>({static_cast<int>(rows), static_cast<int>(channels)},
                               norm_terms<float>{x.data(), dy.data(), mean.data(), rstd.data()});
  expect_near(made[0], dweight, 2e-6);
  expect_near(made[1], dbias, 2e-6);
}

TEST(cuda_kernels, chunks_of_rows_cover_each_row_once) {
  for (const int rows : {0, 1, 2, 127, 128, 129, 8191, 8192, 100003}) {
    const column_shape shape{rows, 1};
    EXPECT_EQ(shape.first_row(0), 0);
    EXPECT_EQ(shape.first_row(shape.chunks()), rows);
    for (int i = 0; i < shape.chunks(); ++i) EXPECT_LE(shape.first_row(i), shape.first_row(i + 1));
  }
}

// ---- cross-entropy -----------------------------------------------------------------------------

template <typename Element>
void cross_entropy_case(int vocabulary, double tolerance) {
  SCOPED_TRACE(vocabulary);
  constexpr int width = full_width<Element>;
  const int stride = (vocabulary + width - 1) / width * width;
  const int rows = 3;
  auto logits = random_elements<Element>(std::size_t(rows * stride), 31, 9.0f);
  const auto before = wide(logits);
  const std::vector<std::int32_t> targets{0, vocabulary - 1, vocabulary / 2};
  std::vector<float> losses(rows);
  const thread_block<256> block(true);
  std::vector<float> room(block.warps);
  const auto run = [&](bool slopes) {
    for (int row = 0; row < rows; ++row) {
      cross_entropy_body(
          block, row,
          cross_entropy_arguments<Element>{logits.data(), targets.data(), losses.data(), vocabulary,
                                           stride, slopes},
          room.data());
    }
  };
  run(false);
  EXPECT_EQ(wide(logits), before);
  const auto kept = losses;
  run(true);
  EXPECT_EQ(losses, kept);
  for (int row = 0; row < rows; ++row) {
    const auto at = [&](int c) { return std::size_t(row * stride + c); };
    double top = -1e30, sum = 0;
    for (int c = 0; c < vocabulary; ++c) top = std::max(top, double{before[at(c)]});
    for (int c = 0; c < vocabulary; ++c) sum += std::exp(double{before[at(c)]} - top);
    const int target = targets[std::size_t(row)];
    EXPECT_NEAR(losses[std::size_t(row)], std::log(sum) + top - double{before[at(target)]}, 2e-5);
    for (int c = 0; c < stride; ++c) {
      const double made = widened(logits[at(c)]);
      if (c >= vocabulary) {
        EXPECT_EQ(made, before[at(c)]);  // padding stays as it is
        continue;
      }
      const double p = std::exp(double{before[at(c)]} - top) / sum;
      EXPECT_NEAR(made, c == target ? p - 1 : p, tolerance);
    }
  }
}

TEST(cuda_kernels, cross_entropy_and_its_gradient) {
  for (const int vocabulary : {1, 2, 7, 257, 5003}) {
    cross_entropy_case<float>(vocabulary, 1e-6);
    cross_entropy_case<bf16_t>(vocabulary, 4e-3);
    cross_entropy_case<fp16_t>(vocabulary, 5e-4);
  }
}

TEST(cuda_kernels, losses_are_added_in_double) {
  for (const int count : {0, 1, 255, 257, 10000}) {
    const auto losses = random_elements<float>(std::size_t(count), 77);
    double expected = 2.5, loss = 2.5;
    for (const float value : losses) expected += double{value};
    const thread_block<256> block(true);
    std::vector<double> room(256, NAN);
    add_losses_body(block, losses.data(), count, &loss, room.data());
    EXPECT_NEAR(loss, expected, 1e-10);
  }
}

// ---- embedding ---------------------------------------------------------------------------------

TEST(cuda_kernels, token_order_holds_every_row_once) {
  for (const std::size_t rows : {0u, 1u, 64u, 65u, 1000u, 5000u}) {
    for (const int vocabulary : {1, 3, 257, 50257}) {
      const auto tokens = testing::random_tokens(rows, vocabulary, 5);
      const token_order limits = token_order_limits(rows);
      std::vector<std::uint64_t> keys(rows);
      std::vector<std::int32_t> order(rows);
      std::vector<token_piece> pieces(limits.pieces);
      std::vector<token_join> joins(limits.joins);
      const token_order made =
          order_tokens(tokens, keys.data(), order.data(), pieces.data(), joins.data());
      EXPECT_LE(made.pieces, limits.pieces);
      EXPECT_LE(made.joins, limits.joins);
      EXPECT_LE(made.slots, limits.slots);
      std::vector<int> seen(rows);
      std::map<std::int32_t, int> direct;
      for (std::size_t i = 0; i < made.pieces; ++i) {
        EXPECT_LE(pieces[i].count, rows_of_piece);
        if (pieces[i].slot < 0) {
          EXPECT_EQ(direct[pieces[i].token]++, 0);
        }
        for (int r = 0; r < pieces[i].count; ++r) {
          const auto row = std::size_t(order[std::size_t(pieces[i].first + r)]);
          EXPECT_EQ(tokens[row], pieces[i].token);
          ++seen[row];
        }
      }
      EXPECT_EQ(std::count(seen.begin(), seen.end(), 1), std::ptrdiff_t(rows));
      std::int32_t slots = 0;
      for (std::size_t i = 0; i < made.joins; ++i) {
        EXPECT_EQ(joins[i].first_slot, slots);
        EXPECT_EQ(direct.count(joins[i].token), 0u);
        slots += joins[i].count;
      }
      EXPECT_EQ(std::size_t(slots), made.slots);
    }
  }
}

TEST(cuda_kernels, embedding_and_its_gradient) {
  const int vocabulary = 3, channels = 6, length = 50, sequences = 5;
  const auto tokens = testing::random_tokens(length * sequences, vocabulary, 2);
  const auto wte = random_elements<float>(std::size_t(vocabulary * channels), 1);
  const auto wpe = random_elements<float>(std::size_t(length * channels), 2);
  const auto dy = random_elements<float>(tokens.size() * channels, 3);
  std::vector<float> out(dy.size()), dwte(wte.size(), 1.0f), dwpe(wpe.size(), 1.0f);
  for (std::size_t i = 0; i < out.size() / 2; ++i) {
    embed<float, 2>{tokens.data(), wte.data(), wpe.data(), out.data(), channels, length}(i);
  }
  const token_order limits = token_order_limits(tokens.size());
  std::vector<std::uint64_t> keys(tokens.size());
  std::vector<std::int32_t> order(tokens.size());
  std::vector<token_piece> pieces(limits.pieces);
  std::vector<token_join> joins(limits.joins);
  const token_order made =
      order_tokens(tokens, keys.data(), order.data(), pieces.data(), joins.data());
  EXPECT_GT(made.joins, 0u);
  std::vector<float> slots(limits.slots * channels, NAN);
  for (std::size_t i = 0; i < made.pieces * channels; ++i) {
    embed_pieces<float>{order.data(), pieces.data(), dy.data(),
                        dwte.data(),  slots.data(),  channels}(i);
  }
  for (std::size_t i = 0; i < made.joins * channels; ++i) {
    embed_joins<float>{joins.data(), slots.data(), dwte.data(), channels}(i);
  }
  for (std::size_t i = 0; i < dwpe.size(); ++i) {
    embed_positions<float>{dy.data(), dwpe.data(), channels, length, sequences}(i);
  }
  std::vector<double> wte_sums(wte.size(), 1.0), wpe_sums(wpe.size(), 1.0);
  for (std::size_t row = 0; row < tokens.size(); ++row) {
    for (std::size_t c = 0; c < channels; ++c) {
      const std::size_t token = std::size_t(tokens[row]) * channels + c;
      const std::size_t position = row % length * channels + c;
      EXPECT_EQ(out[row * channels + c], wte[token] + wpe[position]);
      wte_sums[token] += double{dy[row * channels + c]};
      wpe_sums[position] += double{dy[row * channels + c]};
    }
  }
  expect_near(dwte, {wte_sums.begin(), wte_sums.end()}, 1e-6);
  expect_near(dwpe, {wpe_sums.begin(), wpe_sums.end()}, 1e-6);
}

// ---- GELU, biases, elements --------------------------------------------------------------------

TEST(cuda_kernels, gelu_and_its_gradient_are_the_hosts) {
  std::vector<float> x;
  for (float value = -30.0f; value < 30.0f; value += 0.037f) x.push_back(value);
  for (const float value : {0.0f, -0.0f, 1e10f, -1e10f, 3e-39f}) x.push_back(value);
  std::vector<float> made(x.size()), slope(x.size(), 2.0f), expected(x.size());
  std::vector<float> expected_slope(x.size(), 2.0f);
  trainer::gelu(x.data(), x.size(), expected.data());
  trainer::gelu_backward(x.data(), x.size(), expected_slope.data());
  for (std::size_t i = 0; i < x.size(); ++i) {
    gelu_forward<float>{x.data(), made.data()}(i);
    cuda::gelu_backward<float>{x.data(), slope.data()}(i);
    EXPECT_NEAR(made[i], expected[i], 2e-6f * std::max(1.0f, std::abs(expected[i]))) << x[i];
    EXPECT_NEAR(slope[i], expected_slope[i], 4e-6f) << x[i];
  }
}

TEST(cuda_kernels, biases_are_added_by_column) {
  const std::vector<float> bias{1, 2, 3};
  std::vector<float> y{10, 20, 30, 40, 50, 60};
  for (std::size_t i = 0; i < y.size(); ++i) add_bias<float>{bias.data(), y.data(), 3}(i);
  EXPECT_EQ(y, (std::vector<float>{11, 22, 33, 41, 52, 63}));
}

TEST(cuda_kernels, a_pair_has_its_first_element_below) {
  EXPECT_EQ(packed<bf16_t>(1.0f, -2.0f), 0xc0003f80u);
  EXPECT_EQ(packed<fp16_t>(1.0f, -2.0f), 0xc0003c00u);
}

}  // namespace
}  // namespace zero::trainer::cuda
