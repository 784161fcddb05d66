#pragma once
// line_pipe, pending_output: lines that come in through a pipe, and text that waits to go out.
//
// Neither blocks; whoever polls calls them when their descriptor is ready. One thread.

#include <zero/base/descriptor.hpp>

#include <functional>
#include <string>
#include <string_view>

namespace zero::cli {

// The reading end of a pipe, cut into lines.
class line_pipe {
 public:
  using line_function = std::function<void(std::string_view line)>;  // without its newline

  line_pipe(descriptor reading_end, line_function on_line)
      : pipe_(std::move(reading_end)), on_line_(std::move(on_line)) {}

  // -1 once every writer has closed its end.
  [[nodiscard]] int descriptor_number() const noexcept { return pipe_.number(); }
  // Takes what is there, at most 64 KiB. False if there was nothing.
  bool read_some();
  // Takes all there is and then what was begun without a newline; no more is read after.
  void finish();

 private:
  descriptor pipe_;
  line_function on_line_;
  std::string partial_;
};

// Text on its way to a descriptor that somebody else may be slow to read.
class pending_output {
 public:
  explicit pending_output(int number) noexcept : number_(number) {}

  void append(std::string_view text) { text_.append(text); }
  [[nodiscard]] bool empty() const noexcept { return text_.empty(); }
  // Enough waits: read no more until some is gone.
  [[nodiscard]] bool is_full() const noexcept { return text_.size() > (1U << 20); }
  [[nodiscard]] int descriptor_number() const noexcept { return number_; }
  // Writes as much as poll's POLLOUT promises. Text nobody can read any more is dropped.
  void write_some();

 private:
  int number_;
  std::string text_;
};

}  // namespace zero::cli
