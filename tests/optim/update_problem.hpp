#pragma once
// Everything an update reads and writes, and the cases tests go through.

#include "elements.hpp"

#include <zero/optim/update.hpp>

#include <cmath>
#include <optional>
#include <string>

namespace zero::testing {

using optim::algorithm;
using optim::hyper;
using optim::step_scalars;
using optim::update_spans;

inline constexpr algorithm algorithms[] = {algorithm::adamw, algorithm::adam, algorithm::sgd,
                                           algorithm::lion, algorithm::adagrad};
inline constexpr dtype dtypes[] = {dtype::fp32, dtype::bf16, dtype::fp16};
inline constexpr std::optional<dtype> copies[] = {std::nullopt, dtype::bf16, dtype::fp16};

// Everything a call of update reads and writes.
struct problem {
  // The arrays begin `offset` elements into their memory, the gradient gradient_offset.
  problem(dtype gradient_type, std::optional<dtype> copy, std::size_t count, std::size_t offset,
          std::optional<std::size_t> gradient_offset = std::nullopt)
      : master(dtype::fp32, count, offset),
        gradient(gradient_type, count, gradient_offset.value_or(offset)),
        state0(dtype::fp32, count, offset),
        state1(dtype::fp32, count, offset) {
    if (copy) parameter.emplace(*copy, count, offset);
  }
  template <typename F>
  void fill(const F& value) {
    master.fill(value);
    gradient.fill(value);
    state0.fill(value);
    state1.fill([&] { return std::fabs(value()); });
  }
  [[nodiscard]] update_spans spans(std::size_t begin, std::size_t count) {
    update_spans s;
    s.count = count;
    s.master = master.floats() + begin;
    s.gradient = const_typed_span(gradient.span()).part(begin, count);
    s.state[0] = state0.floats() + begin;
    s.state[1] = state1.floats() + begin;
    if (parameter) s.parameter = parameter->span().part(begin, count);
    return s;
  }
  [[nodiscard]] update_spans spans() { return spans(0, gradient.span().count); }
  friend void expect_same(const problem& a, const problem& b) {
    expect_same(a.master, b.master);
    expect_same(a.gradient, b.gradient);
    expect_same(a.state0, b.state0);
    expect_same(a.state1, b.state1);
    if (a.parameter) expect_same(*a.parameter, *b.parameter);
  }

  elements master, gradient, state0, state1;
  std::optional<elements> parameter;
};

inline hyper constants_of(algorithm a) {
  hyper h = optim::default_hyper(a);
  h.weight_decay = 0.03F;
  return h;
}

template <typename F>
void for_each_case(const F& check) {
  for (const algorithm a : algorithms) {
    for (const dtype gradient : dtypes) {
      for (const std::optional<dtype> copy : copies) {
        SCOPED_TRACE(std::string(optim::name_of(a)) + " " + name_of(gradient) + " " +
                     (copy ? name_of(*copy) : "none"));
        check(a, gradient, copy);
      }
    }
  }
}

}  // namespace zero::testing
