#include "json_file.hpp"

#include <zero/base/error.hpp>

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <vector>

namespace zero::cli {
namespace {

constexpr std::size_t most_bytes = std::size_t{1} << 20;
constexpr int most_levels = 32;
constexpr std::size_t most_shown = 60;
constexpr double least_rate = 1e-15;  // with these, what is divided by one or multiplied stays
constexpr double most_rate = 1e18;    // finite

[[noreturn]] void refuse(const std::string& where, const std::string& what) {
  throw invalid_argument(fmt::format("{}: {}", where, what));
}

std::string shown(const json_object& value) {
  const std::string text = value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  return text.size() <= most_shown ? text : text.substr(0, most_shown) + "...";
}

const json_object& value_of(const json_object& in, const char* key, const std::string& where) {
  const auto found = in.find(key);
  if (found == in.end()) refuse(where, fmt::format("there is no \"{}\"", key));
  return *found;
}

[[noreturn]] void refuse_value(const std::string& where, const char* key, const json_object& value,
                               const std::string& expected) {
  refuse(where,
         fmt::format("\"{}\": {} is not accepted; expected {}", key, shown(value), expected));
}

std::string text_in(const std::string& where, const std::string& path) {
  std::error_code failed;
  const auto status = std::filesystem::status(path, failed);
  if (!std::filesystem::exists(status)) refuse(where, "there is no such file");
  if (!std::filesystem::is_regular_file(status)) refuse(where, "is not a regular file");
  std::ifstream file(path, std::ios::binary);
  std::string text(most_bytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.is_open() || file.bad()) refuse(where, "cannot be read");
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > most_bytes) {
    refuse(where, fmt::format("has more than {} bytes", most_bytes));
  }
  return text;
}

}  // namespace

json_object read_json_file(const std::string& option, const std::string& path) {
  const std::string where = fmt::format("{} '{}'", option, path);
  const std::string text = text_in(where, path);
  std::vector<std::set<std::string>> keys;
  const auto watch = [&](int depth, json_object::parse_event_t event, json_object& part) {
    if (depth > most_levels) refuse(where, "has more than 32 levels");
    if (event == json_object::parse_event_t::object_start) keys.emplace_back();
    if (event == json_object::parse_event_t::object_end) keys.pop_back();
    if (event == json_object::parse_event_t::key &&
        !keys.back().insert(part.get<std::string>()).second) {
      refuse(where, fmt::format("has the key {} twice", shown(part)));
    }
    return true;
  };
  json_object whole;
  try {
    whole = json_object::parse(text, watch);
  } catch (const nlohmann::json::exception& e) {
    const std::string message = e.what();
    const std::size_t end = message.find("] ");
    refuse(where, "is no JSON: " + (end == std::string::npos ? message : message.substr(end + 2)));
  }
  if (!whole.is_object()) refuse(where, "is no JSON object");
  return whole;
}

std::uint64_t whole_of(const json_object& in, const char* key, const std::string& where,
                       whole_bounds bounds) {
  const json_object& value = value_of(in, key, where);
  const bool counts = value.is_number_unsigned();
  if (counts && value.get<std::uint64_t>() >= bounds.lowest &&
      value.get<std::uint64_t>() <= bounds.highest) {
    return value.get<std::uint64_t>();
  }
  refuse_value(where, key, value,
               fmt::format("a whole number from {} to {}", bounds.lowest, bounds.highest));
}

double rate_of(const json_object& in, const char* key, const std::string& where) {
  const json_object& value = value_of(in, key, where);
  const double rate = value.is_number() ? value.get<double>() : -1;
  if (rate == 0 || (rate >= least_rate && rate <= most_rate)) return rate;
  refuse_value(where, key, value, fmt::format("0, or {} to {}", least_rate, most_rate));
}

std::string text_of(const json_object& in, const char* key, const std::string& where) {
  const json_object& value = value_of(in, key, where);
  if (value.is_string()) return value.get<std::string>();
  refuse_value(where, key, value, "a text");
}

bool flag_of(const json_object& in, const char* key, const std::string& where) {
  const json_object& value = value_of(in, key, where);
  if (value.is_boolean()) return value.get<bool>();
  refuse_value(where, key, value, "true or false");
}

const json_object& object_of(const json_object& in, const char* key, const std::string& where) {
  const json_object& value = value_of(in, key, where);
  if (value.is_object()) return value;
  refuse_value(where, key, value, "an object");
}

}  // namespace zero::cli
