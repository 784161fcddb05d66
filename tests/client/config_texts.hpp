#pragma once
// A zero_config filled from texts, and every field by hand: what the tests of the configuration
// compare with. The list below is written independently of the library's own table.

#include <zero/config.h>

#include <cstring>
#include <functional>
#include <string>
#include <vector>

namespace zero::test {

inline zero_config defaults() {
  zero_config config;
  zero_config_init(&config);
  return config;
}

struct taken {
  zero_status status = ZERO_OK;
  std::string why;
  zero_config config = defaults();
};

inline taken of_json(const std::string& text, const zero_config& before = defaults()) {
  taken result{ZERO_OK, {}, before};
  zero_message why{};
  result.status = zero_config_json(&result.config, text.c_str(), &why);
  result.why = why.text;
  return result;
}

inline bool same(const zero_config& a, const zero_config& b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

// A field, a value that is not its default, and how that value is written.
struct example {
  std::string name;  // lower case
  std::string text;  // as a variable has it
  std::string json;  // as JSON has it
  std::function<bool(const zero_config&)> holds;
};

std::vector<example> every_field();

}  // namespace zero::test
