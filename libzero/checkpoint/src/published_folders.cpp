#include "published_folders.hpp"

#include <zero/base/error.hpp>
#include <zero/checkpoint/store.hpp>

#include <algorithm>
#include <utility>
#include <vector>

namespace zero::checkpoint {
std::vector<std::string> step_folders(const std::vector<std::string>& names) {
  std::vector<std::string> folders;
  for (const std::string& name : names) {
    if (step_of(name)) folders.push_back(name);
  }
  std::sort(folders.rbegin(), folders.rend());
  return folders;
}

std::vector<std::string> catalog(file_calls& files) {
  return step_folders(list_directory(files, ""));
}

published_folders::published_folders(std::shared_ptr<file_calls> files,
                                     std::shared_ptr<lease> owner, int keep)
    : files_(std::move(files)), owner_(std::move(owner)), keep_(keep) {}

void published_folders::note_good(const std::string& folder) {
  good_.insert(folder);
  bad_.erase(folder);
}

void published_folders::note_bad(const std::string& folder) {
  bad_.insert(folder);
  good_.erase(folder);
}

// What cannot be read for any reason but that it is not there may yet be whole.
bool published_folders::verifies(const std::string& folder) {
  if (good_.count(folder) > 0) return true;
  if (bad_.count(folder) > 0) return false;
  bool whole = true;
  try {
    static_cast<void>(read_manifest(*files_, folder));
  } catch (const corrupt_data&) {
    whole = false;
  }
  (whole ? good_ : bad_).insert(folder);
  return whole;
}

void published_folders::check_newer(std::uint64_t step) {
  for (const std::string& folder : step_folders(owner_->entries())) {
    if (*step_of(folder) < step) return;
    if (!verifies(folder)) continue;
    throw invalid_argument("[checkpoint.save] step " + std::to_string(step) +
                           " is not newer than the checkpoint '" + files_->path_of(folder) + "'");
  }
}

void published_folders::publish(const save_id& id, const std::string& text) {
  const std::string staging = staging_name(id);
  const std::string folder = step_folder(id.step);
  const std::string name = staging + "/" + manifest_name;
  write_whole(*files_, name, text);
  sync_directory(*files_, staging);
  const auto names = owner_->entries();  // still ours?
  if (std::find(names.begin(), names.end(), folder) != names.end()) owner_->retire(folder);
  rename(*files_, staging, folder);
  try {
    sync_directory(*files_, "");
    // A system that says it did what it did not do is found out here.
    const std::string published = folder + "/" + manifest_name;
    if (read_whole(*files_, published, text.size()) != text) {
      throw corrupt_data("not what was written", files_->path_of(published));
    }
  } catch (...) {
    withdraw(folder);
    throw;
  }
  note_good(folder);
}

// Whether it would be found after a crash is not known: better that it is not found at all. If it
// is, it is whole.
void published_folders::withdraw(const std::string& folder) noexcept {
  try {
    owner_->retire(folder);
  } catch (const error&) {
    bad_.insert(folder);
  }
}

void published_folders::retain(std::uint64_t step) {
  const std::string newest = step_folder(step);
  int kept = 0;
  for (const std::string& folder : step_folders(owner_->entries())) {
    const bool enough = keep_ > 0 && kept >= keep_;
    if (folder > newest || (folder < newest && enough)) {
      owner_->retire(folder);
      good_.erase(folder);
      bad_.erase(folder);
    } else if (verifies(folder)) {
      ++kept;
    }
  }
}

}  // namespace zero::checkpoint
