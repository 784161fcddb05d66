#pragma once
// Files that are there whole or not at all.

#include <string>

namespace zero::cli {

// Throws invalid_argument, saying why, unless a file could be put into `folder`, which need not
// exist yet. Changes nothing.
void check_writable(const std::string& folder);

enum class writing : unsigned char {
  in_place,  // what is at the path is opened and written: a pipe or a device will do
  replace,   // a new file takes its place, which must be free or a regular file's
};

// Throws invalid_argument, saying why, unless `path` could be written as a file. Its folder must
// exist. Changes nothing.
void check_writable_file(const std::string& path, writing mode);

// Makes `folder`/`name` hold `text`: written beside it under another name, flushed to the disk and
// renamed. Makes the folder if needed. Throws io_error; then nothing new stands in the folder.
void write_whole(const std::string& folder, const std::string& name, const std::string& text);

}  // namespace zero::cli
