// Every processor gives the bits of the references: the host's, and a GPU's where there is one.
#include "processor_fixture.hpp"

#include <zero/base/error.hpp>
#include <zero/optim/elementwise.hpp>

#include <numeric>
#include <utility>
#include <vector>

namespace zero::testing {
namespace {

TEST_P(processors, updates_equal_the_reference) {
  std::mt19937_64 random(41);
  const decision_rule rule{1024.0, 0.5};
  for_each_case([&](algorithm a, dtype gradient, std::optional<dtype> copy) {
    std::uint64_t step = 0;
    for (const std::size_t count : {0, 1, 3, 4, 5, 7, 8, 1009, 4099}) {
      for (const auto& [offset, gradient_offset] :
           {std::pair<std::size_t, std::size_t>{0, 0}, {3, 3}, {1, 2}}) {
        problem there(gradient, copy, count, offset, gradient_offset);
        there.fill([&] { return nasty_value(random); });
        problem reference = there;
        hyper h = constants_of(a);
        h.nesterov = count % 2 == 0;
        const step_vote vote{2.5, h.learning_rate, 1};
        const made_decision made(*worker_, *memory_, vote, rule, step);
        mirrored_problem mirrored(*worker_, *memory_, there);
        worker_->update(a, h, made.decision(), mirrored.spans());
        finish();
        mirrored.fetch();
        step_decision expected;
        expected.steps = step;
        optim::decide(&vote, 1, rule, &expected);
        ASSERT_EQ(expected.steps, ++step);
        optim::update_reference(a, h, {step, expected.gradient_scale}, reference.spans());
        expect_same(there, reference);
        if (HasFatalFailure()) FAIL() << count << " elements, " << offset << gradient_offset;
      }
    }
  });
}

TEST_P(processors, a_large_update_equals_the_reference) {
  std::mt19937_64 random(42);
  problem there(dtype::bf16, dtype::bf16, (std::size_t{3} << 20) + 5, 1);
  there.fill([&] { return normal_value(random); });
  problem reference = there;
  const made_decision made(*worker_, *memory_, {1.0, 1e-3F, 1}, {}, 6);
  mirrored_problem mirrored(*worker_, *memory_, there);
  worker_->update(algorithm::adamw, constants_of(algorithm::adamw), made.decision(),
                  mirrored.spans());
  mirrored.fetch();
  optim::update_reference(algorithm::adamw, constants_of(algorithm::adamw), {7, 1.0F},
                          reference.spans());
  expect_same(there, reference);
}

TEST_P(processors, an_update_that_is_not_to_be_writes_nothing) {
  std::mt19937_64 random(43);
  problem there(dtype::fp32, dtype::fp16, 1009, 1);
  there.fill([&] { return normal_value(random); });
  const problem before = there;
  const double infinite = std::numeric_limits<double>::infinity();
  const made_decision made(*worker_, *memory_, {infinite, 1e-3F, 1}, {}, 6);
  mirrored_problem mirrored(*worker_, *memory_, there);
  for (const algorithm a : algorithms) {
    worker_->update(a, constants_of(a), made.decision(), mirrored.spans());
  }
  mirrored.fetch();
  expect_same(there, before);
}

// By a rule that clips a norm of 4 to 1 and divides by 2; by one that changes nothing; and not at
// all, where the update is left out.
TEST_P(processors, gradients_are_scaled_as_was_decided) {
  std::mt19937_64 random(45);
  for (const dtype type : dtypes) {
    for (const std::size_t count : {0, 1, 5, 103, 4099}) {
      for (int which = 0; which < 3; ++which) {
        step_vote vote{64.0, 1e-3F, 1};
        vote.leave_out = which == 2 ? 1 : 0;
        const decision_rule rule{which == 1 ? 1.0 : 2.0, which == 1 ? 0.0 : 1.0};
        const made_decision made(*worker_, *memory_, vote, rule, 6);
        elements values(type, count, count % 3);
        values.fill([&] { return nasty_value(random); });
        elements expected = values;
        mirror there(*worker_, *memory_, values);
        worker_->scale(there.span(), made.decision());
        there.fetch();
        if (which == 0) {
          optim::scale_reference(expected.span(), static_cast<float>(0.5 * (1.0 / (4.0 + 1e-6))));
        }
        expect_same(values, expected);
      }
    }
  }
}

TEST_P(processors, decisions_equal_the_hosts) {
  const std::vector<std::vector<step_vote>> cases = {
      {{4.0, 1e-3F, 1}},
      {{4.0, 1e-3F, 1}, {0.1, 1e-3F, 1}, {1e-30, 1e-3F, 1}},
      {{4.0, 1e-3F, 1, 7}, {0.1, 1e-3F, 1, 7}, {0.1, 1e-3F, 1, 8}},
      {{4.0, 1e-3F, 1}, {0.1, 1e-3F, 1, 0, 1}},
      {{1e300, 1e-3F, 1}, {1e300, 1e-3F, 1}},
      {{1.0, 1e-3F, 1}, {1.0, 1e-3F, 1}, {1.0, 2e-3F, 1}, {1.0, 1e-3F, 2}},
      {{std::numeric_limits<double>::quiet_NaN(), 1e-3F, 1}, {1.0, 1e-3F, 1}},
      {{std::numeric_limits<double>::infinity(), 1e-3F, 1}}};
  for (const auto& votes : cases) {
    for (const decision_rule& rule : {decision_rule{1.0, 0.0}, {3.0, 0.7}, {65536.0, 1e9}}) {
      const block there(*memory_, votes.size() * sizeof(step_vote) + sizeof(step_decision));
      auto* const decision = reinterpret_cast<step_decision*>(there.as<step_vote>() + votes.size());
      step_decision expected;
      expected.steps = 5;
      worker_->write(&expected, decision, sizeof expected);
      for (std::size_t i = 0; i < votes.size(); ++i) {
        worker_->set(votes[i], there.as<step_vote>() + i);
      }
      worker_->decide(there.as<step_vote>(), votes.size(), rule, decision);
      step_decision made;
      worker_->read(decision, &made, sizeof made);
      finish();
      optim::decide(votes.data(), votes.size(), rule, &expected);
      EXPECT_EQ(made.steps, expected.steps);
      EXPECT_EQ(made.applied, expected.applied);
      EXPECT_EQ(made.finite, expected.finite);
      EXPECT_EQ(made.dissenting, expected.dissenting);
      if (std::isnan(expected.norm)) {
        EXPECT_TRUE(std::isnan(made.norm));
        continue;
      }
      EXPECT_EQ(made.norm, expected.norm);
      EXPECT_EQ(made.gradient_scale, expected.gradient_scale);
    }
  }
}

// In words, since both places share the arithmetic.
TEST(decision, is_not_applied_where_votes_differ_or_one_wants_it_left_out) {
  const auto decided = [](const std::vector<step_vote>& votes) {
    step_decision made;
    made.steps = 5;
    optim::decide(votes.data(), votes.size(), {1.0, 0.0, true}, &made);
    return made;
  };
  const step_decision alike = decided({{9.0, 0.5F, 1, 3, 0}, {16.0, 0.5F, 1, 3, 0}});
  EXPECT_EQ(alike.norm, 5.0);
  EXPECT_EQ(alike.applied, 1U);
  EXPECT_EQ(alike.steps, 6U);
  const step_decision other = decided({{9.0, 0.5F, 1, 3, 0}, {16.0, 0.5F, 1, 4, 0}});
  EXPECT_EQ(other.applied, 0U);
  EXPECT_EQ(other.dissenting, 1U);
  EXPECT_EQ(other.steps, 5U);
  for (const std::uint32_t who : {0U, 1U}) {
    const step_decision left = decided({{9.0, 0.5F, 1, 3, 1U - who}, {16.0, 0.5F, 1, 3, who}});
    EXPECT_EQ(left.norm, 5.0);
    EXPECT_EQ(left.applied, 0U);
    EXPECT_EQ(left.finite, 1U);
    EXPECT_EQ(left.dissenting, 0U);
    EXPECT_EQ(left.steps, 5U);
  }
}

TEST_P(processors, casts_and_sums_equal_the_references) {
  std::mt19937_64 random(44);
  for (const dtype in : dtypes) {
    for (const dtype out : dtypes) {
      for (const std::size_t count : {0, 1, 5, 103, 4099}) {
        elements from(in, count, count % 3);
        from.fill([&] { return nasty_value(random); });
        elements cast(out, count, count % 2);
        cast.fill([&] { return nasty_value(random); });
        elements sum = cast;
        elements expected_cast = cast;
        elements expected_sum = cast;
        const mirror source(*worker_, *memory_, from);
        mirror cast_there(*worker_, *memory_, cast);
        mirror sum_there(*worker_, *memory_, sum);
        worker_->convert(source.span(), cast_there.span());
        worker_->accumulate(source.span(), sum_there.span());
        cast_there.fetch();
        sum_there.fetch();
        optim::convert_reference(from.span(), expected_cast.span());
        optim::accumulate_reference(from.span(), expected_sum.span());
        ASSERT_EQ(cast.bytes(), expected_cast.bytes());  // NaN payloads too
        expect_same(sum, expected_sum);
      }
    }
  }
}

TEST_P(processors, adopting_equals_the_host) {
  std::mt19937_64 random(45);
  for (const dtype in : dtypes) {
    elements master(dtype::fp32, 1009, 1);
    master.fill([&] { return normal_value(random); });
    elements from(in, 1009, 1);
    std::size_t next = 0;  // every other value is what the master rounds to
    from.fill([&] {
      const float kept = master.at(next++);
      return next % 2 == 0 ? kept : normal_value(random);
    });
    elements expected = master;
    const mirror source(*worker_, *memory_, from);
    mirror there(*worker_, *memory_, master);
    worker_->adopt(source.span(), there.floats());
    there.fetch();
    optim::adopt(from.span(), expected.floats());
    expect_same(master, expected);
  }
}

TEST_P(processors, squares_are_added_in_the_documented_order) {
  std::mt19937_64 random(46);
  const block sum_there(*memory_, sizeof(double));
  for (const dtype type : dtypes) {
    for (const std::size_t count : {0, 1, 17, 1024, 1025, 65'536, 65'537, 1'000'003}) {
      for (const std::size_t offset : {0, 1}) {
        elements values(type, count, offset);
        values.fill([&] { return normal_value(random); });
        const mirror source(*worker_, *memory_, values);
        double sum = 0.125;
        worker_->write(&sum, sum_there.as<double>(), sizeof sum);
        worker_->add_squares(source.span(), sum_there.as<double>());
        worker_->add_squares(source.span(), sum_there.as<double>());
        worker_->read(sum_there.as<double>(), &sum, sizeof sum);
        finish();
        const double squares = optim::sum_of_squares_reference(values.span());
        ASSERT_EQ(sum, (0.125 + squares) + squares) << name_of(type) << " " << count;
      }
    }
  }
}

TEST_P(processors, codes_equal_the_references) {
  std::mt19937_64 random(47);
  constexpr int terms = 3;
  for (const dtype type : dtypes) {
    for (const int bits : {4, 8}) {
      for (const std::size_t count : {0, 1, 127, 128, 129, 5000}) {
        const std::size_t bytes = quantized_bytes(count, bits);
        std::vector<std::byte> runs(bytes * terms), again(bytes), expected(bytes * terms);
        const block there(*memory_, bytes * (terms + 1));
        for (int t = 0; t < terms; ++t) {
          elements values(type, count, 1);
          values.fill([&] { return t == 0 ? normal_value(random) : nasty_value(random); });
          const mirror source(*worker_, *memory_, values);
          const std::size_t at = std::size_t(t) * bytes;
          worker_->quantize(source.span(), bits, there.as<std::byte>() + at);
          optim::quantize_reference(values.span(), bits, expected.data() + at);
          finish();
        }
        worker_->requantize(there.as<std::byte>(), terms, count, bits,
                            there.as<std::byte>() + bytes * terms);
        worker_->read(there.as(), runs.data(), runs.size());
        worker_->read(there.as() + bytes * terms, again.data(), again.size());
        elements sum(type, count, 1);
        sum.fill([&] { return normal_value(random); });
        elements expected_sum = sum;
        mirror sum_there(*worker_, *memory_, sum);
        worker_->dequantize(there.as<std::byte>(), terms, bits, sum_there.span(),
                            optim::store_mode::add);
        sum_there.fetch();
        ASSERT_EQ(runs, expected);
        optim::dequantize_reference(expected.data(), terms, bits, expected_sum.span(),
                                    optim::store_mode::add);
        expect_same(sum, expected_sum);
        std::vector<std::byte> expected_again(bytes);
        optim::requantize_reference(expected.data(), terms, count, bits, expected_again.data());
        ASSERT_EQ(again, expected_again);
      }
    }
  }
}

TEST_P(processors, bytes_go_there_and_back) {
  std::vector<unsigned char> bytes(100'003);
  std::iota(bytes.begin(), bytes.end(), static_cast<unsigned char>(1));
  const block here(*memory_, bytes.size());
  const block copy(*memory_, bytes.size());
  const block host(worker_->host_memory(), bytes.size());
  std::memcpy(host.as(), bytes.data(), bytes.size());
  worker_->write(host.as(), here.as(), bytes.size());
  worker_->copy({here.as(), bytes.size(), dtype::byte}, {copy.as(), bytes.size(), dtype::byte});
  worker_->clear({here.as(), bytes.size(), dtype::byte});
  std::vector<unsigned char> cleared(bytes.size(), 7);
  std::vector<unsigned char> copied(bytes.size());
  worker_->read(copy.as(), copied.data(), copied.size());
  worker_->read(here.as(), cleared.data(), cleared.size());
  const completion done = worker_->queue().record();
  done.wait();
  EXPECT_TRUE(done.ready());
  EXPECT_EQ(copied, bytes);
  EXPECT_EQ(cleared, std::vector<unsigned char>(bytes.size(), 0));
}

TEST_P(processors, memory_is_zero_and_where_it_is_said_to_be) {
  EXPECT_EQ(worker_->place(), memory_->place());
  EXPECT_EQ(worker_->host_memory().place(), memory_place::host);
  const block fresh(*memory_, 5'000'001);
  std::vector<unsigned char> seen(5'000'001, 7);
  worker_->read(fresh.as(), seen.data(), seen.size());
  finish();
  EXPECT_EQ(seen, std::vector<unsigned char>(seen.size(), 0));
}

TEST_P(processors, wrong_arguments_are_refused) {
  const block there(*memory_, 4096);
  auto* const floats = there.as<float>();
  const typed_span four{floats, 4, dtype::fp32};
  const typed_span three{floats + 8, 3, dtype::fp32};
  const typed_span raw{floats, 4, dtype::byte};
  EXPECT_THROW(worker_->copy(four, three), invalid_argument);
  EXPECT_THROW(worker_->convert(four, three), invalid_argument);
  EXPECT_THROW(worker_->convert(raw, raw), invalid_argument);
  EXPECT_THROW(worker_->accumulate(four, three), invalid_argument);
  EXPECT_THROW(worker_->adopt(raw, floats), invalid_argument);
  EXPECT_THROW(worker_->add_squares(raw, there.as<double>()), invalid_argument);
  EXPECT_THROW(worker_->add_squares(four, nullptr), invalid_argument);
  EXPECT_THROW(worker_->set({}, nullptr), invalid_argument);
  EXPECT_THROW(worker_->scale(four, nullptr), invalid_argument);
  EXPECT_THROW(worker_->scale(raw, there.as<step_decision>()), invalid_argument);
  EXPECT_THROW(worker_->decide(nullptr, 1, {}, there.as<step_decision>()), invalid_argument);
  EXPECT_THROW(worker_->decide(there.as<step_vote>(), 0, {}, there.as<step_decision>()),
               invalid_argument);
  EXPECT_THROW(worker_->quantize(four, 5, there.as<std::byte>()), invalid_argument);
  EXPECT_THROW(worker_->quantize(raw, 4, there.as<std::byte>()), invalid_argument);
  EXPECT_THROW(worker_->quantize(four, 4, there.as<std::byte>() + 1), invalid_argument);
  EXPECT_THROW(worker_->dequantize(there.as<std::byte>(), 0, 8, four, optim::store_mode::add),
               invalid_argument);
  EXPECT_THROW(worker_->requantize(there.as<std::byte>(), 1, 4, 3, there.as<std::byte>()),
               invalid_argument);
  update_spans spans;
  spans.count = 4;
  spans.gradient = three;
  EXPECT_THROW(worker_->update(algorithm::adamw, {}, nullptr, spans), invalid_argument);
  if (worker_->place() == memory_place::device) {  // the host looks at the decision first
    EXPECT_THROW(worker_->update(algorithm::adamw, {}, there.as<step_decision>(), spans),
                 invalid_argument);
  }
}

INSTANTIATE_TEST_SUITE_P(places, processors, ::testing::Values("host", "cuda"),
                         [](const auto& place) { return std::string(place.param); });

TEST(cuda_processor, needs_a_device) {
  if (cuda_device::count() > 0) GTEST_SKIP() << "there is a GPU";
  EXPECT_FALSE(cuda_device::why_none().empty());
  EXPECT_THROW(cuda_device(0), invalid_argument);
}

}  // namespace
}  // namespace zero::testing
