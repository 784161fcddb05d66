#pragma once
// checkpoint_actions: what `zero checkpoint` can do with checkpoints that are there, one source
// file each. None of them needs ranks or memory beyond a few buffers; none changes what it reads.
//
// One thread. Results go to standard output, as text or as one JSON object.

#include <zero/checkpoint/file_calls.hpp>
#include <zero/checkpoint/manifest.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace zero::cli {

// Checkpoints that were named: the directory of a run, or one checkpoint in it.
struct named_checkpoints {
  std::string directory;
  std::shared_ptr<checkpoint::file_calls> files;
  std::vector<std::string> folders;  // newest first; at least one
};

// DIR is either. With `step` only that one. Throws invalid_argument where there is none.
[[nodiscard]] named_checkpoints find_checkpoints(const std::string& directory,
                                                 std::optional<std::uint64_t> step);

// The newest of them whose manifest verifies; those passed over are named on standard error. Throws
// corrupt_data where none does.
struct read_checkpoint {
  std::string folder;
  checkpoint::manifest manifest;
};
[[nodiscard]] read_checkpoint newest_readable(const named_checkpoints& named);

// Of all files, bytes.
[[nodiscard]] std::uint64_t bytes_of(const checkpoint::manifest& m);

// Each returns the exit code.
int inspect_checkpoints(const named_checkpoints& named, bool as_json);
int verify_checkpoints(const named_checkpoints& named, bool as_json);
int export_checkpoint(const named_checkpoints& named, const std::string& path, bool as_json);

struct resharding {
  int ranks = 1;
  std::string stage;
  std::string directory;  // of the new one
};
int reshard_checkpoint(const named_checkpoints& named, const resharding& to, bool as_json);

}  // namespace zero::cli
