#include "say.hpp"

#include <cstdio>

namespace zero::cli {
namespace {

// In UTF-8 the second set of control characters is C2 80 to C2 9F.
bool is_second_set(const std::string& text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  return at > 0 && byte(at - 1) == 0xc2 && byte(at) >= 0x80 && byte(at) <= 0x9f;
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

}  // namespace

void say(std::string line) noexcept {
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (is_second_set(line, i)) line[i - 1] = line[i] = '?';
    if (line[i] == '\n') line[i] = i + 1 < line.size() ? ' ' : '\n';
    if (line[i] != '\n' && is_control(line[i])) line[i] = '?';
  }
  std::fputs(line.c_str(), stderr);
  std::fflush(stderr);
}

}  // namespace zero::cli
