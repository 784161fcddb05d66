// zero checkpoint verify: every byte of every checkpoint, against the sums in its manifest.

#include "byte_progress.hpp"
#include "checkpoint_actions.hpp"
#include "say.hpp"

#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>
#include <zero/checkpoint/store.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>

namespace zero::cli {
namespace {

using json = nlohmann::ordered_json;

json fault_of(const std::string& folder, const std::string& file, std::uint64_t offset,
              const error& e) {
  return {{"name", folder},
          {"whole", false},
          {"file", file},
          {"offset", offset},
          {"kind", static_cast<int>(e.kind())},
          {"fault", e.what()}};
}

// A part that cannot be read may be whole: that is no damage, but its kind says so.
json verify_one(const named_checkpoints& named, const std::string& folder) {
  byte_progress shown(fmt::format("verifying {}", folder), stderr);
  std::uint64_t bytes = 0;
  try {
    checkpoint::verify(*named.files, folder, [&](std::uint64_t done, std::uint64_t of) {
      bytes = of;
      shown.show(done, of);
    });
  } catch (const corrupt_data& e) {
    return fault_of(folder, e.path, e.offset, e);
  } catch (const io_error& e) {
    return fault_of(folder, e.path, e.offset, e);
  } catch (const error& e) {
    return fault_of(folder, "", 0, e);
  }
  return {{"name", folder}, {"whole", true}, {"bytes", bytes}};
}

// Of two exit codes the one to be returned: damage first, then what is no mere failure.
int worse(int one, int other) {
  constexpr int damaged = static_cast<int>(error_class::corrupt);
  if (one == damaged || other == damaged) return damaged;
  return std::max(one, other);
}

}  // namespace

int verify_checkpoints(const named_checkpoints& named, bool as_json) {
  json report{
      {"schema", "zero.verify/1"}, {"directory", named.directory}, {"checkpoints", json::array()}};
  int code = 0;
  for (const std::string& folder : named.folders) {
    const json line = verify_one(named, folder);
    if (line.contains("kind")) code = worse(code, line["kind"].get<int>());
    if (!as_json && line["whole"].get<bool>()) {
      fmt::print("{}  whole, {}\n", folder, format_bytes(line["bytes"].get<std::uint64_t>()));
    } else if (!as_json) {
      std::fflush(stdout);
      say(fmt::format("zero checkpoint: {}: {}\n", folder, line["fault"].get<std::string>()));
    }
    report["checkpoints"].push_back(line);
  }
  if (as_json) fmt::print("{}\n", report.dump(2, ' ', false, json::error_handler_t::replace));
  return code;
}

}  // namespace zero::cli
