#pragma once
// result_channel: lines of JSON from a rank to the process that started it, over the descriptor in
// ZERO_RESULT_FD. Nothing of it is on a disk.
//
// One thread. What goes through: zero.step/1 and zero.run/1 from rank 0, and zero.error/1
// ({"schema", "kind": exit code, "message", and "rank" where it is not the process's own}) from a
// rank that fails, so that the starter can print one line for all of them.

#include <zero/base/descriptor.hpp>

#include <nlohmann/json.hpp>

#include <optional>
#include <string>

namespace zero::cli {

class result_channel {
 public:
  // The channel in the environment, if any. Takes the descriptor over: it is no longer inherited
  // by what this process starts. Throws invalid_argument if the variable names no descriptor.
  [[nodiscard]] static std::optional<result_channel> from_environment();

  // Blocks while the pipe is full. Throws io_error, also when the starter is gone.
  void send(const nlohmann::ordered_json& line);

 private:
  explicit result_channel(descriptor end) noexcept : end_(std::move(end)) {}
  descriptor end_;
};

// `rank`: which of several ranks in this process failed; -1: the process is one rank.
[[nodiscard]] nlohmann::ordered_json error_line(int kind, const std::string& message,
                                                int rank = -1);

}  // namespace zero::cli
