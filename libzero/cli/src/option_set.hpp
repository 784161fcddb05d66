#pragma once
// option_set: the options of one subcommand, each bound to the variable it sets. One table serves
// the parser, the help and the way back to a command line for the processes a command starts.
//
// Belongs to one thread. The variables must outlive the set. Wrong input throws invalid_argument
// with one line that names the option, the value and what is accepted.

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace zero::cli {

using arguments = std::vector<std::string>;

// How many values an option takes.
enum class arity : unsigned char { none, one, many };

struct option {
  std::string name;     // "steps", or "ranks,n" with a one-letter spelling
  std::string value;    // what stands for the value in the help, with its unit: "BYTES"
  std::string meaning;  // one sentence; the default is added to it
  arity values = arity::one;
  std::function<void(const arguments&)> set;  // throws invalid_argument with what is accepted
  std::function<arguments()> show;            // the present value as it would be given; or nothing
};

class option_set {
 public:
  // `usage` is what stands after "zero SUBCOMMAND", `purpose` one or two sentences.
  option_set(std::string subcommand, std::string usage, std::string purpose);

  // Starts a titled group in the help.
  void group(std::string title);
  void add(option o);

  // Sets what is given. Throws invalid_argument for an unknown option, a value that is missing,
  // given twice, or not accepted. Options that are not given keep their variable as it is.
  void parse(const arguments& given);

  // The option of that name, for a set that takes some of another's. Throws std::out_of_range.
  [[nodiscard]] const option& at(const std::string& name) const;

  [[nodiscard]] std::string help() const;
  // "--steps", "20", ...: every option with a value, so that parse() of another set gets the same.
  [[nodiscard]] arguments to_arguments() const;

 private:
  struct section {
    std::string title;
    std::vector<option> options;
  };
  std::string subcommand_;
  std::string usage_;
  std::string purpose_;
  std::vector<section> sections_;
};

// True if --help or -h stands anywhere before "--".
[[nodiscard]] bool asks_for_help(const arguments& given);

// ---- the kinds of options ----------------------------------------------------------------------

[[nodiscard]] option switch_on(std::string name, std::string meaning, bool& target);
[[nodiscard]] option text(std::string name, std::string value, std::string meaning,
                          std::string& target);
[[nodiscard]] option texts(std::string name, std::string value, std::string meaning,
                           std::vector<std::string>& target);
[[nodiscard]] option bytes(std::string name, std::string meaning, std::uint64_t& target);
[[nodiscard]] option bytes(std::string name, std::string meaning,
                           std::optional<std::uint64_t>& target);

// A whole number from lowest to highest, both included.
struct whole_range {
  std::uint64_t lowest = 0;
  std::uint64_t highest = std::numeric_limits<std::int32_t>::max();
};
[[nodiscard]] std::uint64_t parse_whole(const std::string& text, whole_range range);
[[nodiscard]] option whole(std::string name, std::string value, std::string meaning,
                           std::uint64_t& target, whole_range range);
[[nodiscard]] option whole(std::string name, std::string value, std::string meaning, int& target,
                           whole_range range);
[[nodiscard]] option whole(std::string name, std::string value, std::string meaning,
                           std::optional<int>& target, whole_range range);
[[nodiscard]] option whole(std::string name, std::string value, std::string meaning,
                           std::optional<std::uint64_t>& target, whole_range range);

// A finite number. Bounds are included but for `above`, which is not.
struct real_range {
  double lowest = std::numeric_limits<double>::lowest();
  double highest = std::numeric_limits<double>::max();
  std::string accepted = "a finite number";
};
[[nodiscard]] option real(std::string name, std::string value, std::string meaning, double& target,
                          const real_range& range);
[[nodiscard]] option real(std::string name, std::string value, std::string meaning,
                          std::optional<double>& target, const real_range& range);

// Throws the refusal every kind of option uses.
[[noreturn]] void refuse_value(const std::string& given, const std::string& accepted);

template <typename Enum>
using names_of = std::vector<std::pair<std::string, Enum>>;

// "a, b or c".
[[nodiscard]] std::string one_of(const std::vector<std::string>& names);

// One of a few names.
template <typename Enum>
[[nodiscard]] option choice(std::string name, std::string meaning, Enum& target,
                            names_of<Enum> names) {
  std::string value;
  std::vector<std::string> accepted;
  for (const auto& entry : names) {
    value += (value.empty() ? "" : "|") + entry.first;
    accepted.push_back(entry.first);
  }
  const auto set = [&target, names, accepted](const arguments& given) {
    for (const auto& entry : names) {
      if (entry.first == given.front()) {
        target = entry.second;
        return;
      }
    }
    refuse_value(given.front(), one_of(accepted));
  };
  const auto show = [&target, names]() -> arguments {
    for (const auto& entry : names) {
      if (entry.second == target) return {entry.first};
    }
    return {};
  };
  return {std::move(name), std::move(value), std::move(meaning), arity::one, set, show};
}

// The same where nothing may be given, and nothing is shown until it is.
template <typename Enum>
[[nodiscard]] option choice(std::string name, std::string meaning, std::optional<Enum>& target,
                            const names_of<Enum>& names) {
  const auto set = [&target, names](const arguments& given) {
    Enum value{};
    choice("", "", value, names).set(given);
    target = value;
  };
  const auto show = [&target, names]() -> arguments {
    if (!target) return {};
    Enum value = *target;
    return choice("", "", value, names).show();
  };
  Enum any{};
  std::string value = choice("", "", any, names).value;
  return {std::move(name), std::move(value), std::move(meaning), arity::one, set, show};
}

}  // namespace zero::cli
