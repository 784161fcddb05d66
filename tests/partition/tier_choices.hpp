#pragma once
// A model of odd buckets and the choices by which its plan is made.

#include <zero/partition/memory_plan.hpp>

#include <cstddef>
#include <map>
#include <string>
#include <utility>

namespace zero::partition::testing {

using place = std::pair<purpose, std::size_t>;

// Odd sizes, a frozen bucket, one that may be resident, and one that is always fp32.
[[nodiscard]] model_spec odd_model(dtype type);
[[nodiscard]] layout odd_layout(dtype type, int world, std::uint64_t resident = 64);

[[nodiscard]] std::map<place, allocation> by_place(const memory_plan& plan);

// Cells counted by kind are those listed, and a plan that lists none says the same.
void expect_same_tallies(const layout& of, const memory_plan& plan);

struct tier_choice {
  std::string row = "3";
  int world = 1;
  dtype type = dtype::fp32;
  bool wide = true;
  int reductions = 1;
  bool keep = false;
  bool apart = true;  // the device's memory from the host's
  tiering tiers = {};

  [[nodiscard]] plan_options options() const;
  [[nodiscard]] std::string text() const;
};

}  // namespace zero::partition::testing
