// What packed.hpp refuses, and that it then has written nothing.
#include "packed_problem.hpp"

#include <zero/base/error.hpp>

#include <functional>

namespace zero::testing {
namespace {

using optim::update_packed;
using optim::update_packed_reference;

const packed_case plain{algorithm::adamw, dtype::bf16, {}, dtype::bf16};
const packed_case low{
    algorithm::adamw, dtype::bf16, {state_format::block8, master_format::remainder}, dtype::bf16};
const packed_case bare{
    algorithm::adamw, dtype::bf16, {state_format::bf16, master_format::none}, dtype::fp16};

void expect_refused(const packed_case& how, const std::function<void(packed_spans&)>& spoil,
                    std::vector<update_run> runs = {{0, 256, {}}}, std::uint64_t step = 1) {
  packed_problem problem(how, 256);
  const packed_problem before = problem;
  packed_spans spans = problem.spans();
  spoil(spans);
  EXPECT_THROW(update_packed(how.rule, runs, {step, 1.0F}, spans), invalid_argument);
  EXPECT_THROW(update_packed_reference(how.rule, runs, {step, 1.0F}, spans), invalid_argument);
  expect_same(problem, before);
}
void nothing(packed_spans& /*spans*/) {}

TEST(packed_errors, runs_that_cannot_be) {
  for (const packed_case& how : {plain, low, bare}) {
    expect_refused(how, nothing, {{0, 257, {}}});
    expect_refused(how, nothing, {{257, 0, {}}});
    expect_refused(how, nothing, {{1, ~std::uint64_t{0}, {}}});
    expect_refused(how, nothing, {{0, 10, {}}, {9, 10, {}}});
    expect_refused(how, nothing, {{100, 10, {}}, {0, 10, {}}});
    expect_refused(how, nothing, {{0, 256, {}}}, 0);
  }
}

TEST(packed_errors, counts_that_cannot_be) {
  for (const packed_case& how : {plain, low, bare}) {
    expect_refused(how,
                   [](packed_spans& s) { s.count = s.gradient.count = s.parameter.count = 255; },
                   {{0, 255, {}}});
    expect_refused(how, [](packed_spans& s) { s.gradient.count = 128; });
    expect_refused(how, [](packed_spans& s) { s.parameter.count = 128; });
  }
}

TEST(packed_errors, dtypes_that_cannot_be) {
  for (const packed_case& how : {plain, low, bare}) {
    expect_refused(how, [](packed_spans& s) { s.gradient.type = dtype::byte; });
    expect_refused(how, [](packed_spans& s) { s.parameter.type = dtype::fp32; });
    expect_refused(how, [](packed_spans& s) { s.parameter.type = dtype::byte; });
  }
  expect_refused(low, [](packed_spans& s) { s.parameter.type = dtype::fp16; });
}

TEST(packed_errors, memory_that_is_missing) {
  for (const packed_case& how : {plain, low, bare}) {
    expect_refused(how, [](packed_spans& s) { s.gradient.data = nullptr; });
    expect_refused(how, [](packed_spans& s) { s.state[1] = nullptr; });
  }
  expect_refused(plain, [](packed_spans& s) { s.master = nullptr; });
  expect_refused(low, [](packed_spans& s) { s.master = nullptr; });
  expect_refused(low, [](packed_spans& s) { s.parameter.data = nullptr; });
  expect_refused(bare, [](packed_spans& s) { s.parameter.data = nullptr; });
}

TEST(packed_errors, weights_that_cannot_go_in_or_out) {
  for (const packed_case& how : {plain, low, bare}) {
    packed_problem problem(how, 256);
    const packed_problem before = problem;
    std::vector<float> values(256, 1.0F);
    const auto expect_both_refused = [&](typed_span span, const packed_spans& spans) {
      EXPECT_THROW(optim::pack_master(span, spans), invalid_argument);
      EXPECT_THROW(optim::pack_master_reference(span, spans), invalid_argument);
      EXPECT_THROW(optim::unpack_master(spans, span), invalid_argument);
      EXPECT_THROW(optim::unpack_master_reference(spans, span), invalid_argument);
    };
    expect_both_refused({values.data(), 255, dtype::fp32}, problem.spans());
    expect_both_refused({values.data(), 256, dtype::bf16}, problem.spans());
    expect_both_refused({nullptr, 256, dtype::fp32}, problem.spans());
    packed_spans spoilt = problem.spans();
    spoilt.parameter.count = 128;
    expect_both_refused({values.data(), 256, dtype::fp32}, spoilt);
    expect_same(problem, before);
    EXPECT_EQ(values, std::vector<float>(256, 1.0F));
  }
}

}  // namespace
}  // namespace zero::testing
