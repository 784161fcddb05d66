#include "checkpoint/byte_progress.hpp"

#include "progress.hpp"

#include <zero/base/bytes.hpp>

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

namespace zero::cli {

byte_progress::byte_progress(std::string what, std::FILE* to)
    : what_(std::move(what)),
      to_(to),
      is_terminal_(isatty(fileno(to)) == 1),
      begun_(clock::now()),
      shown_(begun_) {}

byte_progress::~byte_progress() {
  if (is_terminal_) std::fputs("\r\x1b[K", to_);
  std::fflush(to_);
}

void byte_progress::show(std::uint64_t done, std::uint64_t of, clock::time_point now) {
  if (now - shown_ < between_shown(is_terminal_)) return;
  shown_ = now;
  const double rate = static_cast<double>(done) /
                      std::max(std::chrono::duration<double>(now - begun_).count(), 1e-9);
  const double left = static_cast<double>(of - std::min(done, of)) / std::max(rate, 1.0);
  fmt::print(to_, "{}{}: {} of {}, {}/s, {} left{}", is_terminal_ ? "\r\x1b[K" : "", what_,
             format_bytes(done), format_bytes(of), format_bytes(static_cast<std::uint64_t>(rate)),
             format_duration(left), is_terminal_ ? "" : "\n");
  std::fflush(to_);
}

}  // namespace zero::cli
