// zero info: what was compiled in and what works here.

#include "features.hpp"
#include "subcommands.hpp"
#include "version.hpp"

#include <zero/collectives/mpi.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace zero::cli {
namespace {

using json = nlohmann::ordered_json;

json describe() {
  return {
      {"schema", "zero.info/1"},
      {"version", version},
      {"cuda", {{"compiled", compiled_in.cuda}, {"devices", 0}}},
      {"nccl", compiled_in.nccl},
      {"mpi", {{"compiled", collectives::mpi_compiled()}, {"version", collectives::mpi_version()}}},
      {"io_uring", compiled_in.io_uring},
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
  fmt::print("  cuda       {}\n", yes_or_no(compiled_in.cuda));
  fmt::print("  nccl       {}\n", yes_or_no(compiled_in.nccl));
  fmt::print("  mpi        {}\n",
             collectives::mpi_compiled() ? collectives::mpi_version() : yes_or_no(false));
  fmt::print("  io_uring   {}\n", yes_or_no(compiled_in.io_uring));
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
