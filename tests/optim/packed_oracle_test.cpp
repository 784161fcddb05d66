// Updates of packed spans against what the formats promise: the plain fp32 update, whose own
// oracle is elsewhere, from the values that the bytes mean, which are written out here.
#include "packed_problem.hpp"

#include <algorithm>
#include <cmath>

namespace zero::testing {
namespace {

// Of exp_avg_sq and sum.
bool are_squares(algorithm a, int state) {
  return a == algorithm::adagrad || ((a == algorithm::adam || a == algorithm::adamw) && state == 1);
}

// What codes mean: multiples of the unit up to 15, then 8 numbers a binade.
double meaning(int number, double unit) {
  return number < 8 ? number * unit : (8 + number % 8) * std::ldexp(unit, number / 8 - 1);
}

// The values of a state array.
std::vector<float> values_of(packed_problem& p, int state) {
  std::vector<float> values(p.count);
  unsigned char* const bytes = p.state[state].data();
  for (std::size_t i = 0; i < p.count; ++i) {
    if (p.of.formats.states == state_format::fp32) values[i] = p.state[state].as<float>()[i];
    if (p.of.formats.states == state_format::bf16) {
      values[i] = to_float(p.state[state].as<bf16_t>()[i]);
    }
    if (p.of.formats.states != state_format::block8) continue;
    unsigned char* const block = bytes + i / 128 * 132;
    float unit = 0.0F;
    std::memcpy(&unit, block + 128, 4);
    const int code = block[i % 128];
    const bool squares = are_squares(p.of.rule, state);
    const double value = meaning(squares ? code : code % 128, unit);
    values[i] = static_cast<float>(!squares && code >= 128 ? -value : value);
  }
  return values;
}

// The fp32 problem that a packed one stands for.
struct fp32_problem {
  explicit fp32_problem(packed_problem& p) : weights(p.weights()) {
    for (int s = 0; s < optim::state_count(p.of.rule); ++s) state[s] = values_of(p, s);
  }
  void update(packed_problem& p, const std::vector<update_run>& runs, const step_scalars& scalars) {
    for (const update_run& run : runs) {
      update_spans s;
      s.count = run.count;
      s.gradient = p.spans().gradient.part(run.offset, run.count);
      s.master = weights.data() + run.offset;
      for (int i = 0; i < 2; ++i) {
        if (!state[i].empty()) s.state[i] = state[i].data() + run.offset;
      }
      optim::update(p.of.rule, run.constants, scalars, s);
    }
  }
  std::vector<float> weights;
  std::vector<float> state[2];
};

// Whether a state, kept in fewer bits, can have come of `exact`.
bool may_be(float kept, float exact, const packed_problem& p, bool squares, float unit) {
  if (p.of.formats.states == state_format::fp32) return kept == exact;
  if (p.of.formats.states == state_format::bf16) {
    const std::uint32_t cut = zero::detail::bits_of(exact) & 0xffff0000U;
    return kept == zero::detail::float_of(cut) ||
           (kept == zero::detail::float_of(cut + 0x10000U) && zero::detail::bits_of(exact) != cut);
  }
  if (squares && exact != 0.0F && std::fabs(exact) < unit) return kept == unit;
  const double step = std::max<double>(unit, std::fabs(double{exact}) / 8);
  return std::fabs(double{kept} - double{exact}) <= step && (exact != 0.0F || kept == 0.0F);
}

TEST(packed_oracle, every_format_keeps_what_it_promises) {
  std::mt19937_64 random(11);
  for_each_packed_case([&](const packed_case& how) {
    packed_problem problem(how, 20 * 128);
    problem.fill(random);
    fp32_problem exact(problem);
    const std::vector<update_run> runs = odd_runs(how.rule, problem.count);
    exact.update(problem, runs, {4, 0.37F});
    optim::update_packed(how.rule, runs, {4, 0.37F}, problem.spans());
    const std::vector<float> weights = problem.weights();
    std::vector<float> kept[2];
    for (int s = 0; s < optim::state_count(how.rule); ++s) kept[s] = values_of(problem, s);
    for (std::size_t i = 0; i < problem.count; ++i) {
      const float w = exact.weights[i];
      if (how.formats.master != master_format::none) {
        ASSERT_EQ(weights[i], w) << i;
      } else {
        const float step = *how.parameter == dtype::bf16 ? std::fabs(w) / 128
                                                         : std::max(std::fabs(w) / 1024, 0x1p-24F);
        ASSERT_LE(std::fabs(weights[i] - w), step) << i;
      }
      for (int s = 0; s < optim::state_count(how.rule); ++s) {
        float unit = 0.0F;
        if (how.formats.states == state_format::block8) {
          std::memcpy(&unit, problem.state[s].data() + i / 128 * 132 + 128, 4);
        }
        ASSERT_TRUE(may_be(kept[s][i], exact.state[s][i], problem, are_squares(how.rule, s), unit))
            << "state " << s << " of " << i << ": " << exact.state[s][i] << " became "
            << kept[s][i];
      }
    }
    if (how.formats.master == master_format::fp32 && how.parameter) {
      for (std::size_t i = 0; i < problem.count; ++i) {
        const bool updated = std::any_of(runs.begin(), runs.end(), [&](const update_run& r) {
          return i >= r.offset && i < r.offset + r.count;
        });
        if (!updated) continue;
        const std::uint16_t bits = problem.parameter.as<std::uint16_t>()[i];
        ASSERT_EQ(bits, *how.parameter == dtype::bf16 ? to_bf16(weights[i]).bits
                                                      : to_fp16(weights[i]).bits);
      }
    }
  });
}

// Over many steps: the weights behind parameters and remainders are those of an fp32 master, bit
// for bit, and parameters are theirs but for the rounding of exact ties.
TEST(packed_oracle, remainders_train_as_fp32_masters_do) {
  for (const algorithm a : algorithms) {
    std::mt19937_64 random(12);
    packed_problem remainder(
        {a, dtype::bf16, {state_format::fp32, master_format::remainder}, dtype::bf16}, 64 * 128);
    packed_problem master({a, dtype::bf16, {}, dtype::bf16}, 64 * 128);
    const update_run whole[] = {{0, master.count, constants_of(a)}};
    remainder.fill(random);
    random.seed(12);
    master.fill(random);
    std::size_t ties = 0;
    for (std::uint64_t step = 4; step < 60; ++step) {
      remainder.fill_gradient(random);
      master.gradient = remainder.gradient;
      optim::update_packed(a, whole, {step, 1.0F}, remainder.spans());
      optim::update_packed(a, whole, {step, 1.0F}, master.spans());
      ASSERT_EQ(remainder.weights(), master.weights());
      for (std::size_t i = 0; i < master.count; ++i) {
        const std::uint16_t lower = remainder.master.as<std::uint16_t>()[i];
        if (lower == 0x8000) {
          ++ties;
          continue;
        }
        ASSERT_EQ(remainder.parameter.as<std::uint16_t>()[i],
                  master.parameter.as<std::uint16_t>()[i]);
      }
      ASSERT_TRUE(remainder.state[0] == master.state[0] && remainder.state[1] == master.state[1]);
    }
    EXPECT_LT(ties, std::size_t{100});  // one in 2^16 weights
  }
}

// A change of a hundredth of a step of the parameter gets through on average, where rounding to
// nearest would lose it for ever.
TEST(packed_oracle, parameters_without_masters_follow_small_changes) {
  for (const dtype type : {dtype::bf16, dtype::fp16}) {
    packed_problem problem(
        {algorithm::sgd, dtype::fp32, {state_format::fp32, master_format::none}, type}, 64 * 128);
    std::vector<float> ones(problem.count, 1.25F);
    optim::pack_master({ones.data(), ones.size(), dtype::fp32}, problem.spans());
    std::fill_n(problem.gradient.as<float>(), problem.count, 1.0F);
    const double step_of_parameter = type == dtype::bf16 ? 0x1p-7 : 0x1p-10;
    hyper h;
    h.momentum = 0.0F;
    h.learning_rate = static_cast<float>(-step_of_parameter / 100);
    const update_run whole[] = {{0, problem.count, h}};
    for (std::uint64_t step = 1; step <= 50; ++step) {
      optim::update_packed(algorithm::sgd, whole, {step, 1.0F}, problem.spans());
    }
    double mean = 0.0;
    for (const float w : problem.weights()) mean += (w - 1.25) / static_cast<double>(problem.count);
    // 50 hundredths of a step; the standard deviation of the mean is 0.7 / sqrt(8192) of one.
    EXPECT_NEAR(mean / step_of_parameter, 0.5, 0.04);
  }
}

// Averages of noise stay what they are in fp32, to within a few hundredths, though a step changes
// them by a thousandth, which is less than half a step of either format.
TEST(packed_oracle, averages_in_few_bits_are_not_biased) {
  constexpr std::size_t count = 64 * 128;
  constexpr int steps = 2500;
  hyper h = optim::default_hyper(algorithm::adamw);
  for (const state_format format : {state_format::bf16, state_format::block8}) {
    packed_problem packed(
        {algorithm::adamw, dtype::fp32, {format, master_format::fp32}, std::nullopt}, count);
    packed_problem exact({algorithm::adamw, dtype::fp32, {}, std::nullopt}, count);
    const update_run whole[] = {{0, count, h}};
    std::mt19937_64 random(13);
    std::vector<float> noise(4 * count);
    for (float& v : noise) v = normal_value(random);
    for (std::uint64_t step = 1; step <= steps; ++step) {
      std::copy_n(noise.data() + random() % (3 * count), count, packed.gradient.as<float>());
      exact.gradient = packed.gradient;
      optim::update_packed(algorithm::adamw, whole, {step, 1.0F}, packed.spans());
      optim::update_packed(algorithm::adamw, whole, {step, 1.0F}, exact.spans());
    }
    const std::vector<float> kept = values_of(packed, 1);
    const std::vector<float> full = values_of(exact, 1);
    double sum = 0.0;
    double square = 0.0;
    for (std::size_t i = 0; i < count; ++i) {
      const double ratio = double{kept[i]} / full[i];
      sum += ratio / count;
      square += (ratio - 1) * (ratio - 1) / count;
    }
    EXPECT_NEAR(sum, 1.0, 0.03) << optim::name_of(format);
    EXPECT_LT(std::sqrt(square), format == state_format::bf16 ? 0.1 : 0.35);
  }
}

}  // namespace
}  // namespace zero::testing
