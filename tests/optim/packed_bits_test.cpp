// Updates of packed spans: every instruction set, every cut and the plain update give the same
// bits.
#include "packed_problem.hpp"
#include "targets.hpp"

#include <algorithm>

namespace zero::testing {
namespace {

TEST(packed_bits, vectors_equal_the_reference) {
  for_each_target([&] {
    std::mt19937_64 random(1);
    for_each_packed_case([&](const packed_case& how) {
      packed_problem vector(how, 40 * 128);
      vector.fill(random);
      packed_problem scalar = vector;
      const std::vector<update_run> runs = odd_runs(how.rule, vector.count);
      for (std::uint64_t step = 4; step < 6; ++step) {
        optim::update_packed(how.rule, runs, {step, 0.37F}, vector.spans());
        optim::update_packed_reference(how.rule, runs, {step, 0.37F}, scalar.spans());
      }
      expect_same(vector, scalar);
    });
  });
}

// Tiny, huge and infinite gradients, and what becomes of them.
TEST(packed_bits, vectors_equal_the_reference_at_the_edges) {
  for_each_target([&] {
    std::mt19937_64 random(2);
    for_each_packed_case([&](const packed_case& how) {
      for (const float scale : {1e-37F, 1e-20F, 1e18F, 1e38F}) {
        packed_problem vector(how, 3 * 128);
        vector.fill(random, scale);
        packed_problem scalar = vector;
        const update_run whole[] = {{0, vector.count, constants_of(how.rule)}};
        optim::update_packed(how.rule, whole, {4, 1.0F}, vector.spans());
        optim::update_packed_reference(how.rule, whole, {4, 1.0F}, scalar.spans());
        expect_same(vector, scalar);
      }
    });
  });
}

TEST(packed_bits, weights_go_in_and_out_alike) {
  for_each_target([&] {
    std::mt19937_64 random(3);
    for_each_packed_case([&](const packed_case& how) {
      if (how.rule != algorithm::adamw || how.gradient != dtype::bf16) return;
      packed_problem vector(how, 3 * 128);
      packed_problem scalar = vector;
      std::vector<float> values(vector.count);
      for (float& v : values) v = nasty_value(random);
      const const_typed_span span{values.data(), values.size(), dtype::fp32};
      optim::pack_master(span, vector.spans());
      optim::pack_master_reference(span, scalar.spans());
      expect_same(vector, scalar);
      std::vector<float> out(values.size());
      optim::unpack_master(vector.spans(), {out.data(), out.size(), dtype::fp32});
      const std::vector<float> expected = scalar.weights();
      EXPECT_EQ(std::memcmp(out.data(), expected.data(), out.size() * 4), 0);
    });
  });
}

TEST(packed_bits, any_cut_at_blocks_gives_the_same_bits) {
  std::mt19937_64 random(4);
  for_each_packed_case([&](const packed_case& how) {
    if (how.gradient != dtype::bf16) return;
    packed_problem whole(how, 20 * 128);
    whole.fill(random);
    const packed_problem before = whole;
    const std::vector<update_run> runs = odd_runs(how.rule, whole.count);
    optim::update_packed(how.rule, runs, {4, 0.37F}, whole.spans());
    for (const std::size_t blocks : {1, 3, 7, 16, 19}) {
      packed_problem parts = before;
      for (std::size_t begin = 0; begin < parts.count; begin += blocks * 128) {
        const std::size_t n = std::min(blocks * 128, parts.count - begin);
        std::vector<update_run> own;
        for (const update_run& r : runs) {
          const std::size_t from = std::max<std::size_t>(r.offset, begin);
          const std::size_t to = std::min<std::size_t>(r.offset + r.count, begin + n);
          if (from < to) own.push_back({from - begin, to - from, r.constants});
        }
        optim::update_packed(how.rule, own, {4, 0.37F}, parts.spans(begin, n));
      }
      expect_same(whole, parts);
    }
  });
}

TEST(packed_bits, fp32_everywhere_is_the_plain_update) {
  std::mt19937_64 random(5);
  for_each_case([&](algorithm a, dtype gradient, std::optional<dtype> copy) {
    packed_problem packed({a, gradient, {}, copy}, 24 * 128);
    packed.fill(random);
    packed_problem plain = packed;
    const std::vector<update_run> runs = odd_runs(a, packed.count);
    optim::update_packed(a, runs, {4, 0.37F}, packed.spans());
    for (const update_run& run : runs) {
      update_spans s;
      s.count = run.count;
      s.gradient = plain.spans().gradient.part(run.offset, run.count);
      s.master = plain.master.as<float>() + run.offset;
      for (int i = 0; i < optim::state_count(a); ++i) {
        s.state[i] = plain.state[i].as<float>() + run.offset;
      }
      if (copy) s.parameter = plain.spans().parameter.part(run.offset, run.count);
      optim::update(a, run.constants, {4, 0.37F}, s);
    }
    expect_same(packed, plain);
  });
}

// Elements that no run has, and whole blocks of codes without a run, keep every bit; what shares a
// block of codes with a run keeps its zeros.
TEST(packed_bits, what_lies_between_runs_stays) {
  std::mt19937_64 random(6);
  for_each_packed_case([&](const packed_case& how) {
    packed_problem problem(how, 24 * 128);
    problem.fill(random);
    const packed_problem before = problem;
    const hyper h = constants_of(how.rule);
    const update_run runs[] = {{130, 3, h}, {140, 1, h}, {2200, 97, h}};
    optim::update_packed(how.rule, runs, {4, 1.0F}, problem.spans());
    const auto inside = [&](std::size_t i) {
      return std::any_of(std::begin(runs), std::end(runs), [&](const update_run& r) {
        return i >= r.offset && i < r.offset + r.count;
      });
    };
    const auto expect_kept = [&](const guarded_bytes& now, const guarded_bytes& then,
                                 std::size_t size) {
      for (std::size_t i = 0; i < problem.count; ++i) {
        if (inside(i)) continue;
        ASSERT_EQ(std::memcmp(now.data() + i * size, then.data() + i * size, size), 0) << i;
      }
    };
    if (how.parameter) expect_kept(problem.parameter, before.parameter, size_of(*how.parameter));
    if (how.formats.master != master_format::none) {
      expect_kept(problem.master, before.master, block_bytes(how.formats.master) / 128);
    }
    for (int s = 0; s < optim::state_count(how.rule); ++s) {
      if (how.formats.states != state_format::block8) {
        expect_kept(problem.state[s], before.state[s], block_bytes(how.formats.states) / 128);
        continue;
      }
      for (std::size_t b = 0; b < 24; ++b) {
        if (b == 1 || b == 17) continue;
        ASSERT_EQ(
            std::memcmp(problem.state[s].data() + b * 132, before.state[s].data() + b * 132, 132),
            0);
      }
      const bool squares = how.rule == algorithm::adagrad || s == 1;
      const int magnitude = squares ? 0xff : 0x7f;
      for (const std::size_t b : {1, 17}) {
        for (std::size_t i = b * 132; i < b * 132 + 128; ++i) {
          if (inside(b * 128 + i - b * 132) || (before.state[s].data()[i] & magnitude) != 0)
            continue;
          ASSERT_EQ(problem.state[s].data()[i] & magnitude, 0);
        }
      }
    }
  });
}

TEST(packed_bits, nothing_to_do_is_nothing_done) {
  packed_problem problem(
      {algorithm::adamw, dtype::bf16, {state_format::block8, master_format::none}, dtype::bf16},
      128);
  const packed_problem before = problem;
  optim::update_packed(algorithm::adamw, {}, {}, problem.spans());
  const update_run empty[] = {{0, 0, {}}, {5, 0, {}}, {128, 0, {}}};
  optim::update_packed(algorithm::adamw, empty, {}, problem.spans());
  expect_same(problem, before);
  packed_spans none;
  none.formats = problem.of.formats;
  none.parameter.type = dtype::bf16;
  EXPECT_NO_THROW(optim::update_packed(algorithm::adamw, {}, {}, none));
}

}  // namespace
}  // namespace zero::testing
