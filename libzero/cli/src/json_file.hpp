#pragma once
// json_file: JSON that somebody else may have written, read within bounds, and the values in it.
//
// Throws invalid_argument in one line that begins with where: "--option 'PATH'", then the key.

#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>

namespace zero::cli {

using json_object = nlohmann::ordered_json;

// The object in a regular file of at most 1 MiB, of at most 32 levels, without a key twice, nothing
// behind it.
[[nodiscard]] json_object read_json_file(const std::string& option, const std::string& path);

// A value of an object, `where` it is from: a whole number from lowest to highest, a rate that
// can be divided by (1e-15 to 1e18) or 0, a text, a truth. They must be there.
struct whole_bounds {
  std::uint64_t lowest = 1;
  std::uint64_t highest = 1U << 20;
};
[[nodiscard]] std::uint64_t whole_of(const json_object& in, const char* key,
                                     const std::string& where, whole_bounds bounds = {});
[[nodiscard]] double rate_of(const json_object& in, const char* key, const std::string& where);
[[nodiscard]] std::string text_of(const json_object& in, const char* key, const std::string& where);
[[nodiscard]] bool flag_of(const json_object& in, const char* key, const std::string& where);
[[nodiscard]] const json_object& object_of(const json_object& in, const char* key,
                                           const std::string& where);

}  // namespace zero::cli
