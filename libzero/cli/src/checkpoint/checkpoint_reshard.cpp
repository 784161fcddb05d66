// zero checkpoint reshard: a checkpoint as another number of ranks would have written it.

#include "checkpoint/byte_progress.hpp"
#include "checkpoint/checkpoint_actions.hpp"
#include "ranks/interruption.hpp"

#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>
#include <zero/checkpoint/reshard.hpp>
#include <zero/partition/sharding_policy.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cstdio>

namespace zero::cli {
namespace {

// What the ranks it is made for would have put there.
checkpoint::reshard_options options_of(const resharding& to) {
  const partition::sharding_policy policy = partition::policy_of_name(to.stage, 1);
  return {to.ranks,
          {{"world_size", fmt::to_string(to.ranks)},
           {"parameters_sharded_over", partition::name_of(policy.parameters)},
           {"gradients_sharded_over", partition::name_of(policy.gradients)},
           {"optimizer_sharded_over", partition::name_of(policy.optimizer)}}};
}

}  // namespace

int reshard_checkpoint(const named_checkpoints& named, const resharding& to, bool as_json) {
  using json = nlohmann::ordered_json;
  const read_checkpoint from = newest_readable(named);
  checkpoint::published made;
  {
    const interruption put_off;
    byte_progress shown(fmt::format("resharding {}", from.folder), stderr);
    made = checkpoint::reshard(*named.files, from.folder, to.directory, options_of(to),
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
