#pragma once
// say: a line on standard error. Where nobody can be told, nothing more can be done: never throws.

#include <cstdio>
#include <string>

namespace zero::cli {

inline void say(const std::string& text) noexcept {
  std::fputs(text.c_str(), stderr);
  std::fflush(stderr);
}

}  // namespace zero::cli
