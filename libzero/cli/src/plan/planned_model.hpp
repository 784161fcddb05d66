#pragma once
// planned_model: what `zero plan` plans for: units of parameters, and what is computed with them.
//
// Plain values; made without allocating anything of the model's size.

#include "plan/planner_options.hpp"

#include <zero/partition/model_spec.hpp>

#include <nlohmann/json.hpp>

#include <optional>
#include <string>
#include <vector>

namespace zero::cli {

// What one use of a unit in a forward computes with.
struct use_of_unit {
  int unit = 0;
  double matrix_elements = 0;     // that every token is multiplied with
  double attention_channels = 0;  // of all heads; each token attends to those before it
};

struct planned_model {
  std::string name;
  partition::model_spec spec;
  std::vector<use_of_unit> forward;  // in the order of a forward
  std::uint64_t parameters = 0;      // elements, tied ones once
  int context = 1024;                // tokens of a sequence, unless said
  // Nothing: cannot be seen into, so that what passes through memory is not known.
  bool opaque = false;
  std::optional<trainer::gpt_config> gpt;  // that `zero train` trains
  std::string note;                        // what the user should know of it, or nothing
};

// The model that is meant. Throws invalid_argument, naming the option, for one that cannot be.
[[nodiscard]] planned_model model_of(const planner_options& o);

[[nodiscard]] std::vector<int> order_of(const planned_model& model);

// Multiplications and additions of the products of one use in a forward of `tokens` tokens in
// sequences of `length`.
[[nodiscard]] double operations_of(const use_of_unit& use, double tokens, int length) noexcept;

// "model" of the report.
[[nodiscard]] nlohmann::ordered_json describe(const planned_model& model);

}  // namespace zero::cli
