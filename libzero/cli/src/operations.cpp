// zero operations: reads what ranks left behind when something failed, and says where they went
// apart.

#include "operation_records.hpp"
#include "subcommands.hpp"

#include <zero/base/error.hpp>

#include <fmt/format.h>

namespace zero::cli {

int run_operations(const arguments& given) {
  const option_set options(
      "operations", "FILE|FOLDER...",
      "Reads the last operations of ranks, failure-rank-N.json, which they leave in\n"
      "--failure-folder when something fails, and names the first operation that not all\n"
      "ranks queued alike, who differs, and who never began it.");
  if (asks_for_help(given)) {
    fmt::print("{}", options.help());
    return 0;
  }
  for (const std::string& one : given) {
    if (one.rfind('-', 0) == 0) {
      throw invalid_argument(fmt::format("'{}' is no option; expected files and folders", one));
    }
  }
  std::vector<rank_record> records;
  for (const std::string& file : record_files(given)) {
    records.push_back(read_record(file));
    const rank_record& last = records.back();
    for (const rank_record& r : records) {
      if (&r != &last && (r.rank == last.rank || r.size != last.size)) {
        throw invalid_argument(
            fmt::format("{} is of rank {} of {}, and another record is of rank "
                        "{} of {}; expected the ranks of one run",
                        file, last.rank, last.size, r.rank, r.size));
      }
    }
  }
  if (records.empty()) {
    throw invalid_argument(
        "no records are given; expected files failure-rank-N.json or a folder "
        "of them");
  }
  fmt::print("{}", describe_records(records));
  return 0;
}

}  // namespace zero::cli
