#pragma once
// The fields of zero_config by name. One row of the table serves JSON, the environment and the
// check of a struct that a client has filled in by hand; to add a field is to add a row.
//
// Pure functions over a constant table; thread-safe.

#include <zero/base/span.hpp>
#include <zero/config.h>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

namespace zero::client {

using json = nlohmann::ordered_json;

struct choice {
  const char* name;
  std::int32_t value;
};

// Where a field is: a char* is the first of sizeof zero_config::disk_path characters.
using slot = std::variant<std::int32_t*, std::uint64_t*, double*, float*, char*>;

struct field {
  enum class form : unsigned char { whole, real, bytes, flag, one_of, text };
  enum class ends : unsigned char { both, low, high };  // of its range

  // Of LIBZERO_<NAME> and, in JSON, libzero.<name>.
  const char* name;
  slot (*at)(zero_config&);
  form kind;
  double low = 0;  // of whole and real
  double high = 0;
  ends included = ends::both;
  span<const choice> choices{};  // of one_of; whole numbers and reals may have words beside
};

[[nodiscard]] span<const field> fields() noexcept;
// nullptr for other names.
[[nodiscard]] const field* field_of(std::string_view name) noexcept;

// "a whole number from 0 to 3", "one of none, cpu, nvme", ...
[[nodiscard]] std::string what_is_accepted(const field& of);
// Throws invalid_argument "path: VALUE is not accepted; expected ...".
[[noreturn]] void refuse(const std::string& path, const json& value, const std::string& expected);

// Sets the field to what a JSON value says. Throws invalid_argument that begins with the path; the
// field is as it was then.
void assign(zero_config& config, const field& of, const json& value, const std::string& path);
// What a text of an environment variable is as JSON for that field.
[[nodiscard]] json value_of_text(const field& of, const std::string& text);
// What assign would take to make the field what it is. Not for what check refuses.
[[nodiscard]] json value_of(const zero_config& config, const field& of);
// Throws invalid_argument that begins with the field's name unless assign could have set it so.
void check(const zero_config& config, const field& of);

}  // namespace zero::client
