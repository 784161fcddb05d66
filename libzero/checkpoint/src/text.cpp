#include "text.hpp"

#include <algorithm>
#include <charconv>

namespace zero::checkpoint {
namespace {

constexpr char hex_digits[] = "0123456789abcdef";

template <typename Number>
void append(std::string& out, Number number) {
  char text[40];
  const auto end = std::to_chars(text, text + sizeof text, number).ptr;
  out.append(text, end);
}

// Bytes of the character at the start, 0 if it is none.
std::size_t character_bytes(std::string_view text) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t bytes = first < 0xc2   ? 0
                            : first < 0xe0 ? 2
                            : first < 0xf0 ? 3
                            : first < 0xf5 ? 4
                                           : 0;
  if (bytes == 0 || text.size() < bytes) return 0;
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xc0U) != 0x80U) return 0;
  }
  const unsigned second = byte(1);
  if (first == 0xe0 && second < 0xa0) return 0;  // could be shorter
  if (first == 0xed && second > 0x9f) return 0;  // a surrogate
  if (first == 0xf0 && second < 0x90) return 0;  // could be shorter
  if (first == 0xf4 && second > 0x8f) return 0;  // beyond the last
  return bytes;
}

}  // namespace

bool is_utf8(std::string_view text) noexcept {
  while (!text.empty()) {
    const std::size_t bytes = character_bytes(text);
    if (bytes == 0) return false;
    text.remove_prefix(bytes);
  }
  return true;
}

bool has_control(std::string_view text) noexcept {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

bool is_name(std::string_view text, std::size_t least, std::size_t most) noexcept {
  return text.size() >= least && text.size() <= most && !has_control(text) && is_utf8(text);
}

bool is_hex(std::string_view text, std::size_t digits) noexcept {
  return text.size() == digits &&
         text.find_first_not_of(std::string_view(hex_digits, 16)) == std::string_view::npos;
}

void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20) {
      out += "\\u00";
      append_hex(out, byte, 2);
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
}

std::uint64_t quoted_bytes(std::string_view text) noexcept {
  std::uint64_t bytes = 2;
  for (const char c : text) {
    bytes += static_cast<unsigned char>(c) < 0x20 ? 6U : c == '"' || c == '\\' ? 2U : 1U;
  }
  return bytes;
}

void append_number(std::string& out, std::uint64_t number) { append(out, number); }

std::uint64_t number_bytes(std::uint64_t number) noexcept {
  std::uint64_t bytes = 1;
  for (; number >= 10; number /= 10) ++bytes;
  return bytes;
}

void append_real(std::string& out, double number) { append(out, number); }
void append_real(std::string& out, float number) { append(out, number); }

void append_hex(std::string& out, std::uint64_t number, int digits) {
  for (int i = digits - 1; i >= 0; --i) out += hex_digits[number >> (4 * i) & 15U];
}

}  // namespace zero::checkpoint
