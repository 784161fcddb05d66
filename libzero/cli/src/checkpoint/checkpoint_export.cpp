// zero checkpoint export: the weights as one .safetensors file, under the parameters' own names.
// Those of the reference trainer are GPT-2's, so that the file is the one --export would have
// written.

#include "checkpoint/byte_progress.hpp"
#include "checkpoint/checkpoint_actions.hpp"
#include "ranks/interruption.hpp"
#include "trainer/safetensors_writer.hpp"

#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>
#include <zero/checkpoint/store.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <filesystem>

namespace zero::cli {
namespace {

using json = nlohmann::ordered_json;

struct written {
  std::size_t tensors = 0;
  std::uint64_t bytes = 0;  // of values
};

std::uint64_t fp32_bytes(const checkpoint::saved_parameter& p) {
  std::uint64_t bytes = sizeof(float);
  for (const std::uint64_t extent : p.shape) bytes *= extent;
  return bytes;
}

// What is exported must not take the place of what it is made from.
void require_outside(const named_checkpoints& named, const std::string& path) {
  std::error_code failed;
  auto directory = std::filesystem::weakly_canonical(named.directory, failed);
  if (!directory.has_filename()) directory = directory.parent_path();  // it was written with a /
  const auto file = std::filesystem::weakly_canonical(std::filesystem::absolute(path), failed);
  const auto ends = std::mismatch(directory.begin(), directory.end(), file.begin(), file.end());
  if (failed || ends.first != directory.end()) return;
  throw invalid_argument(
      fmt::format("FILE '{}' is inside the checkpoint directory '{}'; expected one outside", path,
                  named.directory));
}

written write_weights(const named_checkpoints& named, const read_checkpoint& from,
                      const std::string& path) {
  const interruption put_off;
  const checkpoint::manifest& m = from.manifest;
  trainer::safetensors_writer writer(path);
  writer.add_metadata("format", "pt");
  written all;
  for (const checkpoint::saved_parameter& p : m.parameters) {
    if (!p.tied_to.empty()) continue;  // its values are another's
    writer.declare(p.name, dtype::fp32, p.shape);
    ++all.tensors;
    all.bytes += fp32_bytes(p);
  }
  byte_progress shown(fmt::format("exporting {}", from.folder), stderr);
  std::uint64_t done = 0;
  for (std::size_t i = 0; i < m.parameters.size(); ++i) {
    if (!m.parameters[i].tied_to.empty()) continue;
    checkpoint::read_array(*named.files, from.folder, m, i, 0,
                           [&](std::uint64_t, span<const float> values) {
                             if (interruption::arrived()) throw error("interrupted");
                             writer.write({values.data(), values.size(), dtype::fp32});
                             done += values.size() * sizeof(float);
                             shown.show(done, all.bytes);
                           });
  }
  writer.finish();
  return all;
}

}  // namespace

int export_checkpoint(const named_checkpoints& named, const std::string& path, bool as_json) {
  require_outside(named, path);
  const read_checkpoint from = newest_readable(named);
  const written all = write_weights(named, from, path);
  if (as_json) {
    const json report{{"schema", "zero.export/1"},     {"from", from.folder},
                      {"step", from.manifest.id.step}, {"file", path},
                      {"tensors", all.tensors},        {"bytes", all.bytes}};
    fmt::print("{}\n", report.dump(2, ' ', false, json::error_handler_t::replace));
  } else {
    fmt::print("{}: {} tensors of {}, {}\n", path, all.tensors, from.folder,
               format_bytes(all.bytes));
  }
  return 0;
}

}  // namespace zero::cli
