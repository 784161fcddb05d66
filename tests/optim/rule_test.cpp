#include <zero/base/error.hpp>
#include <zero/optim/rule.hpp>

#include <gtest/gtest.h>

#include <string>

namespace zero::testing {
namespace {

using optim::algorithm;

constexpr algorithm algorithms[] = {algorithm::adamw, algorithm::adam, algorithm::sgd,
                                    algorithm::lion, algorithm::adagrad};

TEST(rule, names_and_back) {
  const char* names[] = {"adamw", "adam", "sgd", "lion", "adagrad"};
  for (int i = 0; i < 5; ++i) {
    EXPECT_STREQ(optim::name_of(algorithms[i]), names[i]);
    EXPECT_EQ(optim::parse_algorithm(names[i]), algorithms[i]);
  }
  EXPECT_STREQ(optim::name_of(static_cast<algorithm>(99)), "unknown");
}

TEST(rule, refuses_other_names_and_lists_the_accepted) {
  for (const char* name : {"", "AdamW", "adamw ", "muon"}) {
    try {
      static_cast<void>(optim::parse_algorithm(name));
      ADD_FAILURE() << name;
    } catch (const invalid_argument& e) {
      const std::string text = e.what();
      EXPECT_NE(text.find("'" + std::string(name) + "'"), std::string::npos) << text;
      for (const algorithm a : algorithms) {
        EXPECT_NE(text.find(optim::name_of(a)), std::string::npos) << text;
      }
      EXPECT_EQ(e.kind(), error_class::usage);
    }
  }
}

TEST(rule, states) {
  EXPECT_EQ(optim::state_count(algorithm::adamw), 2);
  EXPECT_EQ(optim::state_count(algorithm::adam), 2);
  EXPECT_EQ(optim::state_count(algorithm::sgd), 1);
  EXPECT_EQ(optim::state_count(algorithm::lion), 1);
  EXPECT_EQ(optim::state_count(algorithm::adagrad), 1);
  for (const algorithm a : {algorithm::adamw, algorithm::adam}) {
    EXPECT_STREQ(optim::state_name(a, 0), "exp_avg");
    EXPECT_STREQ(optim::state_name(a, 1), "exp_avg_sq");
  }
  EXPECT_STREQ(optim::state_name(algorithm::sgd, 0), "momentum_buffer");
  EXPECT_STREQ(optim::state_name(algorithm::lion, 0), "exp_avg");
  EXPECT_STREQ(optim::state_name(algorithm::adagrad, 0), "sum");
  for (const algorithm a : algorithms)
    EXPECT_STREQ(optim::state_name(a, optim::state_count(a)), "");
}

TEST(rule, customary_constants) {
  const optim::hyper adamw = optim::default_hyper(algorithm::adamw);
  EXPECT_EQ(adamw.learning_rate, 1e-3F);
  EXPECT_EQ(adamw.weight_decay, 1e-2F);
  EXPECT_EQ(adamw.beta1, 0.9F);
  EXPECT_EQ(adamw.beta2, 0.999F);
  EXPECT_EQ(adamw.epsilon, 1e-8F);
  EXPECT_EQ(optim::default_hyper(algorithm::adam).weight_decay, 0.0F);
  EXPECT_EQ(optim::default_hyper(algorithm::sgd).momentum, 0.9F);
  EXPECT_FALSE(optim::default_hyper(algorithm::sgd).nesterov);
  EXPECT_EQ(optim::default_hyper(algorithm::lion).beta2, 0.99F);
  EXPECT_EQ(optim::default_hyper(algorithm::lion).learning_rate, 1e-4F);
  EXPECT_EQ(optim::default_hyper(algorithm::adagrad).epsilon, 1e-10F);
}

}  // namespace
}  // namespace zero::testing
