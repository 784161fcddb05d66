#pragma once
// The keys of a JSON configuration: DeepSpeed's, each with what becomes of it.
//
// A constant table; thread-safe.

#include "config_takers.hpp"

namespace zero::client {

struct key {
  const char* path;
  taker take;        // takes a value that is neither "auto" nor null
  const char* with;  // name of a field, or why nothing else is accepted
};

// In the order in which they must be taken.
[[nodiscard]] span<const key> deepspeed_keys() noexcept;
// The section whose keys are the names of fields.
inline constexpr const char* own_section = "libzero";

}  // namespace zero::client
