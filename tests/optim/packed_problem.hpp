#pragma once
// Everything an update of packed spans reads and writes, in every format, with canaries around.

#include "update_problem.hpp"

#include <zero/optim/packed.hpp>

#include <cstring>
#include <string>
#include <vector>

namespace zero::testing {

using optim::master_format;
using optim::optimizer_formats;
using optim::packed_spans;
using optim::state_format;
using optim::update_run;

// Bytes with canaries on both sides.
class guarded_bytes {
 public:
  explicit guarded_bytes(std::size_t size = 0) : size_(size), bytes_(size + 2 * guard) {
    for (std::size_t i = 0; i < bytes_.size(); ++i) bytes_[i] = static_cast<unsigned char>(i * 37);
    std::memset(data(), 0, size);
  }
  [[nodiscard]] unsigned char* data() { return bytes_.data() + guard; }
  [[nodiscard]] const unsigned char* data() const { return bytes_.data() + guard; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::vector<unsigned char>& all() { return bytes_; }
  template <typename T>
  [[nodiscard]] T* as() {
    return reinterpret_cast<T*>(data());
  }
  friend bool operator==(const guarded_bytes& a, const guarded_bytes& b) {
    return a.bytes_ == b.bytes_;
  }

 private:
  static constexpr std::size_t guard = 64;
  std::size_t size_;
  std::vector<unsigned char> bytes_;
};

struct packed_case {
  algorithm rule = algorithm::adamw;
  dtype gradient = dtype::bf16;
  optimizer_formats formats = {};
  std::optional<dtype> parameter = dtype::bf16;
};

struct packed_problem {
  packed_problem(const packed_case& how, std::size_t elements)
      : of(how),
        count(elements),
        master(count / 128 * optim::block_bytes(how.formats.master)),
        gradient(count * size_of(how.gradient)),
        parameter(how.parameter ? count * size_of(*how.parameter) : 0) {
    for (guarded_bytes& s : state) s = guarded_bytes(count / 128 * block_bytes(how.formats.states));
  }

  // Weights and gradients of about `scale`; states as 3 steps leave them.
  void fill(std::mt19937_64& random, float scale = 1.0F) {
    std::vector<float> weights(count);
    for (float& w : weights) w = normal_value(random);
    optim::pack_master_reference({weights.data(), count, dtype::fp32}, spans());
    const update_run whole[] = {{0, count, constants_of(of.rule)}};
    for (std::uint64_t step = 1; step <= 3; ++step) {
      fill_gradient(random, scale);
      optim::update_packed_reference(of.rule, whole, {step, 1.0F}, spans());
    }
    fill_gradient(random, scale);
  }
  void fill_gradient(std::mt19937_64& random, float scale = 1.0F) {
    for (std::size_t i = 0; i < count; ++i) {
      const float spread = std::ldexp(scale, -static_cast<int>(random() % 12));
      const float g = random() % 16 == 0 ? 0.0F : normal_value(random) * spread;
      if (of.gradient == dtype::fp32) gradient.as<float>()[i] = g;
      if (of.gradient == dtype::bf16) gradient.as<bf16_t>()[i] = to_bf16(g);
      if (of.gradient == dtype::fp16) gradient.as<fp16_t>()[i] = to_fp16(g);
    }
  }

  // Elements [begin, begin + n), multiples of 128.
  [[nodiscard]] packed_spans spans(std::size_t begin, std::size_t n) {
    packed_spans s;
    s.count = n;
    s.formats = of.formats;
    s.gradient = const_typed_span{gradient.data(), count, of.gradient}.part(begin, n);
    if (of.formats.master != master_format::none) {
      s.master = master.data() + begin / 128 * block_bytes(of.formats.master);
    }
    for (int i = 0; i < optim::state_count(of.rule); ++i) {
      s.state[i] = state[i].data() + begin / 128 * block_bytes(of.formats.states);
    }
    if (of.parameter)
      s.parameter = typed_span{parameter.data(), count, *of.parameter}.part(begin, n);
    s.first_element = first_element + begin;
    s.seed = 99;
    return s;
  }
  [[nodiscard]] packed_spans spans() { return spans(0, count); }

  [[nodiscard]] std::vector<float> weights() {
    std::vector<float> values(count);
    optim::unpack_master_reference(spans(), {values.data(), count, dtype::fp32});
    return values;
  }

  packed_case of;
  std::size_t count;
  std::uint64_t first_element = 77;  // of no block's beginning
  guarded_bytes master, gradient, parameter, state[2];
};

inline void expect_same(const packed_problem& a, const packed_problem& b) {
  EXPECT_TRUE(a.master == b.master) << "master";
  EXPECT_TRUE(a.parameter == b.parameter) << "parameter";
  EXPECT_TRUE(a.state[0] == b.state[0]) << "state 0";
  EXPECT_TRUE(a.state[1] == b.state[1]) << "state 1";
  EXPECT_TRUE(a.gradient == b.gradient) << "gradient";
}

// Runs of odd lengths with gaps of odd lengths between, of two parameter groups in turn.
inline std::vector<update_run> odd_runs(algorithm a, std::size_t count) {
  std::vector<update_run> runs;
  constexpr std::size_t lengths[] = {1, 127, 3, 129, 0, 500, 64, 2500, 31};
  constexpr std::size_t gaps[] = {0, 5, 0, 121, 7, 0, 300};
  std::size_t at = 2;
  for (std::size_t i = 0; at < count; ++i) {
    const std::size_t n = std::min(lengths[i % std::size(lengths)], count - at);
    hyper h = constants_of(a);
    if (i % 2 == 1) {
      h.weight_decay = 0.0F;
      h.learning_rate *= 3;
      h.nesterov = true;
    }
    runs.push_back({at, n, h});
    at += n + gaps[i % std::size(gaps)];
  }
  return runs;
}

template <typename F>
void for_each_packed_case(const F& check) {
  for (const algorithm a : algorithms) {
    for (const dtype gradient : dtypes) {
      for (const state_format states :
           {state_format::fp32, state_format::bf16, state_format::block8}) {
        const auto run = [&](master_format master, std::optional<dtype> parameter) {
          SCOPED_TRACE(std::string(optim::name_of(a)) + " " + name_of(gradient) + " states " +
                       optim::name_of(states) + " master " + optim::name_of(master) + " " +
                       (parameter ? name_of(*parameter) : "none"));
          check(packed_case{a, gradient, {states, master}, parameter});
        };
        for (const std::optional<dtype> copy : copies) run(master_format::fp32, copy);
        run(master_format::remainder, dtype::bf16);
        run(master_format::none, dtype::bf16);
        run(master_format::none, dtype::fp16);
      }
    }
  }
}

}  // namespace zero::testing
