#pragma once
// The machine a report was made on.

#include <nlohmann/json.hpp>

namespace zero::cli {

// {"cpu", "logical_cores", "memory_bytes", "kernel", "compiler", "page_bytes",
//  "transparent_huge_pages"}; what the system does not tell is null.
[[nodiscard]] nlohmann::ordered_json describe_machine();

}  // namespace zero::cli
