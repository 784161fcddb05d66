#pragma once
// Opening a directory in which scratch files may be made, and such a file in it.

#include <zero/base/descriptor.hpp>
#include <zero/offload/swap_file.hpp>

#include <string>

namespace zero::offload {

// The directory behind the path, held open: what is checked is what is used. Throws
// invalid_argument as swap_file says.
[[nodiscard]] descriptor open_swap_directory(const std::string& path);

// An empty file without a name in it, for reading and writing by this user alone. Throws
// invalid_argument where nothing may be written, io_error otherwise.
[[nodiscard]] descriptor make_nameless_file(const descriptor& directory, const std::string& path,
                                            swap_naming naming);

}  // namespace zero::offload
