#pragma once
// reshard: a checkpoint written once more for another number of ranks, file after file: without
// ranks, and with a few buffers of memory whatever its size.
//
// One thread. Nothing of what is read is changed.

#include <zero/checkpoint/file_calls.hpp>
#include <zero/checkpoint/store.hpp>

#include <string>
#include <utility>
#include <vector>

#pragma GCC visibility push(default)
namespace zero::checkpoint {

struct reshard_options {
  int ranks = 1;
  // Put in the place of settings of the same name.
  std::vector<std::pair<std::string, std::string>> settings;
};

// Publishes the state of the checkpoint `folder` of `from` in `directory`, at the same step, in
// `ranks` files with an even share of the elements each. Every byte is checked as it is read.
// `progress` in bytes written; what it throws ends this. Blocks. Throws corrupt_data, io_error;
// invalid_argument where another run owns `directory` or it has any checkpoint. Then nothing of it
// is left, neither in `directory` nor, if it was not there, of that itself.
published reshard(file_calls& from, const std::string& folder, const std::string& directory,
                  const reshard_options& options, const progress_function& progress = {});

}  // namespace zero::checkpoint
#pragma GCC visibility pop
