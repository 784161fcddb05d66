#include "compare/compare_options.hpp"

#include "list_option.hpp"
#include "train/sharding_choice.hpp"
#include "train/tier_choice.hpp"

namespace zero::cli {
option_set compare_option_set(compare_options& o) {
  option_set set("compare", "[OPTION...]",
                 "Trains the same model from the same seed on the same text once per stage and\n"
                 "compares: exit code 0 only if all runs end with the same parameters bit for bit\n"
                 "and every memory prediction holds to the byte. Sizes accept 4096, 512MiB, 2GiB,\n"
                 "1.5GB.");
  set.group("Runs");
  set.add(whole("ranks", "N", "processes of each run, on this machine", o.ranks, {1, 4096}));
  set.add(list("stages", meaning_of_policies(), o.stages, policy_choices()));
  set.add(list("offload",
               "where state rests: none, or optimizer states, gradients and parameters in host "
               "memory or on disk, as far as a stage shards them",
               o.offloads, offload_choices()));
  set.add(text("output", "FOLDER",
               "where compare.json and report.html are written; made if it is not there",
               o.output));
  add_options(set, o.training);
  return set;
}

arguments train_arguments(const compare_options& o, const std::string& stage,
                          offload_tier offload) {
  train_options train;
  train.training = o.training;
  train.stage = stage;
  offload_all(train, offload, o.ranks);
  if (o.training.device == compute_device::cuda) train.ranks = o.ranks;  // threads of the process
  arguments result = train_option_set(train).to_arguments();
  result.insert(result.begin(), "train");
  return result;
}

}  // namespace zero::cli
