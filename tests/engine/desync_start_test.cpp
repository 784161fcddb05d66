// One rank that was started otherwise, in every way there is, in worlds of 2 and of 4: each rank is
// told the same within seconds, which names that rank and what differs. In a world of 2 rank 0
// counts as the larger party.
#include "engine/one_story.hpp"

#include <cstdio>
#include <functional>
#include <string>
#include <vector>

namespace zero::testing {
namespace {

using collectives::communicator;

struct mismatch {
  const char* name;
  const char* word;
  std::function<void(partition::model_spec&, engine_options&)> change;
};

std::vector<mismatch> all_mismatches() {
  using model = partition::model_spec;
  using options = engine_options;
  return {
      {"shape", "'third.weight' [32]",
       [](model& m, options&) { m.units[2].parameters[0].shape = {32}; }},
      {"order of parameters", "'third.scale'",
       [](model& m, options&) { std::swap(m.units[2].parameters[0], m.units[2].parameters[1]); }},
      {"name", "'third.other'",
       [](model& m, options&) { m.units[2].parameters[0].name = "third.other"; }},
      {"dtype", "bf16", [](model& m, options&) { m.units[3].parameters[0].type = dtype::bf16; }},
      {"frozen", "frozen", [](model& m, options&) { m.units[3].parameters[0].trainable = false; }},
      {"group of a parameter", "group 1",
       [](model& m, options&) { m.units[3].parameters[0].group = 1; }},
      {"missing parameter", "'fourth.weight'",
       [](model& m, options&) { m.units[3].parameters.clear(); }},
      {"more units", "'more'",
       [](model& m, options&) {
         m.units.push_back({"more", {}});
       }},
      {"stage", "sharded over",
       [](model&, options& o) { o.policy = partition::policy_of_stage(1); }},
      {"gradient storage", "gradient storage",
       [](model&, options& o) { o.gradients = gradient_storage::same; }},
      {"algorithm", "algorithm = lion",
       [](model&, options& o) { o.algorithm = optim::algorithm::lion; }},
      {"beta2", "group 1", [](model&, options& o) { o.groups[1].constants.beta2 = 0.95F; }},
      {"weight decay", "group 0",
       [](model&, options& o) { o.groups[0].constants.weight_decay = 0.1F; }},
      {"rate of a group", "group 0",
       [](model&, options& o) { o.groups[0].learning_rate_factor = 2; }},
      {"seed", "seed of rounding = 9007199254740993",
       [](model&, options& o) { o.rounding_seed = (1ULL << 53) + 1; }},
      {"extra states", "extra states", [](model&, options& o) { o.extra_states = 1; }},
      {"divisor", "gradient divisor", [](model&, options& o) { o.gradient_divisor = 2; }},
      {"clipping", "clip norm", [](model&, options& o) { o.clip_norm = 0.1; }},
      {"loss scale", "initial loss scale", [](model&, options& o) { o.loss_scale.initial = 2; }},
      {"not finite", "not finite", [](model&, options& o) { o.non_finite = non_finite::apply; }},
      {"accumulate", "accumulate", [](model&, options& o) { o.accumulate = 3; }},
      {"when to reduce", "reduce at boundary",
       [](model&, options& o) { o.reduction = reduce_at::boundary; }},
      {"resident bytes", "resident bytes", [](model&, options& o) { o.resident_bytes = 64; }},
      {"tier", "optimizer states on",
       [](model&, options& o) { o.tiers.optimizer = partition::tier::host; }},
      {"cells", "elements of a cell", [](model&, options& o) { o.tiers.cell_elements = 4096; }},
      {"prefetch", "prefetch", [](model&, options& o) { o.prefetch = 2; }},
      {"forward order", "forward order",
       [](model&, options& o) {
         o.forward_order = {0, 2, 1, 3};
       }},
      {"directory", "directory of the disk",
       [](model&, options& o) { o.disk_directory = "/var/tmp"; }},
  };
}

TEST(matrix, every_difference_of_options_and_layout_is_named) {
  int runs = 0;
  for (const mismatch& m : all_mismatches()) {
    for (const seat& s : seats) {
      SCOPED_TRACE(std::string(m.name) + ", rank " + std::to_string(s.odd) + " of " +
                   std::to_string(s.size));
      const auto all = tell(s.size, [&](communicator& ranks, told&) {
        partition::model_spec model = toy_model(dtype::fp32);
        engine_options options = plain();
        if (ranks.rank() == s.odd) m.change(model, options);
        const sharded_optimizer optimizer(ranks, model, options);
      });
      expect_one_story(all, s.culprit, m.word);
      ++runs;
    }
  }
  std::printf("%zu ways to differ at the start, %d runs\n", all_mismatches().size(), runs);
}

}  // namespace
}  // namespace zero::testing
