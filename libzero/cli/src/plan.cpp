// zero plan: what a training would hold, say, move and take, without one.

#include "plan_report.hpp"
#include "subcommands.hpp"

#include <fmt/format.h>

namespace zero::cli {

int run_plan(const arguments& given) {
  planner_options options;
  option_set set = planner_option_set(options);
  if (asks_for_help(given)) {
    fmt::print("{}", set.help());
    return 0;
  }
  set.parse(given);
  settle(options);
  const planned_model model = model_of(options);
  const plan_ceilings ceilings = ceilings_of(options);
  finished_plan plan{{"zero", "plan"}, &options, &model, &ceilings, {}};
  plan.command.insert(plan.command.end(), given.begin(), given.end());
  plan.runs = plan_runs(options, model, ceilings);
  if (options.json) {
    fmt::print("{}\n",
               plan_json(plan).dump(1, ' ', false, nlohmann::json::error_handler_t::replace));
  } else {
    fmt::print("{}", plan_table(plan));
  }
  return 0;
}

}  // namespace zero::cli
