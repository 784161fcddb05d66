#pragma once
// checkpoint_options: what `zero train` can be told of checkpoints and of starting again.
//
// Plain values; bound to a command line by add_options and made whole by check.

#include "option_set.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace zero::cli {

struct checkpoint_options {
  std::string directory;                    // empty: no checkpoints
  std::optional<std::uint64_t> save_every;  // steps; nothing: at the end alone
  std::optional<int> keep;                  // newest that stay; 0: all
  bool resume = false;
  bool background = false;
  int restarts = 0;  // of ranks this command starts
};

inline constexpr int kept_by_default = 2;

// Whether a checkpoint is due after step `step` of `steps`.
[[nodiscard]] bool is_due(const checkpoint_options& o, std::uint64_t step,
                          std::uint64_t steps) noexcept;

// Binds the options to `o`, which must outlive `set`.
void add_options(option_set& set, checkpoint_options& o);

// Throws invalid_argument, naming the option, unless the options make sense with each other.
// Reads nothing from disk.
void check(const checkpoint_options& o);

}  // namespace zero::cli
