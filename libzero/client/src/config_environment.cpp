// The environment: one variable for every field, and one for a file.

#include "config_names.hpp"
#include "config_text.hpp"

#include <zero/base/error.hpp>

#include <algorithm>
#include <cctype>
#include <map>
#include <vector>

namespace zero::client {
namespace {

constexpr const char* prefix = "LIBZERO_";
constexpr const char* file_variable = "LIBZERO_CONFIG";

std::string variable_of(const field& of) {
  std::string name = prefix;
  for (const char* c = of.name; *c != '\0'; ++c) {
    name += static_cast<char>(std::toupper(static_cast<unsigned char>(*c)));
  }
  return name;
}

std::map<std::string, std::string> ours(const char* const* environment) {
  std::map<std::string, std::string> result;
  for (; environment != nullptr && *environment != nullptr; ++environment) {
    const std::string entry = *environment;
    const std::size_t equals = entry.find('=');
    if (entry.compare(0, std::char_traits<char>::length(prefix), prefix) != 0) continue;
    if (equals == std::string::npos) continue;
    result.emplace(entry.substr(0, equals), entry.substr(equals + 1));
  }
  return result;
}

}  // namespace

void take_environment(filling& to, const char* const* environment) {
  const std::map<std::string, std::string> given = ours(environment);
  std::vector<std::string> known{file_variable};
  for (const field& f : fields()) known.push_back(variable_of(f));
  for (const auto& [name, value] : given) {
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      throw invalid_argument(name.substr(0, 100) + " is not known; the nearest known variable is " +
                             nearest_of(name.substr(0, 100), known));
    }
  }
  const auto file = given.find(file_variable);
  if (file != given.end() && !file->second.empty()) take_file(to, file->second);
  to.begin_text();
  for (const field& f : fields()) {
    const auto found = given.find(variable_of(f));
    if (found == given.end() || found->second.empty() || found->second == "auto") continue;
    to.put(f.name, value_of_text(f, found->second), found->first);
  }
}

}  // namespace zero::client
