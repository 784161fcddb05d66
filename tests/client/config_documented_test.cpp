// configuration.md says every variable, every field and every key that there is, and no other
// variable.

#include "config_keys.hpp"
#include "config_texts.hpp"

#include <gtest/gtest.h>

#include <cctype>
#include <fstream>
#include <iterator>
#include <set>

namespace zero::test {
namespace {

const std::string& document() {
  static const std::string text = [] {
    std::ifstream file(ZERO_CONFIGURATION_MD);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }();
  return text;
}

TEST(config_documented, every_field_has_its_row) {
  ASSERT_FALSE(document().empty());
  std::set<std::string> names{"LIBZERO_CONFIG"};
  for (const example& e : every_field()) {
    std::string variable = "LIBZERO_" + e.name;
    for (char& c : variable) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    names.insert(variable);
    EXPECT_NE(document().find("\n| `" + variable + "` | `" + e.name + "` | `"), std::string::npos)
        << variable;
  }
  const std::string row = "\n| `LIBZERO_";
  std::size_t rows = 0;
  for (std::size_t at = document().find(row); at != std::string::npos;
       at = document().find(row, at + 1), ++rows) {
    const std::size_t begin = at + 4;
    const std::string variable = document().substr(begin, document().find('`', begin) - begin);
    EXPECT_EQ(names.count(variable), 1U) << variable;
  }
  EXPECT_EQ(rows, names.size());
}

TEST(config_documented, the_library_has_just_these_fields) {
  std::set<std::string> listed;
  for (const example& e : every_field()) listed.insert(e.name);
  std::set<std::string> there;
  for (const client::field& f : client::fields()) there.insert(f.name);
  EXPECT_EQ(there, listed);
}

TEST(config_documented, every_key_is_named) {
  for (const client::key& k : client::deepspeed_keys()) {
    const std::string path = k.path;
    const std::string last = path.substr(path.rfind('.') + 1);
    const bool named = document().find("`" + path + "`") != std::string::npos ||
                       document().find("`" + last + "`") != std::string::npos ||
                       document().find("." + last + "`") != std::string::npos;
    EXPECT_TRUE(named) << path;
  }
}

}  // namespace
}  // namespace zero::test
