// zero checkpoint reshard: a checkpoint as another number of ranks would have written it.

#include "byte_progress.hpp"
#include "checkpoint_actions.hpp"
#include "interruption.hpp"

#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>
#include <zero/checkpoint/reshard.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cstdio>

namespace zero::cli {

int reshard_checkpoint(const named_checkpoints& named, const resharding& to, bool as_json) {
  using json = nlohmann::ordered_json;
  const read_checkpoint from = newest_readable(named);
  checkpoint::published made;
  {
    const interruption put_off;
    byte_progress shown(fmt::format("resharding {}", from.folder), stderr);
    made = checkpoint::reshard(*named.files, from.folder, to.directory,
                               {to.ranks, {{"stage", to.stage}}},
                               [&shown](std::uint64_t done, std::uint64_t of) {
                                 if (interruption::arrived()) throw error("interrupted");
                                 shown.show(done, of);
                               });
  }
  if (as_json) {
    const json report{
        {"schema", "zero.reshard/1"}, {"from", from.folder}, {"directory", to.directory},
        {"name", made.name},          {"step", made.step},   {"ranks", to.ranks},
        {"stage", to.stage},          {"bytes", made.bytes}, {"seconds", made.seconds}};
    fmt::print("{}\n", report.dump(2, ' ', false, json::error_handler_t::replace));
  } else {
    fmt::print("{}/{}: {} for {} ranks\n", to.directory, made.name, format_bytes(made.bytes),
               to.ranks);
  }
  return 0;
}

}  // namespace zero::cli
