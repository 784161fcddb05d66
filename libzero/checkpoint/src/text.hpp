#pragma once
// Text of the files: strict UTF-8, and JSON written one way only. Pure.

#include <cstdint>
#include <string>
#include <string_view>

namespace zero::checkpoint {

// Shortest forms alone, no surrogates, nothing above U+10FFFF.
[[nodiscard]] bool is_utf8(std::string_view text) noexcept;
// A byte below 0x20, or 0x7f.
[[nodiscard]] bool has_control(std::string_view text) noexcept;
// UTF-8 of `least` to `most` bytes without control characters.
[[nodiscard]] bool is_name(std::string_view text, std::size_t least, std::size_t most) noexcept;
// Lower-case hex digits, so many.
[[nodiscard]] bool is_hex(std::string_view text, std::size_t digits) noexcept;

// As a JSON string. Only what must be is escaped: '"', '\' and, as \u00xx, what is below 0x20.
void append_quoted(std::string& out, std::string_view text);
// Bytes append_quoted would append.
[[nodiscard]] std::uint64_t quoted_bytes(std::string_view text) noexcept;

void append_number(std::string& out, std::uint64_t number);
[[nodiscard]] std::uint64_t number_bytes(std::uint64_t number) noexcept;
// The shortest text that is read back as the same value. Finite ones alone are JSON.
void append_real(std::string& out, double number);
void append_real(std::string& out, float number);
// So many lower-case hex digits of the number's lowest bits.
void append_hex(std::string& out, std::uint64_t number, int digits);

}  // namespace zero::checkpoint
