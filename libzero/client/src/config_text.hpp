#pragma once
// JSON texts, files and the environment, put into a filling. Thread-safe, but for the environment
// while another thread changes it.

#include "config_filling.hpp"

#include <string>

namespace zero::client {

// Throws invalid_argument that says where: for a text that is no JSON object, that has more than
// it, a key twice or more than 32 levels, and for every key that is not accepted.
void take_text(filling& to, const std::string& text);
// The same of a regular file of at most 1 MiB; the path stands before the message. io_error where
// it cannot be read.
void take_file(filling& to, const std::string& path);
// `environment` as environ has it: LIBZERO_CONFIG, a file, then the variables of the fields. Empty
// ones say nothing. Throws invalid_argument also for a LIBZERO_ variable that is not known.
void take_environment(filling& to, const char* const* environment);

}  // namespace zero::client
