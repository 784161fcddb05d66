// What fewer bits for optimizer states and master weights cost in loss: the reference GPT trained
// on two ranks in every format beside a run in fp32.
//
// Runs differ in nothing but formats, and are held against fp32 by the mean loss of their first 40
// steps and of their last half, mean over three seeds, in nats. Measured over twelve seeds, the
// last half of one run differs from fp32's by (mean, standard deviation):
//
//   remainder            -0.00002  0.00003     bf16 states, either master   0.00004  0.0002
//   block8, with master  -0.003    0.002       no master, any states       -0.003 to 0.0003  0.003
//
// The bounds are about five standard deviations of a mean of three beyond the mean, or more. What
// is broken costs 0.13 and more: squares 1 % too large after every update, parameters without a
// master rounded to nearest, remainders that are dropped; squares of zero lose the run altogether.
// (States in bf16 rounded to nearest need more steps than these to be seen; packed_oracle_test has
// them.)

#include "support/run_ranks.hpp"
#include "trainer/blas.hpp"
#include "trainer/counter_random.hpp"
#include "trainer/gpt.hpp"
#include "trainer/initial_values.hpp"
#include "trainer/training.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

namespace zero::trainer {
namespace {

using optim::master_format;
using optim::optimizer_formats;
using optim::state_format;

constexpr int ranks_of_run = 2;
constexpr int vocabulary = 128;
constexpr int steps = 300;
constexpr int beginning = 40;  // steps
constexpr std::array<std::uint64_t, 3> seeds{1, 2, 3};

// Every letter is followed by one of eight that belong to it and to whether the one before it was
// even, the first of them half of the time: pairs are learned soon, three in a row for long.
corpus text_with_a_law() {
  const std::uint64_t key = random_key(7, "text");
  std::vector<std::uint8_t> text{1, 2};
  for (std::uint64_t i = 2; i < 100000; ++i) {
    std::uint64_t choice = 0;
    for (std::uint64_t coins = random_bits(key, i); choice < 7 && coins % 2 == 1; coins /= 2) {
      ++choice;
    }
    const std::uint64_t of = text[i - 1] * 2U + text[i - 2] % 2U;
    text.push_back(static_cast<std::uint8_t>(random_bits(key + of, choice) % vocabulary));
  }
  return {std::move(text), 1, "a text with a law"};
}

training_options options_of(const optimizer_formats& formats, std::uint64_t seed) {
  training_options options;
  options.model = {"small", vocabulary, 2, 32, 2, 32};
  options.type = dtype::bf16;
  options.batch = 8;
  options.sequence = 32;
  options.seed = seed;
  options.schedule = {3e-3F, 0.1F, 20, steps, optim::decay_shape::cosine};
  options.engine.policy = partition::policy_of_stage(1);
  options.engine.clip_norm = 1.0;
  options.engine.formats = formats;
  options.engine.rounding_seed = seed;
  options.engine.groups.resize(2);
  for (parameter_group& group : options.engine.groups) {
    // Where an average is to remember a thousand steps, rounding to nearest would freeze it.
    group.constants.beta2 = 0.999F;
  }
  return options;
}

std::vector<double> losses_of(const optimizer_formats& formats, std::uint64_t seed,
                              const corpus& text) {
  std::vector<double> losses(steps);
  testing::run_ranks(ranks_of_run, [&](collectives::communicator& ranks) {
    const training_options options = options_of(formats, seed);
    const auto work = optim::make_host_processor();
    initial_values values(options.model, seed);
    training run(ranks, *work,
                 std::make_unique<gpt>(options.model, model_options_of(options, ranks.size())),
                 options, text, values);
    for (double& loss : losses) {
      const double now = run.step().loss;
      if (ranks.rank() == 0) loss = now;
    }
  });
  return losses;
}

double mean(const std::vector<double>& of, std::size_t first, std::size_t count) {
  const auto begin = of.begin() + static_cast<std::ptrdiff_t>(first);
  return std::accumulate(begin, begin + static_cast<std::ptrdiff_t>(count), 0.0) /
         static_cast<double>(count);
}

class formats_loss : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    set_blas_threads(1);
    for (const std::uint64_t seed : seeds) exact_.push_back(losses_of({}, seed, text_));
  }

  // How much worse than in fp32 at the beginning and over the last half, mean over seeds.
  struct cost {
    double first = 0.0;
    double last = 0.0;
  };
  static cost cost_of(const optimizer_formats& formats) {
    cost sum;
    for (std::size_t i = 0; i < seeds.size(); ++i) {
      const std::vector<double> losses = losses_of(formats, seeds[i], text_);
      sum.first += mean(losses, 0, beginning) - mean(exact_[i], 0, beginning);
      sum.last += mean(losses, steps / 2, steps / 2) - mean(exact_[i], steps / 2, steps / 2);
    }
    return {sum.first / seeds.size(), sum.last / seeds.size()};
  }

  static const corpus text_;
  static std::vector<std::vector<double>> exact_;
};
const corpus formats_loss::text_ = text_with_a_law();
std::vector<std::vector<double>> formats_loss::exact_;

TEST_F(formats_loss, the_run_in_fp32_learns) {
  for (const std::vector<double>& losses : exact_) {
    EXPECT_NEAR(losses.front(), std::log(double{vocabulary}), 0.1);  // knows nothing
    EXPECT_LT(mean(losses, steps - 20, 20), 0.6 * losses.front());
  }
}

struct bound {
  optimizer_formats formats;
  double first;
  double last;
};

class bounded : public formats_loss, public ::testing::WithParamInterface<bound> {};

TEST_P(bounded, costs_little_loss) {
  const cost worse = cost_of(GetParam().formats);
  RecordProperty("first", std::to_string(worse.first));
  RecordProperty("last", std::to_string(worse.last));
  EXPECT_LT(std::abs(worse.first), GetParam().first);
  EXPECT_LT(std::abs(worse.last), GetParam().last);
}

// Remainder is an fp32 master but for parameters at a tie. States are off by as much as one step of
// their format, and by 0 on average; a parameter without a master by up to one step of bf16.
INSTANTIATE_TEST_SUITE_P(
    of, bounded,
    ::testing::Values(bound{{state_format::fp32, master_format::remainder}, 5e-5, 2e-4},
                      bound{{state_format::bf16, master_format::fp32}, 2e-4, 1e-3},
                      bound{{state_format::bf16, master_format::remainder}, 2e-4, 1e-3},
                      bound{{state_format::block8, master_format::fp32}, 3e-3, 0.01},
                      bound{{state_format::block8, master_format::remainder}, 3e-3, 0.01},
                      bound{{state_format::fp32, master_format::none}, 3e-3, 0.01},
                      bound{{state_format::bf16, master_format::none}, 3e-3, 0.01},
                      bound{{state_format::block8, master_format::none}, 3e-3, 0.012}),
    [](const auto& one) {
      const optimizer_formats& f = one.param.formats;
      return std::string("states_") + name_of(f.states) + "_master_" + name_of(f.master);
    });

}  // namespace
}  // namespace zero::trainer
