#pragma once
// A zero_config that is about to be used. Pure; thread-safe.

#include <zero/config.h>

namespace zero::client {

// What was given, with defaults where the client's header has no field, for `ranks` ranks: every
// field checked, fields checked against each other, accumulate worked out where it is 0, and a
// directory chosen where a disk is used and none was said. Throws invalid_argument that names the
// field, its value and what is accepted.
[[nodiscard]] zero_config settled(const zero_config* given, int ranks);

}  // namespace zero::client
