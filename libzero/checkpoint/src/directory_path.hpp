#pragma once
// The path of a directory, as somebody typed it: made where it is not there, opened, looked at.
// Links in it are followed: it is the user's own name for a place.

#include <zero/base/descriptor.hpp>

#include <string>

namespace zero::checkpoint {

// Makes the directory and those above it that are not there, for this user alone, each made
// durable in the one above. Throws io_error.
void make_path(const std::string& directory);

// Holds it open, so that what is checked is what is used. Throws io_error; invalid_argument if it
// is no directory, or one in which everybody may plant files.
[[nodiscard]] descriptor open_path(const std::string& directory);

}  // namespace zero::checkpoint
