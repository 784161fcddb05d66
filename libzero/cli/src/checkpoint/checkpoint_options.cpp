#include "checkpoint/checkpoint_options.hpp"

#include <zero/base/error.hpp>

#include <fmt/format.h>

#include <limits>
#include <utility>

namespace zero::cli {

bool is_due(const checkpoint_options& o, std::uint64_t step, std::uint64_t steps) noexcept {
  if (o.directory.empty()) return false;
  return step == steps || (o.save_every && step % *o.save_every == 0);
}

void add_options(option_set& set, checkpoint_options& o) {
  set.group("Checkpoints");
  set.add(text("checkpoint", "DIR",
               "keep checkpoints of the run there, one at the end and others as --save-every says",
               o.directory));
  set.add(whole("save-every", "STEPS", "steps from one checkpoint to the next (default all)",
                o.save_every, {1, std::numeric_limits<std::uint64_t>::max()}));
  set.add(whole("keep", "N",
                fmt::format("newest checkpoints that stay; 0 is all (default {})", kept_by_default),
                o.keep, {0}));
  set.add(
      switch_on("resume",
                "go on from the newest checkpoint of --checkpoint that verifies, from the start "
                "where there is none; --json is continued",
                o.resume));
  set.add(switch_on("checkpoint-async",
                    "write checkpoints while training goes on, from a copy in host memory",
                    o.background));
  set.add(whole("max-restarts", "N",
                "times ranks that fell are started again, from the newest checkpoint", o.restarts,
                {0, 1U << 20}));
}

void check(const checkpoint_options& o) {
  if (!o.directory.empty()) return;
  const std::pair<const char*, bool> given[] = {{"--resume", o.resume},
                                                {"--save-every", o.save_every.has_value()},
                                                {"--keep", o.keep.has_value()},
                                                {"--checkpoint-async", o.background}};
  for (const auto& [name, is_given] : given) {
    if (!is_given) continue;
    throw invalid_argument(
        fmt::format("{} needs --checkpoint DIR, where the checkpoints of the run are", name));
  }
}

}  // namespace zero::cli
