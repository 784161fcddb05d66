#include "train/sharding_choice.hpp"

#include <zero/base/error.hpp>
#include <zero/partition/sharding_policy.hpp>

#include <fmt/format.h>

namespace zero::cli {

names_of<std::string> policy_choices() {
  names_of<std::string> result;
  for (const std::string& name : partition::policy_names()) result.emplace_back(name, name);
  return result;
}

const char* meaning_of_policies() noexcept {
  return "sharded are: 0 nothing, 1 optimizer states, 2 and gradients, 3 and parameters; hybrid or "
         "mics all of it inside each group of --shard-group ranks, hybrid1 parameters inside a "
         "group and the rest over all, hpz as 3 with a second copy of the parameters in each group";
}

std::optional<int> chosen_group(const std::string& policy, std::optional<int> given, int ranks,
                                const std::optional<rank_identity>& identity) {
  if (given || !partition::has_groups(policy)) return given;
  if (!identity) return ranks;
  if (identity->ranks_of_host) return identity->ranks_of_host;
  throw invalid_argument(
      fmt::format("--stage {} needs --shard-group: {} do not say how many ranks a host has", policy,
                  identity->source));
}

std::string describe_policy(const std::string& policy) {
  const bool is_number = policy.find_first_not_of("0123456789") == std::string::npos;
  return is_number ? "stage " + policy : policy;
}

}  // namespace zero::cli
