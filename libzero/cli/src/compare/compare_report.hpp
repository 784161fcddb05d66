#pragma once
// What a comparison found: its verdict and its table, from the runs' own reports.
//
// Pure. `runs` is the array of compare.json; json exceptions are thrown for fields that are absent.

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace zero::cli {

// One line for each way in which the runs do not keep the promise: parameters that are not the
// same bits as those of the first run that gathers them alike, bytes that are not what was
// predicted. Empty: all is well.
[[nodiscard]] std::vector<std::string> differences(const nlohmann::ordered_json& runs);

// "4 runs"; "3 runs, and in 1 run that gathered them in codes".
[[nodiscard]] std::string count_of_equal(const nlohmann::ordered_json& runs);

// Two tables, one row a run: speed and digest; memory predicted and measured.
[[nodiscard]] std::string format_table(const nlohmann::ordered_json& runs);

// "Text: 123 bytes in 4 files, SHA-256 ...", from a run's "text".
[[nodiscard]] std::string describe_text(const nlohmann::ordered_json& text);

// "stage 2", "stage 2, offload cpu".
[[nodiscard]] std::string name_of_run(const nlohmann::ordered_json& run);

}  // namespace zero::cli
