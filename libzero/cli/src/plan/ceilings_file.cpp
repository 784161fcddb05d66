#include "plan/ceilings_file.hpp"

#include "json_file.hpp"
#include "machine.hpp"

#include <zero/base/dtype.hpp>
#include <zero/base/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace zero::cli {
namespace {

using json = nlohmann::ordered_json;

constexpr const char* schema = "zero.ceilings/1";

// Every rate by its key.
constexpr std::array<std::pair<const char*, double measured_machine::*>, 12> rates{{
    {"memory_copy", &measured_machine::memory_copy},
    {"memory_update", &measured_machine::memory_update},
    {"host_update", &measured_machine::host_update},
    {"matrix", &measured_machine::matrix},
    {"all_gather", &measured_machine::all_gather},
    {"reduce_scatter", &measured_machine::reduce_scatter},
    {"call_seconds", &measured_machine::call_seconds},
    {"host_to_device", &measured_machine::host_to_device},
    {"device_to_host", &measured_machine::device_to_host},
    {"disk_read", &measured_machine::disk_read},
    {"disk_written", &measured_machine::disk_written},
    {"disk_both", &measured_machine::disk_both},
}};

constexpr std::array<std::pair<const char*, double pass_seconds::*>, 4> parts{{
    {"embedding", &pass_seconds::embedding},
    {"block", &pass_seconds::block},
    {"norm", &pass_seconds::norm},
    {"head_entry", &pass_seconds::head_entry},
}};

json passes_json(const pass_seconds& seconds) {
  json result;
  for (const auto& [key, member] : parts) result[key] = seconds.*member;
  return result;
}

pass_seconds passes_of(const json& in, const std::string& where) {
  pass_seconds seconds;
  for (const auto& [key, member] : parts) seconds.*member = rate_of(in, key, where);
  return seconds;
}

}  // namespace

json ceilings_json(const machine_record& r) {
  json result{{"schema", schema},
              {"machine", describe_machine()},
              {"ranks", r.ranks},
              {"device", r.device},
              {"dtype", r.dtype}};
  for (const auto& [key, member] : rates) result[key] = r.measured.*member;
  result["passes"] = {{"channels", r.model.channels},
                      {"heads", r.model.heads},
                      {"sequences", r.batch.sequences},
                      {"length", r.batch.length},
                      {"recompute", r.recompute},
                      {"gathered_on_demand", r.measured.gathered_on_demand},
                      {"gathered_ahead", r.measured.gathered_ahead},
                      {"forward", passes_json(r.measured.forward)},
                      {"backward", passes_json(r.measured.backward)}};
  return result;
}

machine_record parse_ceilings(const json& whole, const std::string& where) {
  if (text_of(whole, "schema", where) != schema) {
    throw invalid_argument(fmt::format("{}: \"schema\": '{}' is not accepted; expected {}", where,
                                       text_of(whole, "schema", where), schema));
  }
  machine_record r;
  r.ranks = static_cast<int>(whole_of(whole, "ranks", where));
  r.device = text_of(whole, "device", where);
  r.dtype = text_of(whole, "dtype", where);
  const std::array<std::string, 3> computed{name_of(dtype::fp32), name_of(dtype::bf16),
                                            name_of(dtype::fp16)};
  if (std::find(computed.begin(), computed.end(), r.dtype) == computed.end()) {
    throw invalid_argument(fmt::format("{}: \"dtype\": '{}' is not accepted; expected {}", where,
                                       r.dtype, fmt::join(computed, ", ")));
  }
  for (const auto& [key, member] : rates) r.measured.*member = rate_of(whole, key, where);
  const json& passes = object_of(whole, "passes", where);
  r.model.channels = static_cast<int>(whole_of(passes, "channels", where));
  r.model.heads = static_cast<int>(whole_of(passes, "heads", where));
  r.batch.sequences = static_cast<int>(whole_of(passes, "sequences", where, {1, 1U << 30U}));
  r.batch.length = static_cast<int>(whole_of(passes, "length", where));
  r.recompute = flag_of(passes, "recompute", where);
  r.measured.gathered_on_demand = rate_of(passes, "gathered_on_demand", where);
  r.measured.gathered_ahead = rate_of(passes, "gathered_ahead", where);
  r.measured.forward = passes_of(object_of(passes, "forward", where), where);
  r.measured.backward = passes_of(object_of(passes, "backward", where), where);
  return r;
}

machine_record read_ceilings(const std::string& path) {
  return parse_ceilings(read_json_file("--ceilings", path), fmt::format("--ceilings '{}'", path));
}

}  // namespace zero::cli
