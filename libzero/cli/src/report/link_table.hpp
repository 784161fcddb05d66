#pragma once
// link_table: the third table of a comparison: what moved between tiers, how much of what was
// possible that is, and what it does to a drive.
//
// Pure.

#include <nlohmann/json.hpp>

#include <string>

namespace zero::cli {

// One row for each run that has something below the device, by `name_of_row` (a run's first two
// columns); empty without such runs. `runs` as compare_report.hpp says.
using row_name = std::string (*)(const nlohmann::ordered_json& run);
[[nodiscard]] std::string format_links(const nlohmann::ordered_json& runs, row_name name_of_row);

// "23 days", "4.2 years": how long a drive lives.
[[nodiscard]] std::string format_life(double days);

}  // namespace zero::cli
