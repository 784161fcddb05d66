#pragma once
// Byte counts as people write and read them.

#include <cstdint>
#include <string>

#pragma GCC visibility push(default)
namespace zero {

inline namespace literals {
constexpr std::uint64_t operator""_KiB(unsigned long long n) noexcept { return n << 10; }
constexpr std::uint64_t operator""_MiB(unsigned long long n) noexcept { return n << 20; }
constexpr std::uint64_t operator""_GiB(unsigned long long n) noexcept { return n << 30; }
}  // namespace literals

// "4096", "512MiB", "2GiB", "1.5GB" in bytes; KB, MB, GB, TB are powers of 1000 and KiB to TiB of
// 1024, the B may be left out. Throws invalid_argument on anything else, on a negative number, on
// a fraction of a byte and on overflow.
[[nodiscard]] std::uint64_t parse_bytes(const std::string& text);

// "7.5e9", "124M", "1.5B", "4096": a count; K, M, B (or G) and T are powers of 1000.
[[nodiscard]] std::uint64_t parse_count(const std::string& text);

// "1.50 GiB", "12.0 KiB", "17 B": at most three significant digits after the first.
[[nodiscard]] std::string format_bytes(std::uint64_t bytes);

// The smallest multiple of `multiple` (> 0) that is not below `value`.
[[nodiscard]] constexpr std::uint64_t round_up(std::uint64_t value,
                                               std::uint64_t multiple) noexcept {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace zero
#pragma GCC visibility pop
