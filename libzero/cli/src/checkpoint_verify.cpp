// zero checkpoint verify: every byte of every checkpoint, against the sums in its manifest.

#include "byte_progress.hpp"
#include "checkpoint_actions.hpp"
#include "say.hpp"

#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>
#include <zero/checkpoint/store.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cerrno>
#include <cstdio>

namespace zero::cli {
namespace {

using json = nlohmann::ordered_json;

json fault_of(const std::string& folder, const std::string& file, std::uint64_t offset,
              const std::string& what) {
  return {{"name", folder}, {"whole", false}, {"file", file}, {"offset", offset}, {"fault", what}};
}

// Not there, or nothing that could be a checkpoint's file.
bool is_missing(const io_error& e) {
  return e.error_number == ENOENT || e.error_number == ENOTDIR || e.error_number == ELOOP ||
         e.error_number == EISDIR;
}

json verify_one(const named_checkpoints& named, const std::string& folder) {
  byte_progress shown(fmt::format("verifying {}", folder), stderr);
  std::uint64_t bytes = 0;
  try {
    checkpoint::verify(*named.files, folder, [&](std::uint64_t done, std::uint64_t of) {
      bytes = of;
      shown.show(done, of);
    });
  } catch (const corrupt_data& e) {
    return fault_of(folder, e.path, e.offset, e.what());
  } catch (const io_error& e) {
    if (!is_missing(e)) throw;
    return fault_of(folder, e.path, e.offset, e.what());
  }
  return {{"name", folder}, {"whole", true}, {"bytes", bytes}};
}

}  // namespace

int verify_checkpoints(const named_checkpoints& named, bool as_json) {
  json report{
      {"schema", "zero.verify/1"}, {"directory", named.directory}, {"checkpoints", json::array()}};
  bool whole = true;
  for (const std::string& folder : named.folders) {
    const json line = verify_one(named, folder);
    whole = whole && line["whole"].get<bool>();
    if (!as_json && line["whole"].get<bool>()) {
      fmt::print("{}  whole, {}\n", folder, format_bytes(line["bytes"].get<std::uint64_t>()));
    } else if (!as_json) {
      std::fflush(stdout);
      say(fmt::format("zero checkpoint: {}: {}\n", folder, line["fault"].get<std::string>()));
    }
    report["checkpoints"].push_back(line);
  }
  if (as_json) fmt::print("{}\n", report.dump(2, ' ', false, json::error_handler_t::replace));
  return whole ? 0 : static_cast<int>(error_class::corrupt);
}

}  // namespace zero::cli
