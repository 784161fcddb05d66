#pragma once
// run_listener: takes the lines of rank 0 and gives them to whoever started the run: progress on
// standard error, --json, and a summary on standard output. One thread.

#include "progress.hpp"
#include "train/train_options.hpp"

#include <nlohmann/json.hpp>

#include <fstream>
#include <memory>

namespace zero::cli {

class run_listener {
 public:
  // Throws invalid_argument if --json, --export or --trace cannot be written. Changes nothing yet.
  run_listener(const train_options& options, int ranks);

  // Throws io_error if --json cannot take the line.
  void take(const nlohmann::ordered_json& line);
  // Ends the progress line. Call before anything else is printed; take() does at the last line.
  void stop_progress() noexcept { progress_.reset(); }
  // Whether the run has told its end.
  [[nodiscard]] bool has_run() const noexcept { return has_run_; }

 private:
  void write(const nlohmann::ordered_json& line);
  void open_file();
  void tell(const std::string& what);
  void show(const nlohmann::ordered_json& step);
  const train_options& options_;
  std::string what_;  // is run, for the progress
  bool has_run_ = false;
  std::unique_ptr<progress> progress_;
  std::ofstream file_;
};

}  // namespace zero::cli
