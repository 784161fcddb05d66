// The kinds of options of option_set.hpp: how each reads, refuses and shows a value.

#include "option_set.hpp"

#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>

#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdlib>

namespace zero::cli {
namespace {

std::string accepted_by(whole_range range) {
  if (range.highest >= whole_range{}.highest) {
    return fmt::format("a whole number from {}", range.lowest);
  }
  return fmt::format("a whole number from {} to {}", range.lowest, range.highest);
}

double parse_real(const std::string& text, const real_range& range) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, failure] = std::from_chars(text.data(), end, value);
  const bool whole_text = failure == std::errc{} && stop == end && !text.empty();
  if (!whole_text || !std::isfinite(value) || value < range.lowest || value > range.highest) {
    refuse_value(text, range.accepted);
  }
  return value;
}

template <typename Target>
option whole_option(std::string name, std::string value, std::string meaning, Target& target,
                    whole_range range) {
  return {std::move(name),
          std::move(value),
          std::move(meaning),
          arity::one,
          [&target, range](const arguments& given) {
            target = static_cast<Target>(parse_whole(given.front(), range));
          },
          [&target]() -> arguments { return {fmt::to_string(target)}; }};
}

template <typename Number>
option optional_whole(std::string name, std::string value, std::string meaning,
                      std::optional<Number>& target, whole_range range) {
  return {std::move(name),
          std::move(value),
          std::move(meaning),
          arity::one,
          [&target, range](const arguments& given) {
            target = static_cast<Number>(parse_whole(given.front(), range));
          },
          [&target]() -> arguments {
            return target ? arguments{fmt::to_string(*target)} : arguments{};
          }};
}

}  // namespace

void refuse_value(const std::string& given, const std::string& accepted) {
  throw invalid_argument(fmt::format("'{}' is not accepted; expected {}", given, accepted));
}

std::string one_of(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) text += i + 1 == names.size() ? " or " : ", ";
    text += names[i];
  }
  return text;
}

std::uint64_t parse_whole(const std::string& text, whole_range range) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, failure] = std::from_chars(text.data(), end, value);
  if (text.empty() || failure != std::errc{} || stop != end || value < range.lowest ||
      value > range.highest) {
    refuse_value(text, accepted_by(range));
  }
  return value;
}

option switch_on(std::string name, std::string meaning, bool& target) {
  return {std::move(name),
          "",
          std::move(meaning),
          arity::none,
          [&target](const arguments&) { target = true; },
          [&target]() -> arguments { return target ? arguments{""} : arguments{}; }};
}

option text(std::string name, std::string value, std::string meaning, std::string& target) {
  const std::string accepted = "a " + value + " that is not empty";
  return {std::move(name),
          std::move(value),
          std::move(meaning),
          arity::one,
          [&target, accepted](const arguments& given) {
            if (given.front().empty()) refuse_value("", accepted);
            target = given.front();
          },
          [&target]() -> arguments { return target.empty() ? arguments{} : arguments{target}; }};
}

option texts(std::string name, std::string value, std::string meaning,
             std::vector<std::string>& target) {
  const std::string accepted = "one " + value + " or more, none of them empty";
  return {std::move(name),
          std::move(value),
          std::move(meaning),
          arity::many,
          [&target, accepted](const arguments& given) {
            for (const std::string& each : given) {
              if (each.empty()) refuse_value("", accepted);
            }
            target = given;
          },
          [&target]() -> arguments { return target; }};
}

option bytes(std::string name, std::string meaning, std::uint64_t& target) {
  return {std::move(name),
          "BYTES",
          std::move(meaning),
          arity::one,
          [&target](const arguments& given) { target = parse_bytes(given.front()); },
          [&target]() -> arguments { return {fmt::to_string(target)}; }};
}

option bytes(std::string name, std::string meaning, std::optional<std::uint64_t>& target) {
  return {std::move(name),
          "BYTES",
          std::move(meaning),
          arity::one,
          [&target](const arguments& given) { target = parse_bytes(given.front()); },
          [&target]() -> arguments {
            return target ? arguments{fmt::to_string(*target)} : arguments{};
          }};
}

option whole(std::string name, std::string value, std::string meaning, std::uint64_t& target,
             whole_range range) {
  return whole_option(std::move(name), std::move(value), std::move(meaning), target, range);
}

option whole(std::string name, std::string value, std::string meaning, int& target,
             whole_range range) {
  return whole_option(std::move(name), std::move(value), std::move(meaning), target, range);
}

option whole(std::string name, std::string value, std::string meaning, std::optional<int>& target,
             whole_range range) {
  return optional_whole(std::move(name), std::move(value), std::move(meaning), target, range);
}

option whole(std::string name, std::string value, std::string meaning,
             std::optional<std::uint64_t>& target, whole_range range) {
  return optional_whole(std::move(name), std::move(value), std::move(meaning), target, range);
}

option real(std::string name, std::string value, std::string meaning, double& target,
            const real_range& range) {
  return {std::move(name),
          std::move(value),
          std::move(meaning),
          arity::one,
          [&target, range](const arguments& given) { target = parse_real(given.front(), range); },
          [&target]() -> arguments { return {fmt::format("{}", target)}; }};
}

option real(std::string name, std::string value, std::string meaning, std::optional<double>& target,
            const real_range& range) {
  return {std::move(name),
          std::move(value),
          std::move(meaning),
          arity::one,
          [&target, range](const arguments& given) { target = parse_real(given.front(), range); },
          [&target]() -> arguments {
            if (!target) return {};
            return {fmt::format("{}", *target)};
          }};
}

}  // namespace zero::cli
