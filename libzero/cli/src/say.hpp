#pragma once
// say: a line on standard error. Where nobody can be told, nothing more can be done: never throws.
//
// Names in it may come from files of anybody: what would steer a terminal is shown as '?'.

#include <string>

namespace zero::cli {

// `line` with the newline at its end, and none else; those inside it become spaces.
void say(std::string line) noexcept;

}  // namespace zero::cli
