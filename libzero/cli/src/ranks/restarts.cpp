#include "ranks/restarts.hpp"

#include "option_set.hpp"
#include "say.hpp"

#include <zero/base/error.hpp>

#include <fmt/format.h>

#include <cstdlib>
#include <cstring>

namespace zero::cli {

bool may_start_again(const life& ended) noexcept {
  return ended.exit_code != 0 && ended.exit_code != static_cast<int>(error_class::usage) &&
         !ended.interrupted && !ended.complete;
}

life run_lives(const std::string& name, int restarts, signal_watch& signals,
               const std::function<life(int restart)>& live) {
  for (int restart = 0;; ++restart) {
    life ended = live(restart);
    if (restarts == 0 || !may_start_again(ended)) return ended;
    if (!ended.all_ended) {
      ended.why += "; not started again, for not all of its processes could be ended";
      return ended;
    }
    if (restart == restarts) {
      ended.why += fmt::format("; not started again, that was restart {} of {}", restart, restarts);
      return ended;
    }
    if (const auto signal = signals.take()) {
      ended.interrupted = true;
      ended.exit_code = 128 + *signal;
      ended.why = fmt::format("interrupted by signal {} ({})", *signal, strsignal(*signal));
      return ended;
    }
    say(fmt::format("{}: {}; restart {} of {}\n", name, ended.why, restart + 1, restarts));
  }
}

int restart_from_environment() {
  const char* text = std::getenv(restart_variable);
  if (text == nullptr) return 0;
  try {
    return static_cast<int>(parse_whole(text, {0}));
  } catch (const invalid_argument& e) {
    throw invalid_argument(fmt::format("environment variable {}: {}", restart_variable, e.what()));
  }
}

}  // namespace zero::cli
