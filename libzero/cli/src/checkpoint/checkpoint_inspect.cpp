// zero checkpoint inspect: which checkpoints there are, and what stands in the manifest of the
// newest that has one.

#include "checkpoint/checkpoint_actions.hpp"

#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>
#include <zero/checkpoint/store.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <optional>
#include <utility>

namespace zero::cli {
namespace {

using json = nlohmann::ordered_json;

json parameters_json(const checkpoint::manifest& m) {
  json all = json::array();
  for (const checkpoint::saved_parameter& p : m.parameters) {
    all.push_back({{"name", p.name},
                   {"shape", p.shape},
                   {"dtype", name_of(p.type)},
                   {"trainable", p.trainable},
                   {"group", p.group},
                   {"tied_to", p.tied_to.empty() ? json() : json(p.tied_to)}});
  }
  return all;
}

json files_json(const checkpoint::manifest& m) {
  json all = json::array();
  for (const checkpoint::saved_file& file : m.files) {
    json client = json::object();
    for (const auto& [name, bytes] : file.attachments) client[name] = bytes;
    all.push_back({{"name", file.name},
                   {"bytes", file.bytes},
                   {"extents", file.extents.size()},
                   {"chunks", file.checksums.size()},
                   {"client", client}});
  }
  return all;
}

json manifest_json(const checkpoint::manifest& m) {
  json groups = json::array();
  for (const checkpoint::saved_group& group : m.groups) {
    json constants = json::object();
    for (const auto& [name, value] : group.constants) constants[name] = value;
    groups.push_back(std::move(constants));
  }
  json settings = json::object();
  for (const auto& [name, value] : m.settings) settings[name] = value;
  const optim::loss_scale::state& scale = m.progress.loss_scale;
  return {{"step", m.id.step},
          {"epoch", m.id.epoch},
          {"nonce", m.id.nonce},
          {"library", m.written_by},
          {"ranks", m.files.size()},
          {"bytes", bytes_of(m)},
          {"algorithm", m.algorithm},
          {"states", m.states},
          {"updates", m.progress.updates},
          {"steps", m.progress.steps},
          {"loss_scale", scale.value},
          {"groups", groups},
          {"settings", settings},
          {"parameters", parameters_json(m)},
          {"files", files_json(m)}};
}

void print_newest(const std::string& folder, const json& m) {
  std::uint64_t elements = 0;
  std::uint64_t tensors = 0;
  for (const json& p : m["parameters"]) {
    if (!p["tied_to"].is_null()) continue;
    std::uint64_t count = 1;
    for (const json& extent : p["shape"]) count *= extent.get<std::uint64_t>();
    elements += count;
    ++tensors;
  }
  fmt::print("\n{}\n", folder);
  fmt::print("  model       {} tensors, {} elements\n", tensors, elements);
  fmt::print("  optimizer   {}, states {}\n", m["algorithm"].get<std::string>(),
             m["states"].empty()
                 ? "none"
                 : fmt::format("{}", fmt::join(m["states"].get<std::vector<std::string>>(), ", ")));
  fmt::print("  progress    {} updates in {} steps, loss scale {}\n",
             m["updates"].get<std::uint64_t>(), m["steps"].get<std::uint64_t>(),
             m["loss_scale"].get<double>());
  fmt::print("  written by  libzero {}, save {} of owner {}\n", m["library"].get<std::string>(),
             m["nonce"].get<std::string>(), m["epoch"].get<std::uint64_t>());
  for (const json& file : m["files"]) {
    fmt::print("  {}  {}, {} extents\n", file["name"].get<std::string>(),
               format_bytes(file["bytes"].get<std::uint64_t>()),
               file["extents"].get<std::size_t>());
    for (const auto& [name, bytes] : file["client"].items()) {
      fmt::print("    of the client: {}, {}\n", name, format_bytes(bytes.get<std::uint64_t>()));
    }
  }
}

}  // namespace

int inspect_checkpoints(const named_checkpoints& named, bool as_json) {
  json report{{"schema", "zero.inspect/1"},
              {"directory", named.directory},
              {"checkpoints", json::array()},
              {"newest", nullptr}};
  std::optional<std::pair<std::string, json>> newest;
  for (const std::string& folder : named.folders) {
    json line{{"name", folder}};
    try {
      const checkpoint::manifest m = checkpoint::read_manifest(*named.files, folder);
      line["step"] = m.id.step;
      line["ranks"] = m.files.size();
      line["bytes"] = bytes_of(m);
      if (!newest) newest.emplace(folder, manifest_json(m));
    } catch (const error& e) {
      if (e.kind() == error_class::resource) throw;
      line["fault"] = e.what();
    }
    report["checkpoints"].push_back(std::move(line));
  }
  if (newest) report["newest"] = newest->second;
  if (as_json) {
    fmt::print("{}\n", report.dump(2, ' ', false, json::error_handler_t::replace));
  } else {
    for (const json& line : report["checkpoints"]) {
      if (line.contains("fault")) {
        fmt::print("{}  {}\n", line["name"].get<std::string>(), line["fault"].get<std::string>());
      } else {
        fmt::print("{}  {}, {} ranks\n", line["name"].get<std::string>(),
                   format_bytes(line["bytes"].get<std::uint64_t>()), line["ranks"].get<int>());
      }
    }
    if (newest) print_newest(newest->first, newest->second);
  }
  return newest ? 0 : static_cast<int>(error_class::corrupt);
}

}  // namespace zero::cli
