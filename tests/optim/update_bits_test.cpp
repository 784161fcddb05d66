// The vector paths of update against the scalar reference, bit for bit.
#include "targets.hpp"
#include "update_problem.hpp"

namespace zero::testing {
namespace {

TEST(update_bits, every_length_around_the_vector_width) {
  std::mt19937_64 random(1);
  for_each_target([&] {
    for_each_case([&](algorithm a, dtype gradient, std::optional<dtype> copy) {
      for (std::size_t count = 0; count <= 103; ++count) {
        problem vector(gradient, copy, count, count % 5);
        vector.fill([&] { return nasty_value(random); });
        problem scalar = vector;
        const step_scalars scalars{1 + count, 0.37F};
        hyper h = constants_of(a);
        h.nesterov = count % 2 == 0;
        optim::update(a, h, scalars, vector.spans());
        optim::update_reference(a, h, scalars, scalar.spans());
        expect_same(vector, scalar);
        if (::testing::Test::HasFatalFailure()) FAIL() << count << " elements";
      }
    });
  });
}

TEST(update_bits, many_steps_of_realistic_values) {
  std::mt19937_64 random(2);
  for_each_target([&] {
    for_each_case([&](algorithm a, dtype gradient, std::optional<dtype> copy) {
      problem vector(gradient, copy, 1009, 3);
      vector.fill([&] { return normal_value(random); });
      problem scalar = vector;
      for (std::uint64_t step = 1; step <= 10; ++step) {
        optim::update(a, constants_of(a), {step, 0.5F}, vector.spans());
        optim::update_reference(a, constants_of(a), {step, 0.5F}, scalar.spans());
      }
      expect_same(vector, scalar);
    });
  });
}

// Large ranges write their parameter copy around the caches, from every alignment.
TEST(update_bits, large_ranges) {
  std::mt19937_64 random(3);
  std::vector<float> values(4099);
  for (float& v : values) v = nasty_value(random);
  for_each_target([&] {
    for (const dtype copy : {dtype::bf16, dtype::fp16}) {
      for (const std::size_t offset : {0, 1, 31}) {
        problem vector(dtype::bf16, copy, (std::size_t{5} << 19) + 13, offset);
        std::size_t next = 0;
        vector.fill([&] { return values[next++ % values.size()]; });
        problem scalar = vector;
        optim::update(algorithm::adamw, constants_of(algorithm::adamw), {7, 1.5F}, vector.spans());
        optim::update_reference(algorithm::adamw, constants_of(algorithm::adamw), {7, 1.5F},
                                scalar.spans());
        expect_same(vector, scalar);
      }
    }
  });
}

TEST(update_bits, any_cut_of_a_range_gives_the_same_bits) {
  std::mt19937_64 random(4);
  constexpr std::size_t count = 97;
  for (const algorithm a : algorithms) {
    problem whole(dtype::bf16, dtype::fp16, count, 1);
    whole.fill([&] { return nasty_value(random); });
    const problem before = whole;
    optim::update(a, constants_of(a), {3, 2.0F}, whole.spans());
    for (std::size_t cut = 0; cut <= count; ++cut) {
      problem parts = before;
      optim::update(a, constants_of(a), {3, 2.0F}, parts.spans(0, cut));
      optim::update(a, constants_of(a), {3, 2.0F}, parts.spans(cut, count - cut));
      expect_same(whole, parts);
    }
  }
}

}  // namespace
}  // namespace zero::testing
