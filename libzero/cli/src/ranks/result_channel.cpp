#include "ranks/result_channel.hpp"

#include "option_set.hpp"

#include <zero/base/error.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace zero::cli {

std::optional<result_channel> result_channel::from_environment() {
  constexpr const char* variable = "ZERO_RESULT_FD";
  const char* text = std::getenv(variable);
  if (text == nullptr) return std::nullopt;
  int number = -1;
  try {
    number = static_cast<int>(parse_whole(text, {3}));
  } catch (const invalid_argument& e) {
    throw invalid_argument(fmt::format("environment variable {}: {}", variable, e.what()));
  }
  if (fcntl(number, F_SETFD, FD_CLOEXEC) != 0) {
    throw invalid_argument(
        fmt::format("environment variable {}: {} is not an open descriptor", variable, number));
  }
  unsetenv(variable);
  return result_channel(descriptor(number));
}

void result_channel::send(const nlohmann::ordered_json& line) {
  const std::string text =
      line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  std::size_t sent = 0;
  while (sent < text.size()) {
    const ssize_t count = write(end_.number(), text.data() + sent, text.size() - sent);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw io_error("write", "the pipe to the starter of this rank", errno);
    sent += static_cast<std::size_t>(count);
  }
}

nlohmann::ordered_json error_line(int kind, const std::string& message, int rank) {
  nlohmann::ordered_json line{{"schema", "zero.error/1"}, {"kind", kind}, {"message", message}};
  if (rank >= 0) line["rank"] = rank;
  return line;
}

}  // namespace zero::cli
