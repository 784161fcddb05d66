#pragma once
// list_option: an option that takes a list of names.

#include "option_set.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace zero::cli {

// "a,b,c" in its parts; an empty part stays one.
inline std::vector<std::string> parts_of(const std::string& text) {
  std::vector<std::string> result(1);
  for (const char c : text) {
    if (c == ',') {
      result.emplace_back();
    } else {
      result.back() += c;
    }
  }
  return result;
}

// A list of values that `each` can be and that may stand there once.
template <typename T>
[[nodiscard]] option list(std::string name, std::string meaning, std::vector<T>& target,
                          const names_of<T>& accepted) {
  std::vector<std::string> names;
  for (const auto& entry : accepted) names.push_back(entry.first);
  const std::string wanted = "a list of " + one_of(names) + ", each at most once, like " +
                             fmt::format("{}", fmt::join(names, ","));
  const auto set = [&target, accepted, wanted](const arguments& given) {
    std::vector<T> values;
    for (const std::string& part : parts_of(given.front())) {
      const auto found = std::find_if(accepted.begin(), accepted.end(),
                                      [&part](const auto& entry) { return entry.first == part; });
      if (found == accepted.end() || std::count(values.begin(), values.end(), found->second) > 0) {
        refuse_value(given.front(), wanted);
      }
      values.push_back(found->second);
    }
    target = values;
  };
  const auto show = [&target, accepted]() -> arguments {
    std::string text;
    for (const T& value : target) {
      for (const auto& entry : accepted) {
        if (entry.second == value) text += (text.empty() ? "" : ",") + entry.first;
      }
    }
    return {text};
  };
  return {std::move(name), "LIST", std::move(meaning), arity::one, set, show};
}

}  // namespace zero::cli
