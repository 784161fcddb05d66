#pragma once
// descriptor: an owned file descriptor. Move-only; closes at the end.

#include <unistd.h>

#include <utility>

namespace zero::cli {

class descriptor {
 public:
  descriptor() noexcept = default;
  explicit descriptor(int number) noexcept : number_(number) {}
  descriptor(descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  descriptor& operator=(descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~descriptor() { reset(); }

  [[nodiscard]] int get() const noexcept { return number_; }
  [[nodiscard]] bool is_open() const noexcept { return number_ >= 0; }
  void reset() noexcept {
    if (number_ >= 0) close(number_);
    number_ = -1;
  }

 private:
  int number_ = -1;
};

// The two ends of a pipe, both close-on-exec; the reading end does not block. Throws io_error.
struct pipe_ends {
  descriptor read;
  descriptor write;
};
[[nodiscard]] pipe_ends make_pipe();

}  // namespace zero::cli
