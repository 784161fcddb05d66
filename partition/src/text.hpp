#pragma once
// How names and shapes are written in messages. Pure functions.

#include <cstdint>
#include <string>
#include <vector>

namespace zero::partition {

// 'name', control characters and backslashes as \xhh, so that a message stays one line whatever a
// client registers.
[[nodiscard]] std::string quoted(const std::string& name);

// "[]", "[256]", "[50257, 768]"
[[nodiscard]] std::string format_shape(const std::vector<std::uint64_t>& shape);

}  // namespace zero::partition
