#include "trainer/initial_values.hpp"

#include "trainer/counter_random.hpp"

#include <zero/base/error.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

namespace zero::trainer {

namespace {

// Natural logarithm of a positive normal number by atanh's series: relative error below 1e-11,
// far inside fp32. Written out because std::log differs between C libraries.
double logarithm(double x) noexcept {
  const auto bits = std::bit_cast<std::uint64_t>(x);
  // Mantissa in [sqrt(1/2), sqrt(2)), so that the series argument is below 0.1716.
  const std::uint64_t shifted = bits + (0x3ff0000000000000u - 0x3fe6a09e667f3bcdu);
  const auto exponent = static_cast<double>(static_cast<std::int32_t>(shifted >> 52) - 1023);
  const double mantissa =
      std::bit_cast<double>(bits - ((shifted & 0xfff0000000000000u) - 0x3ff0000000000000u));
  const double s = (mantissa - 1.0) / (mantissa + 1.0);
  const double t = s * s;
  const double series =
      1.0 +
      t * (1.0 / 3 +
           t * (1.0 / 5 +
                t * (1.0 / 7 + t * (1.0 / 9 + t * (1.0 / 11 + t * (1.0 / 13 + t * (1.0 / 15)))))));
  return exponent * 0.6931471805599453 + 2.0 * s * series;
}

// Sine and cosine of x in [-pi/4, pi/4] by their series, error below 1e-12.
double small_sine(double x) noexcept {
  const double t = x * x;
  return x *
         (1 - t * (1.0 / 6 -
                   t * (1.0 / 120 - t * (1.0 / 5040 - t * (1.0 / 362880 - t * (1.0 / 39916800))))));
}
double small_cosine(double x) noexcept {
  const double t = x * x;
  return 1 - t * (0.5 - t * (1.0 / 24 -
                             t * (1.0 / 720 - t * (1.0 / 40320 -
                                                   t * (1.0 / 3628800 - t * (1.0 / 479001600))))));
}

constexpr std::size_t block_pairs = 256;

// Pairs [first, first + block_pairs) of a sequence, by Box and Muller's transform.
void normal_block(std::uint64_t key, std::uint64_t first,
                  std::array<float, 2 * block_pairs>& out) noexcept {
  std::array<double, block_pairs> uniform, turn, quadrant_sign;
  std::array<double, block_pairs> swap;
  for (std::size_t i = 0; i < block_pairs; ++i) {
    const std::uint64_t bits = random_bits(key, first + i);
    uniform[i] = (static_cast<double>(static_cast<std::uint32_t>(bits >> 32)) + 0.5) * 0x1p-32;
    const auto low = static_cast<std::uint32_t>(bits);
    turn[i] = (static_cast<double>(low & 0x3fffffffu) * 0x1p-30 - 0.5) * 1.5707963267948966;
    quadrant_sign[i] = (low & 0x80000000u) != 0 ? -1.0 : 1.0;
    swap[i] = (low & 0x40000000u) != 0 ? 1.0 : 0.0;
  }
  for (std::size_t i = 0; i < block_pairs; ++i) {
    const double radius = quadrant_sign[i] * std::sqrt(-2.0 * logarithm(uniform[i]));
    const double sine = radius * small_sine(turn[i]);
    const double cosine = radius * small_cosine(turn[i]);
    // A quarter turn further: (c, s) becomes (-s, c).
    out[2 * i] = static_cast<float>(swap[i] != 0.0 ? -sine : cosine);
    out[2 * i + 1] = static_cast<float>(swap[i] != 0.0 ? cosine : sine);
  }
}

bool ends_with(const std::string& text, const char* end) {
  const std::string tail(end);
  return text.size() >= tail.size() &&
         text.compare(text.size() - tail.size(), tail.size(), tail) == 0;
}

}  // namespace

void normal_values(std::uint64_t key, std::uint64_t first, span<float> out) {
  std::array<float, 2 * block_pairs> block;
  const std::uint64_t last = first + out.size();
  for (std::uint64_t at = first; at < last;) {
    const std::uint64_t start = at / block.size() * block.size();
    const std::uint64_t end = std::min<std::uint64_t>(last, start + block.size());
    normal_block(key, start / 2, block);
    std::copy(block.begin() + static_cast<std::ptrdiff_t>(at - start),
              block.begin() + static_cast<std::ptrdiff_t>(end - start), out.data() + (at - first));
    at = end;
  }
}

initial_values::initial_values(const gpt_config& config, std::uint64_t seed) {
  const float residual_deviation =
      0.02f / std::sqrt(2.0f * static_cast<float>(std::max(config.layers, 1)));
  for (const partition::unit_spec& unit : model_of(config, dtype::fp32).units) {
    for (const partition::parameter_spec& parameter : unit.parameters) {
      distribution d{random_key(seed, parameter.name), 1, 0.0f, 0.0f};
      for (const std::uint64_t dimension : parameter.shape) d.count *= dimension;
      if (parameter.shape.size() == 2) {
        d.deviation = ends_with(parameter.name, "c_proj.weight") ? residual_deviation : 0.02f;
      } else if (ends_with(parameter.name, "weight")) {
        d.constant = 1.0f;
      }
      parameters_.emplace(parameter.name, d);
    }
  }
}

void initial_values::read(const std::string& parameter, std::uint64_t offset, span<float> out) {
  const auto found = parameters_.find(parameter);
  if (found == parameters_.end()) {
    throw invalid_argument("the model has no parameter '" + parameter + "'");
  }
  const distribution& d = found->second;
  if (offset > d.count || out.size() > d.count - offset) {
    throw invalid_argument("'" + parameter + "' has " + std::to_string(d.count) +
                           " elements; asked for " + std::to_string(out.size()) + " from " +
                           std::to_string(offset));
  }
  if (d.deviation == 0.0f) {
    std::fill(out.begin(), out.end(), d.constant);
    return;
  }
  normal_values(d.key, offset, out);
  for (float& value : out) value *= d.deviation;
}

}  // namespace zero::trainer
