#pragma once
// text: files and folders read into one corpus of bytes.

#include "trainer/corpus.hpp"

#include <string>
#include <vector>

namespace zero::trainer {

inline constexpr const char* default_text = "/usr/share/common-licenses";

// The bytes of every path one after the other. A folder stands for the regular files right in it,
// in name order, symbolic links left out. Throws io_error (missing, unreadable) or
// invalid_argument (no path, nothing in it, not a regular file), naming the path.
[[nodiscard]] corpus read_text(const std::vector<std::string>& paths);

}  // namespace zero::trainer
