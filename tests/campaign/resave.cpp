// Loads the newest checkpoint of one directory into ranks of another number and stage, and saves
// what they then hold in another directory: what has become of a state on its way through a world.
//
//     zero_test_resave FROM TO RANKS STAGE TIER SWAP LAYERS CHANNELS HEADS VOCABULARY CONTEXT
//
// TIER is where all state rests that the stage can offload: device, host or disk. Ranks are
// threads. The step is the checkpoint's.

#include "support/run_ranks.hpp"
#include "trainer/gpt_model.hpp"

#include <zero/base/error.hpp>
#include <zero/checkpoint/store.hpp>
#include <zero/engine/sharded_optimizer.hpp>

#include <cstdio>
#include <string>

namespace {

using namespace zero;

struct asked {
  std::string from;
  std::string to;
  int ranks = 1;
  int stage = 0;
  partition::tier tier = partition::tier::device;
  std::string swap;
  trainer::gpt_config model;
};

partition::tier tier_of(const std::string& name) {
  for (const auto t : {partition::tier::device, partition::tier::host, partition::tier::disk}) {
    if (name == partition::name_of(t)) return t;
  }
  throw invalid_argument("no tier " + name);
}

asked read_arguments(char** words) {
  asked a;
  a.from = words[1];
  a.to = words[2];
  a.ranks = std::stoi(words[3]);
  a.stage = std::stoi(words[4]);
  a.tier = tier_of(words[5]);
  a.swap = words[6];
  a.model = {"custom",
             std::stoi(words[10]),
             std::stoi(words[7]),
             std::stoi(words[8]),
             std::stoi(words[9]),
             std::stoi(words[11])};
  return a;
}

engine_options options_of(const asked& a) {
  engine_options o;
  o.policy = partition::policy_of_stage(a.stage);
  o.groups.resize(2);
  o.tiers.optimizer = a.tier;
  if (a.stage == 3) o.tiers.parameters = a.tier;
  o.disk_directory = a.swap;
  o.forward_order = trainer::forward_order(a.model);
  return o;
}

void resave(const asked& a, collectives::communicator& ranks) {
  sharded_optimizer state(ranks, trainer::model_of(a.model, dtype::fp32), options_of(a));
  state.initialize([](std::size_t, std::uint64_t, span<float> values) {
    for (float& value : values) value = -1.0F;  // nothing of it may be left
  });
  checkpoint::loaded found;
  {
    checkpoint::store from(ranks, a.from);
    if (!from.load(*checkpoint::target_of(state), found)) throw error("there is no checkpoint");
  }
  checkpoint::store to(ranks, a.to);
  to.save(*checkpoint::source_of(state), found.from.step, found.client);
}

}  // namespace

int main(int count, char** words) {
  if (count != 12) return 2;
  try {
    const asked a = read_arguments(words);
    testing::run_ranks(a.ranks, [&a](collectives::communicator& ranks) { resave(a, ranks); });
  } catch (const std::exception& e) {
    std::fprintf(stderr, "zero_test_resave: %s\n", e.what());
    return 1;
  }
  return 0;
}
