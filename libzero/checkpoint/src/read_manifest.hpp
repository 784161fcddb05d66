#pragma once
// read_manifest: the manifest of a folder, which is believed only if it belongs there.

#include <zero/checkpoint/file_calls.hpp>
#include <zero/checkpoint/manifest.hpp>

#include <string>

namespace zero::checkpoint {

// Throws io_error, corrupt_data.
[[nodiscard]] std::string read_manifest_text(file_calls& files, const std::string& folder);
// That it parses, covers everything once and is of this folder's step. Throws corrupt_data;
// invalid_argument where another version wrote it.
[[nodiscard]] manifest check_manifest(const std::string& text, const std::string& folder,
                                      const std::string& path);

}  // namespace zero::checkpoint
