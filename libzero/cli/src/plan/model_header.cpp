// Shapes by the header of a .safetensors file.

#include "json_file.hpp"
#include "plan/model_file.hpp"

#include <zero/base/error.hpp>
#include <zero/checkpoint/safetensors_header.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <map>
#include <tuple>
#include <utility>

namespace zero::cli {
namespace {

using checkpoint::safetensors_entry;

// Where a unit stands: embeddings, then blocks by number, then the rest.
using place = std::tuple<int, std::uint64_t, std::string>;

bool is_part_of(const std::string& name, const char* text) {
  return name.find(text) != std::string::npos;
}

// "h.3" of "h.3.ln_1.weight"; of names without a number all but the last part.
place place_of(const std::string& name) {
  std::size_t begin = 0;
  for (std::size_t end = name.find('.'); end != std::string::npos; end = name.find('.', begin)) {
    std::uint64_t number = 0;
    const auto [stop, failure] = std::from_chars(name.data() + begin, name.data() + end, number);
    if (failure == std::errc{} && stop == name.data() + end) {
      return {1, number, name.substr(0, end)};
    }
    begin = end + 1;
  }
  const bool first =
      is_part_of(name, "embed") || is_part_of(name, "wte") || is_part_of(name, "wpe");
  return {first ? 0 : 2, 0, begin == 0 ? name : name.substr(0, begin - 1)};
}

// Masks that checkpoints of GPT-2 carry along: bytes, or one square for all heads.
bool is_mask(const safetensors_entry& e) {
  const bool square =
      e.shape.size() == 4 && e.shape[0] == 1 && e.shape[1] == 1 && e.shape[2] == e.shape[3];
  return e.type == dtype::byte || square;
}

std::vector<safetensors_entry> entries_of(const std::string& path) {
  const std::string where = fmt::format("--model-file '{}'", path);
  std::error_code failed;
  if (!std::filesystem::is_regular_file(path, failed)) {
    throw invalid_argument(where + ": there is no such regular file");
  }
  std::ifstream file(path, std::ios::binary);
  const std::uintmax_t size = std::filesystem::file_size(path, failed);
  std::array<char, checkpoint::safetensors_length_bytes> length{};
  try {
    if (!file || failed) throw invalid_argument("cannot be read");
    if (!file.read(length.data(), length.size())) throw invalid_argument("is no .safetensors file");
    const std::uint64_t bytes = checkpoint::parse_safetensors_length(length.data(), size, path);
    std::string text(bytes, '\0');
    if (!file.read(text.data(), static_cast<std::streamsize>(bytes))) {
      throw invalid_argument("is no .safetensors file");
    }
    return checkpoint::parse_safetensors_header(text, path);  // the data may not be there
  } catch (const error& e) {  // of a file somebody names: wrong input
    throw invalid_argument(fmt::format("{}: {}", where, e.what()));
  }
}

// "model-00001-of-00004.safetensors" is not all of the model.
std::string part_note(const std::string& name) {
  const std::size_t of = name.rfind("-of-");
  std::uint64_t files = 0;
  if (of == std::string::npos) return {};
  const char* const digits = name.data() + of + 4;
  const auto [stop, failure] = std::from_chars(digits, name.data() + name.size(), files);
  if (failure != std::errc{} || stop == digits || files < 2) return {};
  return fmt::format("is one file of {}: the tensors of the others are not planned", files);
}

}  // namespace

planned_model read_model_header(const std::string& path, dtype type) {
  std::map<place, partition::unit_spec> units;
  for (const safetensors_entry& entry : entries_of(path)) {
    if (is_mask(entry)) continue;
    const place at = place_of(entry.name);
    partition::unit_spec& unit = units[at];
    unit.name = std::get<2>(at);
    partition::parameter_spec spec;
    spec.name = entry.name;
    spec.shape = entry.shape;
    spec.type = type;
    unit.parameters.push_back(std::move(spec));
  }
  planned_model model;
  model.name = std::filesystem::path(path).filename().string();
  model.note = part_note(model.name);
  for (auto& [at, unit] : units) {
    // Embeddings are looked up; all else multiplies.
    double matrices = 0;
    for (const partition::parameter_spec& p : unit.parameters) {
      const bool multiplies = std::get<0>(at) > 0 && p.shape.size() >= 2;
      if (multiplies) matrices += static_cast<double>(partition::element_count(p.shape));
    }
    model.forward.push_back({static_cast<int>(model.spec.units.size()), matrices, 0});
    model.spec.units.push_back(std::move(unit));
  }
  if (model.spec.units.empty()) {
    throw invalid_argument(fmt::format("--model-file '{}': has no parameters", path));
  }
  return model;
}

planned_model read_model_file(const std::string& path, dtype type) {
  return std::filesystem::path(path).extension() == ".safetensors" ? read_model_header(path, type)
                                                                   : read_model_config(path, type);
}

}  // namespace zero::cli
