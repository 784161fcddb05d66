#pragma once
// Small models that tests lay out. Pure functions.

#include <zero/partition/layout.hpp>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace zero::partition::testing {

[[nodiscard]] parameter_spec tensor(std::string name, std::vector<std::uint64_t> shape,
                                    dtype type = dtype::fp32);

// One unit "u" of one-dimensional fp32 parameters "p0", "p1", ... of these sizes.
[[nodiscard]] model_spec model_of_sizes(const std::vector<std::uint64_t>& sizes);

// Everything a model can have at once: two buckets in one unit, frozen, tied across units, empty,
// scalar, stacked and grouped parameters, a unit without any.
[[nodiscard]] model_spec mixed_model();

// The same model for the same seed on every platform.
[[nodiscard]] model_spec random_model(std::uint64_t seed);

}  // namespace zero::partition::testing
