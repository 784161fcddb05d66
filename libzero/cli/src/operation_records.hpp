#pragma once
// operation_records: what ranks left behind of their last operations (schema "zero.operations/1"),
// read back, and where they went apart.
//
// Pure but for reading files. The records are not trusted to be whole: ranks may have been killed
// while they wrote, or have left nothing.

#include <nlohmann/json.hpp>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace zero::cli {

struct recorded_operation {
  std::string group;
  std::uint64_t sequence = 0;  // within the group
  std::string what;            // all that ranks must have alike, in words
  std::int64_t queued = 0;     // nanoseconds of the machine's monotonic clock
  std::int64_t begun = 0;      // 0: not yet
  std::int64_t ended = 0;
};

struct rank_record {
  int rank = 0;
  int size = 0;
  std::string error;
  std::int64_t clock = 0;                  // when it was written
  std::map<std::string, int> group_sizes;  // ranks of each group it is in
  std::map<std::string, std::map<std::uint64_t, recorded_operation>> operations;  // by group
};

// Throws corrupt_data, which names the file and what is wrong, for what is no such record.
[[nodiscard]] rank_record parse_record(const std::string& file, const nlohmann::json& found);
// Likewise; io_error for a file that cannot be read.
[[nodiscard]] rank_record read_record(const std::string& file);
// A folder stands for the records in it, by name of file.
[[nodiscard]] std::vector<std::string> record_files(const std::vector<std::string>& given);

// The first operation of a group that not all of its ranks queued alike.
struct divergence {
  std::string group;
  std::uint64_t sequence = 0;
  std::int64_t queued = 0;                       // by the first rank that did
  std::map<std::string, std::vector<int>> does;  // ranks, by what they queued
  std::vector<int> never_began;                  // ranks that queued nothing there
  std::vector<int> culprits;                     // those, or the minority
};

// Of every group at most one, in the order of time. Of parties of one size the one with the lowest
// rank counts as the larger.
[[nodiscard]] std::vector<divergence> find_divergences(const std::vector<rank_record>& records);

// The whole report, in lines.
[[nodiscard]] std::string describe_records(const std::vector<rank_record>& records);

}  // namespace zero::cli
