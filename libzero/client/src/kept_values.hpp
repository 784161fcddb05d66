#pragma once
// kept_values: of a model seen tensor by tensor, the values that one rank keeps. So that a model
// which nobody has room for can be given to an engine.
//
// One thread at a time. Holds 4 bytes for each element that the rank keeps.

#include "value_staging.hpp"

#include <zero/base/span.hpp>
#include <zero/base/typed_span.hpp>
#include <zero/engine/own_rule.hpp>
#include <zero/partition/layout.hpp>
#include <zero/partition/sharding_policy.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace zero::client {

// A run of elements of one parameter.
struct kept_run {
  std::uint64_t offset = 0;
  std::uint64_t count = 0;
};

// By registration index, the runs of which `rank` keeps master weights; of what is not trainable,
// those that rest with it. Ascending.
[[nodiscard]] std::vector<std::vector<kept_run>> runs_of(const partition::layout& layout,
                                                         const partition::sharding_policy& policy,
                                                         int rank);

class kept_values {
 public:
  explicit kept_values(std::vector<std::vector<kept_run>> runs);

  // All of a parameter, which `staging` reaches; its own runs are kept. Blocks until they are.
  void keep(std::size_t parameter, const const_typed_span& all, value_staging& staging);
  // Master weights of a run that is kept take the place of values which they round to. Likewise.
  void prefer(const state_range& range, value_staging& staging);
  // As sharded_optimizer::fill_function. Throws error for what is not kept.
  void fill(std::size_t parameter, std::uint64_t offset, span<float> values) const;

 private:
  // Where the element is kept; `count` from there on are.
  [[nodiscard]] std::size_t find(std::size_t parameter, std::uint64_t offset,
                                 std::uint64_t count) const;

  void prefer(std::size_t at, const const_typed_span& master, dtype written_in);

  std::vector<std::vector<kept_run>> runs_;
  std::vector<std::size_t> begins_;  // of each parameter's, in values_
  std::vector<float> values_;
};

}  // namespace zero::client
