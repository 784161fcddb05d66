#pragma once
// What a layout refuses, before anything is placed. Pure functions.

#include <zero/partition/layout.hpp>

namespace zero::partition {

// Largest count of elements in a model, and in a layout with its padding.
inline constexpr std::uint64_t max_elements = std::uint64_t{1} << 62;

// Throw invalid_argument as the constructor of layout documents.
void validate(const layout_options& options);
void validate(const model_spec& model);

}  // namespace zero::partition
