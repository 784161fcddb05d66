// zero info: what was compiled in and what works here.

#include "features.hpp"
#include "subcommands.hpp"
#include "version.hpp"

#include <zero/base/bytes.hpp>
#include <zero/collectives/mpi.hpp>
#include <zero/collectives/nccl.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace zero::cli {
namespace {

using json = nlohmann::ordered_json;

json describe() {
  json devices = json::array();
  for (const gpu& device : gpus()) {
    devices.push_back({{"name", device.name},
                       {"total_bytes", device.total_bytes},
                       {"free_bytes", device.free_bytes}});
  }
  const features has = compiled_in();
  return {{"schema", "zero.info/1"},
          {"version", version},
          {"cuda", {{"compiled", has.cuda}, {"devices", devices.size()}, {"gpus", devices}}},
          {"nccl", has.nccl},
          {"nccl_version", collectives::nccl_version()},
          {"mpi", has.mpi},
          {"mpi_version", collectives::mpi_version()},
          {"io_uring", has.io_uring},
          {"simd", simd_targets()},
          {"backends", working_backends()}};
}

void print(const json& described) {
  const auto yes_or_no = [](bool present) { return present ? "yes" : "not in this build"; };
  fmt::print("zero {}\n", version);
  fmt::print("  backends   {}\n",
             fmt::join(described["backends"].get<std::vector<std::string>>(), ", "));
  fmt::print("  simd       {}\n",
             fmt::join(described["simd"].get<std::vector<std::string>>(), ", "));
  const features has = compiled_in();
  const json& devices = described["cuda"]["gpus"];
  const std::string none = has.cuda && devices.empty() ? ", but " + why_no_gpus() : "";
  fmt::print("  cuda       {}{}\n", yes_or_no(has.cuda), none);
  for (const json& device : devices) {
    fmt::print("             {}, {}\n", device["name"].get<std::string>(),
               format_bytes(device["total_bytes"].get<std::uint64_t>()));
  }
  fmt::print("  nccl       {}\n", yes_or_no(has.nccl));
  fmt::print("  mpi        {}\n", has.mpi ? collectives::mpi_version() : yes_or_no(false));
  fmt::print("  io_uring   {}\n", yes_or_no(has.io_uring));
}

}  // namespace

int run_info(const arguments& given) {
  bool as_json = false;
  option_set options("info", "[--json]", "Says what was compiled in and what works here.");
  options.add(switch_on("json", "write one JSON object, schema zero.info/1", as_json));
  if (asks_for_help(given)) {
    fmt::print("{}", options.help());
    return 0;
  }
  options.parse(given);
  const json described = describe();
  if (as_json) {
    fmt::print("{}\n", described.dump(2));
  } else {
    print(described);
  }
  return 0;
}

}  // namespace zero::cli
