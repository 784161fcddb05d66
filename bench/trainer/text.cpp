#include "trainer/text.hpp"

#include "trainer/file.hpp"

#include <zero/base/error.hpp>

#include <algorithm>
#include <filesystem>
#include <system_error>

namespace zero::trainer {

namespace {

// The regular files right in a folder, by name.
std::vector<std::string> files_in(const std::string& folder) {
  namespace fs = std::filesystem;
  std::vector<std::string> files;
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    if (entry->symlink_status(error).type() == fs::file_type::regular) {
      files.push_back(entry->path().string());
    }
    if (error) break;
  }
  if (error) throw io_error("read folder", folder, error.value());
  if (files.empty()) throw invalid_argument("folder '" + folder + "' has no regular file in it");
  std::sort(files.begin(), files.end());
  return files;
}

void append(const std::string& path, std::vector<std::uint8_t>& bytes) {
  const file text = file::open(path);
  const std::size_t start = bytes.size();
  bytes.resize(start + text.size());
  text.read(bytes.data() + start, text.size(), 0);
}

}  // namespace

corpus read_text(const std::vector<std::string>& paths) {
  if (paths.empty()) throw invalid_argument("no text is given");
  std::vector<std::string> files;
  std::string origin;
  for (const std::string& path : paths) {
    origin += (origin.empty() ? "'" : ", '") + path + "'";
    std::error_code error;
    const bool folder = std::filesystem::is_directory(path, error);
    for (const std::string& name : folder ? files_in(path) : std::vector<std::string>{path}) {
      files.push_back(name);
    }
  }
  std::vector<std::uint8_t> bytes;
  for (const std::string& name : files) append(name, bytes);
  if (bytes.empty()) throw invalid_argument("text " + origin + " is empty");
  corpus text(std::move(bytes), 1, "text " + origin);
  text.set_files(std::move(files));
  return text;
}

}  // namespace zero::trainer
