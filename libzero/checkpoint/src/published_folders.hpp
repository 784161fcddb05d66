#pragma once
// published_folders: which checkpoints a directory has, as its owner knows them; what a new one has
// to be newer than, and which go when it is there. Rank 0's business alone. One thread at a time.

#include "lease.hpp"

#include <zero/checkpoint/file_calls.hpp>
#include <zero/checkpoint/manifest.hpp>

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace zero::checkpoint {

// Of the names in a directory those that look like checkpoints, newest first.
[[nodiscard]] std::vector<std::string> step_folders(const std::vector<std::string>& names);

class published_folders {
 public:
  published_folders(std::shared_ptr<file_calls> files, std::shared_ptr<lease> owner, int keep);

  // Known to verify, or known not to: from here on nobody needs to look.
  void note_good(const std::string& folder);
  void note_bad(const std::string& folder);

  // Throws invalid_argument unless every checkpoint that verifies is of an earlier step.
  void check_newer(std::uint64_t step);
  // The only commit point: what lies in the staging folder of `id` is a checkpoint from here on,
  // and stays one. `text` is its manifest. Throws io_error, `error` if another owns the directory.
  void publish(const save_id& id, const std::string& text);
  // What need not stay now that `step` is published: what does not verify of this step or later
  // ones, and all but the newest `keep` that verify.
  void retain(std::uint64_t step);

 private:
  [[nodiscard]] bool verifies(const std::string& folder);
  void withdraw(const std::string& folder) noexcept;

  std::shared_ptr<file_calls> files_;
  std::shared_ptr<lease> owner_;
  int keep_;
  std::set<std::string> good_;
  std::set<std::string> bad_;
};

}  // namespace zero::checkpoint
