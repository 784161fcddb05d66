// What update refuses, and that it then has written nothing.
#include <zero/base/error.hpp>
#include <zero/base/float16.hpp>
#include <zero/optim/update.hpp>

#include <gtest/gtest.h>

#include <vector>

namespace zero::testing {
namespace {

using optim::algorithm;

class update_errors : public ::testing::Test {
 protected:
  update_errors() {
    spans_.count = 3;
    spans_.master = master_.data();
    spans_.gradient = {gradient_.data(), 3, dtype::fp32};
    spans_.state[0] = state0_.data();
    spans_.state[1] = state1_.data();
    spans_.parameter = {parameter_.data(), 3, dtype::bf16};
  }
  void expect_refused(algorithm a = algorithm::adamw, std::uint64_t step = 1) {
    const optim::hyper h = optim::default_hyper(a);
    EXPECT_THROW(optim::update(a, h, {step, 1.0F}, spans_), invalid_argument);
    EXPECT_THROW(optim::update_reference(a, h, {step, 1.0F}, spans_), invalid_argument);
    EXPECT_EQ(master_, std::vector<float>(3, 1.0F));
    EXPECT_EQ(state0_, std::vector<float>(3, 0.0F));
  }

  std::vector<float> master_ = std::vector<float>(3, 1.0F);
  std::vector<float> gradient_ = std::vector<float>(3, 2.0F);
  std::vector<float> state0_ = std::vector<float>(3, 0.0F);
  std::vector<float> state1_ = std::vector<float>(3, 0.0F);
  std::vector<bf16_t> parameter_ = std::vector<bf16_t>(3);
  optim::update_spans spans_;
};

TEST_F(update_errors, step_zero) { expect_refused(algorithm::adamw, 0); }

TEST_F(update_errors, counts_that_differ) {
  spans_.gradient.count = 2;
  expect_refused();
  spans_.gradient.count = 3;
  spans_.parameter.count = 4;
  expect_refused();
}

TEST_F(update_errors, dtypes_that_cannot_be) {
  spans_.gradient.type = dtype::byte;
  expect_refused();
  spans_.gradient.type = dtype::fp32;
  for (const dtype type : {dtype::fp32, dtype::byte}) {
    spans_.parameter.type = type;
    expect_refused();
  }
}

TEST_F(update_errors, memory_that_is_missing) {
  spans_.state[1] = nullptr;
  expect_refused(algorithm::adam);
  spans_.state[0] = nullptr;
  expect_refused(algorithm::lion);
  spans_.state[0] = state0_.data();
  spans_.gradient.data = nullptr;
  expect_refused(algorithm::sgd);
  spans_.gradient.data = gradient_.data();
  spans_.master = nullptr;
  expect_refused(algorithm::sgd);
}

TEST_F(update_errors, an_empty_range_needs_no_memory) {
  EXPECT_NO_THROW(optim::update(algorithm::adamw, {}, {}, {}));
  EXPECT_NO_THROW(optim::update_reference(algorithm::adamw, {}, {}, {}));
}

TEST_F(update_errors, one_state_is_enough_where_one_is_kept) {
  spans_.state[1] = nullptr;
  optim::update(algorithm::sgd, optim::default_hyper(algorithm::sgd), {}, spans_);
  EXPECT_EQ(state0_, gradient_);
}

}  // namespace
}  // namespace zero::testing
