#pragma once
// filling: a zero_config while it is being filled in. What is put goes into a copy, so that a text
// with a fault in it changes nothing; the client's struct may be of an older header.
//
// One thread at a time.

#include "config_fields.hpp"

#include <cstddef>
#include <map>
#include <string>

namespace zero::client {

// Throws invalid_argument unless some header, of this version or an older or newer one, may have
// said that this is the size of zero_config.
void check_struct_size(std::size_t size);
// Every default.
[[nodiscard]] zero_config default_config() noexcept;
// As the client has it, with defaults where its header has no field. Throws invalid_argument for
// nullptr, for a struct_size that cannot be, and where a field that this library does not know is
// set.
[[nodiscard]] zero_config known_part(const zero_config* given);

class filling {
 public:
  // Throws like known_part.
  explicit filling(zero_config* into);

  [[nodiscard]] const zero_config& now() const noexcept { return config_; }
  // Another text begins: what it says may replace what an earlier one said.
  void begin_text() noexcept { said_by_.clear(); }
  // "auto" and null leave what is there. Another rule than before brings its customary constants.
  // Throws invalid_argument that begins with the path: for a value that is not accepted, for a
  // field that the client's header does not have, and where another path of the same text said
  // something else.
  void put(const std::string& name, const json& value, const std::string& path);
  // As put, but any path of the same text may say otherwise.
  void presume(const std::string& name, const json& value, const std::string& path);
  // Only whether put would take the value.
  void try_out(const std::string& name, const json& value, const std::string& path) const;
  [[nodiscard]] bool said(const std::string& name) const { return said_by_.count(name) != 0; }
  // Gives it to the client.
  void finish() noexcept;

 private:
  void set(const field& of, const json& value, const std::string& path);

  zero_config* into_;
  std::size_t size_;
  zero_config config_;
  std::map<std::string, std::string> said_by_;  // path, by name of the field
};

// "auto" or null.
[[nodiscard]] bool is_left_alone(const json& value);

}  // namespace zero::client
