#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>

#include <array>
#include <cctype>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace zero {
namespace {

struct suffix {
  std::string_view text;
  double factor;
};

constexpr std::array<suffix, 18> byte_suffixes{{{"", 1},
                                                {"B", 1},
                                                {"KB", 1e3},
                                                {"K", 1e3},
                                                {"MB", 1e6},
                                                {"M", 1e6},
                                                {"GB", 1e9},
                                                {"G", 1e9},
                                                {"TB", 1e12},
                                                {"T", 1e12},
                                                {"KiB", 0x1p10},
                                                {"Ki", 0x1p10},
                                                {"MiB", 0x1p20},
                                                {"Mi", 0x1p20},
                                                {"GiB", 0x1p30},
                                                {"Gi", 0x1p30},
                                                {"TiB", 0x1p40},
                                                {"Ti", 0x1p40}}};

constexpr std::array<suffix, 6> count_suffixes{
    {{"", 1}, {"K", 1e3}, {"M", 1e6}, {"B", 1e9}, {"G", 1e9}, {"T", 1e12}}};

template <std::size_t N>
std::uint64_t parse(const std::string& text, const std::array<suffix, N>& suffixes,
                    const char* accepted) {
  const auto refuse = [&]() -> std::uint64_t {
    throw invalid_argument("'" + text + "' is not " + accepted);
  };
  if (text.empty() || !(std::isdigit(static_cast<unsigned char>(text[0])) || text[0] == '.')) {
    return refuse();  // strtod would also take blanks, signs, inf, nan
  }
  if (text.find_first_of("xX") != std::string::npos) return refuse();
  // A plain integer keeps all 64 bits, which a double would round.
  if (text.find_first_not_of("0123456789") == std::string::npos) {
    errno = 0;
    const unsigned long long value = std::strtoull(text.c_str(), nullptr, 10);
    return errno == 0 ? value : refuse();
  }
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  for (const suffix& s : suffixes) {
    if (s.text != end) continue;
    const double value = number * s.factor;
    if (!(value < 0x1p63)) return refuse();
    const double whole = std::round(value);
    // 1.1GB is whole though 1.1 is not exact in binary: allow what fp64 rounds, and no more.
    if (std::fabs(value - whole) > value * 0x1p-50) return refuse();
    return static_cast<std::uint64_t>(whole);
  }
  return refuse();
}

}  // namespace

std::uint64_t parse_bytes(const std::string& text) {
  return parse(text, byte_suffixes, "a size such as 4096, 512MiB, 2GiB or 1.5GB");
}

std::uint64_t parse_count(const std::string& text) {
  return parse(text, count_suffixes, "a count such as 4096, 7.5e9, 124M or 1.5B");
}

std::string format_bytes(std::uint64_t bytes) {
  constexpr std::array<const char*, 7> units{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  std::size_t unit = 0;
  auto value = static_cast<double>(bytes);
  // The bounds are where rounding to the digits shown would carry into one digit more.
  while (value >= (unit == 0 ? 1024 : 1023.5) && unit + 1 < units.size()) {
    value /= 1024;
    ++unit;
  }
  std::array<char, 48> text{};
  const int digits = unit == 0 ? 0 : value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  std::snprintf(text.data(), text.size(), "%.*f %s", digits, value, units[unit]);
  return text.data();
}

}  // namespace zero
