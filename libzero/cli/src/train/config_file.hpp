#pragma once
// config_file: a configuration of the library (configuration.md of the client) as options of a
// training, and the other way round.
//
// Pure but for reading the file.

#include "train/train_options.hpp"

#include <nlohmann/json.hpp>

#include <string>

namespace zero::cli {

// What `zero train` is told by the file of zero_config_file, on top of its own defaults, for a
// world of `ranks`. Throws invalid_argument, naming --config, the file and the key, for what the
// library does not accept and for what a training has no option for.
[[nodiscard]] train_options read_config(const std::string& path, int ranks);

// What the library and read_config take for such a training: an object with the section "libzero".
// Throws invalid_argument for policies that a configuration cannot say.
[[nodiscard]] nlohmann::ordered_json config_json(const train_options& o, int ranks);

// Whether it can say this row of the policy table.
[[nodiscard]] bool has_config(const std::string& policy) noexcept;

}  // namespace zero::cli
