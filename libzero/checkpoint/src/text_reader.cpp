#include "text_reader.hpp"

#include "text.hpp"

#include <zero/base/error.hpp>

#include <charconv>
#include <cmath>

namespace zero::checkpoint {

bool text_reader::skip(std::string_view literal) {
  if (text_.compare(at_, literal.size(), literal) != 0) return false;
  at_ += literal.size();
  return true;
}

void text_reader::expect(std::string_view literal) {
  if (!skip(literal)) fail("not " + std::string(literal) + " as it should be");
}

bool text_reader::next(bool& first, std::string_view separator, std::string_view end) {
  if (skip(end)) return false;
  if (!first) expect(separator);
  first = false;
  return true;
}

std::uint64_t text_reader::number() {
  std::uint64_t value = 0;
  const char* const begin = text_.data() + at_;
  const auto [end, wrong] = std::from_chars(begin, text_.data() + text_.size(), value);
  if (wrong != std::errc{}) fail("not a count");
  const auto bytes = static_cast<std::size_t>(end - begin);
  if (bytes != number_bytes(value)) fail("a count with zeros in front");
  at_ += bytes;
  return value;
}

std::uint64_t text_reader::number_up_to(std::uint64_t most) {
  const std::uint64_t value = number();
  if (value > most) fail(std::to_string(value) + " where at most " + std::to_string(most) + " is");
  return value;
}

template <typename Real>
Real text_reader::any_real() {
  Real value = 0;
  const char* const begin = text_.data() + at_;
  const auto [end, wrong] = std::from_chars(begin, text_.data() + text_.size(), value);
  if (wrong != std::errc{} || !std::isfinite(value)) fail("not a finite number");
  const std::string_view found(begin, static_cast<std::size_t>(end - begin));
  std::string shortest;
  append_real(shortest, value);
  if (found != shortest) fail("a number not as it is written");
  at_ += found.size();
  return value;
}

double text_reader::real() { return any_real<double>(); }
float text_reader::real_float() { return any_real<float>(); }

bool text_reader::truth() {
  const bool value = skip("true");
  if (!value) expect("false");
  return value;
}

std::string text_reader::string() {
  expect("\"");
  std::string value;
  for (;;) {
    const std::size_t end = text_.find_first_of("\"\\", at_);
    if (end == std::string_view::npos) fail("a string without an end");
    const std::string_view plain = text_.substr(at_, end - at_);
    for (std::size_t i = 0; i < plain.size(); ++i) {
      if (static_cast<unsigned char>(plain[i]) < 0x20) {
        at_ += i;
        fail("a control character");
      }
    }
    value += plain;
    at_ = end + 1;
    if (text_[end] == '"') break;
    if (skip("\"")) {
      value += '"';
    } else if (skip("\\")) {
      value += '\\';
    } else {
      expect("u00");
      const std::string_view digits = text_.substr(at_, 2);
      if (!is_hex(digits, 2) || digits[0] > '1') fail("not an escaped control character");
      unsigned code = 0;
      static_cast<void>(std::from_chars(digits.data(), digits.data() + 2, code, 16));
      value += static_cast<char>(code);
      at_ += 2;
    }
  }
  if (!is_utf8(value)) fail("a string that is not UTF-8");
  return value;
}

std::uint64_t text_reader::hex64() {
  expect("\"");
  const std::string_view digits = text_.substr(at_, 16);
  if (!is_hex(digits, 16)) fail("not 16 hex digits");
  std::uint64_t value = 0;
  static_cast<void>(std::from_chars(digits.data(), digits.data() + 16, value, 16));
  at_ += 16;
  expect("\"");
  return value;
}

void text_reader::expect_end() const {
  if (at_ != text_.size()) fail("more after the end");
}

void text_reader::fail(const std::string& what) const { throw corrupt_data(what, path_, at_); }

}  // namespace zero::checkpoint
