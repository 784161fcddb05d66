#include "read_manifest.hpp"

#include "file.hpp"
#include "names.hpp"

#include <zero/base/error.hpp>
#include <zero/checkpoint/store.hpp>

namespace zero::checkpoint {
namespace {

// A manifest has about 20 bytes for each MiB: that of 50 TB.
constexpr std::uint64_t most_manifest_bytes = std::uint64_t{1} << 30U;

std::string manifest_in(const std::string& folder) { return folder + "/" + manifest_name; }

}  // namespace

std::string read_manifest_text(file_calls& files, const std::string& folder) {
  return read_whole(files, manifest_in(folder), most_manifest_bytes);
}

manifest check_manifest(const std::string& text, const std::string& folder,
                        const std::string& path) {
  manifest m = parse_manifest(text, path);
  check_coverage(m, path);
  if (step_folder(m.id.step) != folder) {
    throw corrupt_data("it is the manifest of step " + std::to_string(m.id.step), path);
  }
  const int size = static_cast<int>(m.files.size());
  for (int r = 0; r < size; ++r) {
    const std::string& name = m.files[static_cast<std::size_t>(r)].name;
    if (name != shard_name(r, size)) {
      throw corrupt_data("it calls the file of rank " + std::to_string(r) + " '" + name + "'",
                         path);
    }
  }
  return m;
}

manifest read_manifest(file_calls& files, const std::string& folder) {
  return check_manifest(read_manifest_text(files, folder), folder,
                        files.path_of(manifest_in(folder)));
}

}  // namespace zero::checkpoint
