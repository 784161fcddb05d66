#pragma once
// sharding_choice: what --stage, --stages and --shard-group mean: rows of the policy table by name,
// and the ranks of a group where a row has groups.
//
// Pure functions.

#include "option_set.hpp"
#include "ranks/rank_environment.hpp"

#include <optional>
#include <string>

namespace zero::cli {

// Every row by its name, as --stage and --stages accept it.
[[nodiscard]] names_of<std::string> policy_choices();

// What the rows are, for the help.
[[nodiscard]] const char* meaning_of_policies() noexcept;

// `given`, else the ranks of a host where the row has groups: all ranks where this command starts
// them (no `identity`), else what the launcher says. Throws invalid_argument, naming the option,
// where it does not say.
[[nodiscard]] std::optional<int> chosen_group(const std::string& policy, std::optional<int> given,
                                              int ranks,
                                              const std::optional<rank_identity>& identity);

// "stage 3", "hybrid".
[[nodiscard]] std::string describe_policy(const std::string& policy);

}  // namespace zero::cli
