// Reading records of operations.
#include "operation_records.hpp"

#include <zero/base/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>

namespace zero::cli {
namespace {

using nlohmann::json;

std::string in_words(const json& op) {
  const auto kind = op.at("operation").get<std::string>();
  const auto name = op.at("name").get<std::string>();
  std::string text = kind;
  if (!name.empty()) text += fmt::format(" '{}'", name);
  if (kind != "barrier" && kind != "split") {
    const auto in = op.at("in").get<std::string>();
    const auto out = op.at("out").get<std::string>();
    text += fmt::format(" of {} {}", op.at("count").get<std::uint64_t>(), in);
    if (out != in) text += " into " + out;
  }
  if (op.at("mode").get<std::string>() == "accumulate") text += ", accumulating,";
  if (kind == "broadcast") text += fmt::format(" from rank {}", op.at("root").get<int>());
  text += fmt::format(" (tag {}", op.at("tag").get<int>());
  const auto step = op.at("step").get<std::int64_t>();
  return text + (step < 0 ? ")" : fmt::format(", step {})", step));
}

}  // namespace

rank_record parse_record(const std::string& file, const json& found) {
  try {
    if (found.at("schema").get<std::string>() != "zero.operations/1") {
      throw corrupt_data("not of schema zero.operations/1", file);
    }
    rank_record record;
    record.rank = found.at("rank").get<int>();
    record.size = found.at("size").get<int>();
    record.error = found.at("error").get<std::string>();
    record.clock = found.at("clock").get<std::int64_t>();
    if (record.size < 1 || record.rank < 0 || record.rank >= record.size) {
      throw corrupt_data(fmt::format("rank {} of {}", record.rank, record.size), file);
    }
    for (const json& group : found.at("groups")) {
      record.group_sizes[group.at("name").get<std::string>()] = group.at("size").get<int>();
    }
    for (const json& op : found.at("operations")) {
      recorded_operation one;
      one.group = op.at("group").get<std::string>();
      one.sequence = op.at("sequence").get<std::uint64_t>();
      one.what = in_words(op);
      one.queued = op.at("queued").get<std::int64_t>();
      one.begun = op.at("begun").get<std::int64_t>();
      one.ended = op.at("ended").get<std::int64_t>();
      record.operations[one.group][one.sequence] = one;
    }
    return record;
  } catch (const json::exception& e) {
    throw corrupt_data(e.what(), file);
  }
}

rank_record read_record(const std::string& file) {
  std::error_code unknown;
  const auto status = std::filesystem::status(file, unknown);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    throw corrupt_data("not a regular file", file);  // a pipe would be waited for
  }
  std::ifstream text(file);
  if (!text) throw io_error("open", file, errno);
  const json found = json::parse(text, nullptr, false);
  if (found.is_discarded()) throw corrupt_data("no JSON", file);
  return parse_record(file, found);
}

std::vector<std::string> record_files(const std::vector<std::string>& given) {
  std::vector<std::string> files;
  for (const std::string& name : given) {
    std::error_code none;
    if (!std::filesystem::is_directory(name, none)) {
      files.push_back(name);
      continue;
    }
    std::vector<std::string> here;
    for (const auto& entry : std::filesystem::directory_iterator(name)) {
      const std::string file = entry.path().filename().string();
      const bool is_record =
          file.rfind("failure-rank-", 0) == 0 && entry.path().extension() == ".json";
      if (is_record) here.push_back(entry.path().string());
    }
    std::sort(here.begin(), here.end());
    files.insert(files.end(), here.begin(), here.end());
  }
  return files;
}

}  // namespace zero::cli
