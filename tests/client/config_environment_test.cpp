// zero_config from variables, and the order of files and variables.

#include "config_texts.hpp"

#include <gtest/gtest.h>

#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

extern char** environ;

namespace zero::test {
namespace {

std::string variable_of(std::string name) {
  for (char& c : name) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return "LIBZERO_" + name;
}

class config_environment : public testing::Test {
 protected:
  config_environment() { clear(); }
  ~config_environment() override { clear(); }

  static void clear() {
    std::set<std::string> names;
    for (char** entry = environ; *entry != nullptr; ++entry) {
      const std::string text = *entry;
      if (text.rfind("LIBZERO_", 0) == 0) names.insert(text.substr(0, text.find('=')));
    }
    for (const std::string& name : names) unsetenv(name.c_str());
  }
  static void set(const std::string& name, const std::string& value) {
    ASSERT_EQ(setenv(name.c_str(), value.c_str(), 1), 0);
  }
  static taken take() {
    taken result;
    zero_message why{};
    result.status = zero_config_environment(&result.config, &why);
    result.why = why.text;
    return result;
  }
};

TEST_F(config_environment, nothing_says_nothing) {
  EXPECT_EQ(take().status, ZERO_OK);
  EXPECT_TRUE(same(take().config, defaults()));
}

TEST_F(config_environment, every_field_has_a_variable) {
  for (const example& e : every_field()) {
    clear();
    set(variable_of(e.name), e.text);
    const taken got = take();
    EXPECT_EQ(got.status, ZERO_OK) << e.name << ": " << got.why;
    for (const example& other : every_field()) {
      EXPECT_EQ(other.holds(got.config), other.name == e.name) << e.name << " " << other.name;
    }
  }
}

TEST_F(config_environment, empty_and_auto_say_nothing) {
  for (const char* nothing : {"", "auto"}) {
    for (const example& e : every_field()) set(variable_of(e.name), nothing);
    set("LIBZERO_CONFIG", "");
    EXPECT_EQ(take().status, ZERO_OK) << take().why;
    EXPECT_TRUE(same(take().config, defaults()));
  }
}

TEST_F(config_environment, a_file_comes_first) {
  const std::string path = std::filesystem::temp_directory_path() / "libzero environment.json";
  std::ofstream(path) << R"({"zero_optimization": {"stage": 3}, "gradient_clipping": 2,
                             "optimizer": {"type": "Lion", "params": {"betas": [0.5, 0.5]}}})";
  set("LIBZERO_CONFIG", path);
  set("LIBZERO_STAGE", "1");
  set("LIBZERO_RULE", "lion");
  const taken got = take();
  std::filesystem::remove(path);
  ASSERT_EQ(got.status, ZERO_OK) << got.why;
  EXPECT_EQ(got.config.stage, 1);
  EXPECT_EQ(got.config.clip_norm, 2);
  EXPECT_EQ(got.config.group.beta2, 0.5F);
  EXPECT_EQ(take().status, ZERO_INVALID);
  EXPECT_EQ(take().why, path + ": there is no such file");
}

TEST_F(config_environment, unknown_variables_name_the_nearest) {
  set("LIBZERO_STAGES", "1");
  EXPECT_EQ(take().status, ZERO_INVALID);
  EXPECT_EQ(take().why, "LIBZERO_STAGES is not known; the nearest known variable is LIBZERO_STAGE");
  clear();
  set("LIBZERO_CONFG", "x");
  EXPECT_EQ(take().why, "LIBZERO_CONFG is not known; the nearest known variable is LIBZERO_CONFIG");
  clear();
  set("LIBZEROS_STAGE", "of another");
  EXPECT_EQ(take().status, ZERO_OK);
}

TEST_F(config_environment, values_that_are_not_accepted) {
  const std::pair<const char*, const char*> table[] = {
      {"LIBZERO_STAGE", "\"three\" is not accepted; expected a whole number from 0 to 3"},
      {"LIBZERO_STAGE", "4 is not accepted; expected a whole number from 0 to 3"},
      {"LIBZERO_STAGE", "\"1 2\" is not accepted; expected a whole number from 0 to 3"},
      {"LIBZERO_NESTEROV", "2 is not accepted; expected true or false"},
      {"LIBZERO_MEMORY_BUDGET",
       "\"-1GiB\" is not accepted; expected bytes: 4096, \"512MiB\", \"1.5GB\""},
      {"LIBZERO_OFFLOAD_GRADIENTS",
       "\"disk\" is not accepted; expected one of none, cpu, nvme, optimizer"},
      {"LIBZERO_CLIP_NORM", "\"nan\" is not accepted; expected a number from 0 on"},
      {"LIBZERO_CLIP_NORM", "\"1e999\" is not accepted; expected a number from 0 on"},
  };
  for (const auto& [name, why] : table) {
    clear();
    const std::string words = why;
    std::string value = words.substr(0, words.find(" is not accepted"));
    if (value[0] == '"') value = value.substr(1, value.size() - 2);
    set(name, value);
    EXPECT_EQ(take().status, ZERO_INVALID) << name << "=" << value;
    EXPECT_EQ(take().why, std::string(name) + ": " + why);
    EXPECT_TRUE(same(take().config, defaults()));
  }
}

}  // namespace
}  // namespace zero::test
