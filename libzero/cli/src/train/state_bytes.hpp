#pragma once
// state_bytes: what one parameter takes in the formats that were chosen.

#include "train/train_options.hpp"

#include <nlohmann/json.hpp>

namespace zero::cli {

// "bytes_per_parameter" of a run: bytes of each class of model state for one element, in one copy
// and wherever it rests. How many copies there are, and of how much on each rank, `memory` says.
[[nodiscard]] nlohmann::ordered_json bytes_per_parameter(const common_options& o);

}  // namespace zero::cli
