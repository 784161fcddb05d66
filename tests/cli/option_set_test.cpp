// What is accepted, what is refused and in which words; and the way back to a command line.

#include "option_set.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>

#include <cmath>

namespace zero::cli {
namespace {

enum class color { red, green };

struct values {
  std::uint64_t count = 3;
  int small = 1;
  std::optional<int> maybe;
  double rate = 0.5;
  bool on = false;
  std::string name;
  std::vector<std::string> many;
  std::uint64_t size = 10;
  std::optional<std::uint64_t> budget;
  color shade = color::red;
};

option_set options_of(values& v) {
  option_set set("paint", "[OPTION...]", "Paints.");
  set.group("Numbers");
  set.add(whole("count", "N", "how many", v.count, {1}));
  set.add(whole("small,s", "N", "a small one", v.small, {1, 9}));
  set.add(whole("maybe", "N", "perhaps", v.maybe, {0}));
  set.add(real("rate", "RATE", "how fast", v.rate, {0.0, 1.0, "a number from 0 to 1"}));
  set.group("Others");
  set.add(switch_on("on", "turns it on", v.on));
  set.add(text("name", "NAME", "what it is called", v.name));
  set.add(texts("many", "PATH", "several", v.many));
  set.add(bytes("size", "how large", v.size));
  set.add(bytes("budget", "how much", v.budget));
  set.add(choice("shade", "which", v.shade,
                 names_of<color>{{"red", color::red}, {"green", color::green}}));
  return set;
}

std::string refusal(const arguments& given) {
  values v;
  try {
    options_of(v).parse(given);
  } catch (const invalid_argument& e) {
    EXPECT_EQ(e.kind(), error_class::usage);
    EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos);
    return e.what();
  }
  return "accepted";
}

TEST(OptionSet, SetsWhatIsGivenAndLeavesTheRest) {
  values v;
  options_of(v).parse({"--count", "7", "--rate=0.25", "--on", "--many", "a", "b c", "--size",
                       "2KiB", "--shade", "green", "-s", "4"});
  EXPECT_EQ(v.count, 7U);
  EXPECT_EQ(v.small, 4);
  EXPECT_EQ(v.rate, 0.25);
  EXPECT_TRUE(v.on);
  EXPECT_EQ(v.many, (std::vector<std::string>{"a", "b c"}));
  EXPECT_EQ(v.size, 2048U);
  EXPECT_EQ(v.shade, color::green);
  EXPECT_FALSE(v.maybe.has_value());
  EXPECT_TRUE(v.name.empty());
}

TEST(OptionSet, ListsMayBeGivenInPieces) {
  values v;
  options_of(v).parse({"--many", "a", "--on", "--many=-b"});
  EXPECT_EQ(v.many, (std::vector<std::string>{"a", "-b"}));
}

struct wrong_input {
  arguments given;
  std::vector<std::string> said;  // all of these stand in the refusal
};

class Refused : public testing::TestWithParam<wrong_input> {};

TEST_P(Refused, NamesOptionValueAndWhatIsAccepted) {
  const std::string message = refusal(GetParam().given);
  for (const std::string& part : GetParam().said) {
    EXPECT_NE(message.find(part), std::string::npos) << "'" << part << "' in: " << message;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Table, Refused,
    testing::Values(
        wrong_input{{"--nonsense", "1"}, {"--nonsense", "unknown"}},
        wrong_input{{"--coun", "1"}, {"--coun", "unknown"}}, wrong_input{{"-x"}, {"-x"}},
        wrong_input{{"--count"}, {"--count", "argument"}},
        wrong_input{{"--count", "--on"}, {"--count", "argument"}},
        wrong_input{{"--count="}, {"--count"}},
        wrong_input{{"--count", ""}, {"--count", "''", "whole number from 1"}},
        wrong_input{{"--count", "0"}, {"--count", "'0'", "whole number from 1"}},
        wrong_input{{"--count", "-3"}, {"--count", "-3"}},
        wrong_input{{"--count=-3"}, {"--count", "'-3'", "whole number"}},
        wrong_input{{"--count", "+3"}, {"--count", "'+3'"}},
        wrong_input{{"--count", " 3"}, {"--count", "' 3'"}},
        wrong_input{{"--count", "3.5"}, {"--count", "'3.5'"}},
        wrong_input{{"--count", "0x10"}, {"--count", "'0x10'"}},
        wrong_input{{"--count", "99999999999999999999"}, {"--count", "99999999999999999999"}},
        wrong_input{{"--count", "1", "--count", "2"}, {"--count", "1, 2", "once"}},
        wrong_input{{"--small", "10"}, {"--small", "'10'", "1 to 9"}},
        wrong_input{{"-s", "10"}, {"small", "'10'", "1 to 9"}},
        wrong_input{{"--rate", "nan"}, {"--rate", "'nan'", "0 to 1"}},
        wrong_input{{"--rate", "inf"}, {"--rate", "'inf'"}},
        wrong_input{{"--rate", "1e999"}, {"--rate", "'1e999'"}},
        wrong_input{{"--rate", "1.5"}, {"--rate", "'1.5'"}},
        wrong_input{{"--rate=-0.5"}, {"--rate", "'-0.5'"}},
        wrong_input{{"--rate", "0.5x"}, {"--rate", "'0.5x'"}}, wrong_input{{"--on=yes"}, {"--on"}},
        wrong_input{{"--name", ""}, {"--name", "''", "not empty"}},
        wrong_input{{"--many"}, {"--many"}}, wrong_input{{"--many", "a", ""}, {"--many", "empty"}},
        wrong_input{{"--size", "2XB"}, {"--size", "2XB", "512MiB"}},
        wrong_input{{"--size", "-1"}, {"--size"}},
        wrong_input{{"--budget", "much"}, {"--budget", "much", "512MiB"}},
        wrong_input{{"--shade", "blue"}, {"--shade", "'blue'", "red or green"}},
        wrong_input{{"--shade", "Red"}, {"--shade", "'Red'", "red or green"}},
        wrong_input{{"loose"}, {"loose", "unexpected"}},
        wrong_input{{"--on", "loose"}, {"loose", "unexpected"}},
        wrong_input{{"--", "loose"}, {"loose", "unexpected"}}));

TEST(OptionSet, ComesBackFromItsArguments) {
  values v;
  options_of(v).parse({"--rate", "0.1", "--many", "-a", "b", "--name", "x y", "--budget", "1MiB",
                       "--on", "--maybe", "0", "--shade", "green"});
  const arguments written = options_of(v).to_arguments();
  values again;
  options_of(again).parse(written);
  EXPECT_EQ(again.rate, 0.1);
  EXPECT_EQ(again.many, v.many);
  EXPECT_EQ(again.name, "x y");
  EXPECT_EQ(again.budget, std::uint64_t{1} << 20);
  EXPECT_EQ(again.maybe, 0);
  EXPECT_TRUE(again.on);
  EXPECT_EQ(again.shade, color::green);
  EXPECT_EQ(options_of(again).to_arguments(), written);
}

TEST(OptionSet, HelpListsEveryOptionWithUnitAndDefault) {
  values v;
  const std::string help = options_of(v).help();
  for (const char* part :
       {"usage: zero paint", "Numbers", "--count N", "(default 3)", "--rate RATE", "(default 0.5)",
        "--size BYTES", "(default 10)", "--on", "red|green", "(default red)"}) {
    EXPECT_NE(help.find(part), std::string::npos) << part << " in:\n" << help;
  }
}

TEST(OptionSet, HelpIsAskedForBeforeTheDoubleDashOnly) {
  EXPECT_TRUE(asks_for_help({"--count", "x", "--help"}));
  EXPECT_TRUE(asks_for_help({"-h"}));
  EXPECT_FALSE(asks_for_help({"--", "--help"}));
  EXPECT_FALSE(asks_for_help({}));
}

}  // namespace
}  // namespace zero::cli
