#pragma once
// settings: from a zero_config to the options of an engine. Pure; thread-safe.

#include <zero/config.h>
#include <zero/engine/options.hpp>

#include <map>
#include <vector>

namespace zero::client {

// What the caller's struct says, and `otherwise` where that is of an older version. Throws
// invalid_argument where its size is of none, or a constant is out of range.
[[nodiscard]] zero_group read_group(const zero_group& from, const zero_group& otherwise);

// The caller's struct, which says its size, into one of `bytes`; what it has no room for stays.
// Throws invalid_argument where it does not say one.
void read_sized(const void* from, void* to, std::size_t bytes, const char* call);

// Copies as much of `from` as the caller's struct, which says its size, has room for. Throws
// invalid_argument where it does not say one.
void write_sized(const void* from, std::size_t bytes, void* to, const char* call);

[[nodiscard]] parameter_group group_of(const zero_group& constants);

// `groups`: of those that are not as the configuration says; `count` of all.
[[nodiscard]] engine_options engine_options_of(const zero_config& config,
                                               const std::map<int, zero_group>& groups, int count,
                                               const std::vector<int>& forward_order, int ranks,
                                               bool placed);

}  // namespace zero::client
