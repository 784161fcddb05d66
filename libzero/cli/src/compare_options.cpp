#include "compare_options.hpp"

#include "sharding_choice.hpp"
#include "tier_choice.hpp"

#include <zero/base/error.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace zero::cli {
namespace {

// "a,b,c" in its parts; an empty part stays one.
std::vector<std::string> parts_of(const std::string& text) {
  std::vector<std::string> result(1);
  for (const char c : text) {
    if (c == ',') {
      result.emplace_back();
    } else {
      result.back() += c;
    }
  }
  return result;
}

// A list of values that `each` can be and that may stand there once.
template <typename T>
option list(std::string name, std::string meaning, std::vector<T>& target,
            const names_of<T>& accepted) {
  std::vector<std::string> names;
  for (const auto& entry : accepted) names.push_back(entry.first);
  const std::string wanted = "a list of " + one_of(names) + ", each at most once, like " +
                             fmt::format("{}", fmt::join(names, ","));
  const auto set = [&target, accepted, wanted](const arguments& given) {
    std::vector<T> values;
    for (const std::string& part : parts_of(given.front())) {
      const auto found = std::find_if(accepted.begin(), accepted.end(),
                                      [&part](const auto& entry) { return entry.first == part; });
      if (found == accepted.end() || std::count(values.begin(), values.end(), found->second) > 0) {
        refuse_value(given.front(), wanted);
      }
      values.push_back(found->second);
    }
    target = values;
  };
  const auto show = [&target, accepted]() -> arguments {
    std::string text;
    for (const T& value : target) {
      for (const auto& entry : accepted) {
        if (entry.second == value) text += (text.empty() ? "" : ",") + entry.first;
      }
    }
    return {text};
  };
  return {std::move(name), "LIST", std::move(meaning), arity::one, set, show};
}

}  // namespace

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
