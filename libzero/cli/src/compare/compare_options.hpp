#pragma once
// compare_options: what `zero compare` is told: one training, and the list of runs to make of it.
//
// Plain values; see train_options.hpp.

#include "train/train_options.hpp"

#include <string>
#include <vector>

namespace zero::cli {

struct compare_options {
  common_options training;
  int ranks = 4;
  std::vector<std::string> stages{"0", "1", "2", "3"};  // rows of the policy table
  std::vector<offload_tier> offloads{offload_tier::none};
  std::string output = "out/compare";
};

[[nodiscard]] option_set compare_option_set(compare_options& o);

// The command line of one process of one run, after "zero".
[[nodiscard]] arguments train_arguments(const compare_options& o, const std::string& stage,
                                        offload_tier offload);

}  // namespace zero::cli
