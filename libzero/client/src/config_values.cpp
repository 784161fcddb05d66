// What a field of zero_config accepts: from JSON, from text, and as it stands in a struct.

#include "config_fields.hpp"

#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>

namespace zero::client {
namespace {

using form = field::form;
using ends = field::ends;

constexpr std::size_t most_text = sizeof zero_config::disk_path - 1;

// 7, 0.5, 1e-08, 4294967296: as short as it can be.
std::string number(double value) {
  const bool is_whole = value == std::floor(value) && std::fabs(value) < 1e15;
  return is_whole ? std::to_string(static_cast<long long>(value)) : json(value).dump();
}

std::string range_of(const field& of) {
  const double largest = of.kind == form::whole ? 0x1p53 : std::numeric_limits<float>::max();
  std::string result = of.included == ends::high ? "above " : "from ";
  result += number(of.low);
  if (of.high < largest)
    result += (of.included == ends::low ? " to below " : " to ") + number(of.high);
  else
    result += " on";
  return result;
}

std::string words(span<const choice> choices) {
  std::string result;
  for (const choice& c : choices) result += (result.empty() ? "" : ", ") + std::string(c.name);
  return result;
}

bool fits(const field& of, double value) {
  const bool low = of.included == ends::high ? value > of.low : value >= of.low;
  const bool high = of.included == ends::low ? value < of.high : value <= of.high;
  return low && high;  // never for NaN
}

std::optional<std::int32_t> chosen(const field& of, const json& value) {
  if (!value.is_string()) return {};
  const auto& name = value.get_ref<const std::string&>();
  for (const choice& c : of.choices) {
    if (name == c.name) return c.value;
  }
  return {};
}

// Whole numbers may be written as 5e8, as files of DeepSpeed have them.
std::optional<std::uint64_t> whole(const json& value) {
  if (value.is_number_unsigned()) return value.get<std::uint64_t>();
  if (value.is_number_integer() && value.get<std::int64_t>() >= 0)
    return value.get<std::uint64_t>();
  if (!value.is_number_float()) return {};
  const double number = value.get<double>();
  if (!(number >= 0 && number < 0x1p64) || number != std::floor(number)) return {};
  return static_cast<std::uint64_t>(number);
}

// Where the value lies in what slot's type can hold, or nothing.
template <typename T>
std::optional<T> accepted_number(const field& of, const json& value) {
  if (const auto word = chosen(of, value)) return static_cast<T>(*word);
  if constexpr (std::is_floating_point_v<T>) {
    if (!value.is_number() || !fits(of, value.get<double>())) return {};
    const auto result = static_cast<T>(value.get<double>());
    if (fits(of, static_cast<double>(result))) return result;  // not when rounded up to the end
  } else if (of.kind != form::one_of) {
    const auto result = whole(value);
    constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<T>::max());
    if (result && *result <= most && fits(of, static_cast<double>(*result))) {
      return static_cast<T>(*result);
    }
  }
  return {};
}

std::optional<std::uint64_t> accepted_bytes(const json& value) {
  if (!value.is_string()) return whole(value);
  try {
    return parse_bytes(value.get_ref<const std::string&>());
  } catch (const invalid_argument&) {
    return {};
  }
}

bool is_text(const json& value) {
  if (!value.is_string()) return false;
  const auto& text = value.get_ref<const std::string&>();
  return text.size() <= most_text && text.find('\0') == std::string::npos;
}

template <typename T>
bool put(T* to, const field& of, const json& value) {
  std::optional<T> result;
  if (of.kind == form::flag) {
    if (value.is_boolean()) result = static_cast<T>(value.get<bool>());
  } else if (of.kind == form::bytes) {
    if (const auto bytes = accepted_bytes(value)) result = static_cast<T>(*bytes);
  } else {
    result = accepted_number<T>(of, value);
  }
  if (result) *to = *result;
  return result.has_value();
}

bool put(char* to, const field&, const json& value) {
  if (!is_text(value)) return false;
  const auto& text = value.get_ref<const std::string&>();
  std::memset(to, 0, most_text + 1);
  text.copy(to, most_text);
  return true;
}

template <typename T>
json taken(const T* from, const field& of) {
  if (of.kind == form::flag && (*from == 0 || *from == 1)) return *from != 0;
  for (const choice& c : of.choices) {
    if (static_cast<double>(*from) == c.value) return c.name;
  }
  return *from;
}

json taken(const char* from, const field&) {
  const auto* end = static_cast<const char*>(std::memchr(from, 0, most_text + 1));
  return end == nullptr ? json() : json(std::string(from, end));
}

}  // namespace

std::string what_is_accepted(const field& of) {
  const std::string or_word = of.choices.empty() ? "" : " or " + words(of.choices);
  switch (of.kind) {
    case form::whole:
      return "a whole number " + range_of(of) + or_word;
    case form::real:
      return "a number " + range_of(of) + or_word;
    case form::bytes:
      return "bytes: 4096, \"512MiB\", \"1.5GB\"";
    case form::flag:
      return "true or false";
    case form::one_of:
      return "one of " + words(of.choices);
    case form::text:
      break;
  }
  return "a text of at most " + std::to_string(most_text) + " bytes";
}

void refuse(const std::string& path, const json& value, const std::string& expected) {
  constexpr std::size_t most = 60;
  std::string shown = value.dump(-1, ' ', false, json::error_handler_t::replace);
  if (shown.size() > most) shown = shown.substr(0, most) + "...";
  throw invalid_argument(path + ": " + shown + " is not accepted; expected " + expected);
}

void assign(zero_config& config, const field& of, const json& value, const std::string& path) {
  if (!std::visit([&](auto* to) { return put(to, of, value); }, of.at(config))) {
    refuse(path, value, what_is_accepted(of));
  }
}

json value_of_text(const field& of, const std::string& text) {
  if (of.kind == form::flag && (text == "0" || text == "1")) return text == "1";
  if (of.kind == form::text || of.kind == form::one_of) return text;
  const json value = json::parse(text, nullptr, false);
  return value.is_number() || value.is_boolean() ? value : json(text);
}

json value_of(const zero_config& config, const field& of) {
  zero_config copy = config;
  return std::visit([&](auto* from) { return taken(from, of); }, of.at(copy));
}

void check(const zero_config& config, const field& of) {
  zero_config copy = config;
  assign(copy, of, value_of(config, of), of.name);
}

}  // namespace zero::client
