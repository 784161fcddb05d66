#include "read_manifest.hpp"

#include "file.hpp"
#include "manifest_rules.hpp"
#include "names.hpp"

#include <zero/base/error.hpp>
#include <zero/checkpoint/store.hpp>

namespace zero::checkpoint {
namespace {

std::string manifest_in(const std::string& folder) { return folder + "/" + manifest_name; }

}  // namespace

std::string read_manifest_text(file_calls& files, const std::string& folder) {
  try {
    return read_whole(files, manifest_in(folder), manifest_limit);
  } catch (const io_error& e) {
    if (is_no_file(e.error_number)) throw corrupt_data(e.what(), e.path);
    throw;
  }
}

manifest check_manifest(const std::string& text, const std::string& folder,
                        const std::string& path) {
  manifest m = parse_manifest(text, path);
  check_coverage(m, path);
  if (step_folder(m.id.step) != folder) {
    throw corrupt_data("it is the manifest of step " + std::to_string(m.id.step), path);
  }
  return m;
}

manifest read_manifest(file_calls& files, const std::string& folder) {
  return check_manifest(read_manifest_text(files, folder), folder,
                        files.path_of(manifest_in(folder)));
}

}  // namespace zero::checkpoint
