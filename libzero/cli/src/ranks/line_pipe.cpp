#include "ranks/line_pipe.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>

namespace zero::cli {
namespace {

// A line longer than this is passed on in pieces, so that no writer can fill our memory.
constexpr std::size_t longest_line = 1U << 22;

// A pipe holds at most 1 MiB (fs.pipe-max-size), so this many reads empty it. More is being
// written by somebody who was left behind.
constexpr int reads_to_empty = 16;

}  // namespace

bool line_pipe::read_some() {
  if (!pipe_) return false;
  std::array<char, 1U << 16> room;
  const ssize_t count = read(pipe_.number(), room.data(), room.size());
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (count <= 0) {
    pipe_.reset();
    return false;
  }
  partial_.append(room.data(), static_cast<std::size_t>(count));
  std::size_t begin = 0;
  for (std::size_t end = partial_.find('\n'); end != std::string::npos;
       end = partial_.find('\n', begin)) {
    on_line_(std::string_view(partial_).substr(begin, end - begin));
    begin = end + 1;
  }
  partial_.erase(0, begin);
  if (partial_.size() > longest_line) {
    on_line_(partial_);
    partial_.clear();
  }
  return true;
}

void line_pipe::finish() {
  for (int reads = 0; reads < reads_to_empty && read_some(); ++reads) {
  }
  pipe_.reset();
  if (!partial_.empty()) on_line_(partial_);
  partial_.clear();
}

void pending_output::write_some() {
  // A pipe that polls writable takes PIPE_BUF bytes without blocking, and no more for sure.
  const std::size_t most = std::min<std::size_t>(text_.size(), PIPE_BUF);
  const ssize_t count = write(number_, text_.data(), most);
  if (count > 0) {
    text_.erase(0, static_cast<std::size_t>(count));
  } else if (count < 0 && errno != EAGAIN && errno != EINTR) {
    text_.clear();
  }
}

}  // namespace zero::cli
