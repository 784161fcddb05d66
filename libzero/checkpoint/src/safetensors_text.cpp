// The writer of headers: as small as the format allows, entries in the order they are given.

#include "text.hpp"

#include <zero/base/error.hpp>
#include <zero/checkpoint/safetensors_header.hpp>

#include <algorithm>
#include <string_view>

namespace zero::checkpoint {
namespace {

const char* type_name(dtype type) {
  switch (type) {
    case dtype::fp32:
      return "F32";
    case dtype::bf16:
      return "BF16";
    case dtype::fp16:
      return "F16";
    case dtype::byte:
      break;
  }
  return "U8";
}

[[noreturn]] void refuse(const std::string& what) {
  throw invalid_argument("safetensors header: " + what);
}

void check_names(std::vector<std::string_view> names) {
  for (const std::string_view name : names) {
    if (!is_name(name, 0, safetensors_name_limit)) {
      refuse("a name of more than 4096 bytes, with control characters or not UTF-8");
    }
  }
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) refuse("'" + std::string(*twice) + "' is there twice");
}

void append_metadata(std::string& out,
                     const std::vector<std::pair<std::string, std::string>>& metadata) {
  std::vector<std::string_view> keys;
  out += "\"__metadata__\":{";
  for (const auto& [key, value] : metadata) {
    if (!is_utf8(value)) refuse("metadata '" + key + "' is not UTF-8");
    if (!keys.empty()) out += ',';
    keys.emplace_back(key);
    append_quoted(out, key);
    out += ':';
    append_quoted(out, value);
  }
  check_names(std::move(keys));
  out += '}';
}

void append_entry(std::string& out, const safetensors_entry& entry) {
  append_quoted(out, entry.name);
  out += ":{\"dtype\":\"";
  out += type_name(entry.type);
  out += "\",\"shape\":[";
  for (std::size_t i = 0; i < entry.shape.size(); ++i) {
    if (i > 0) out += ',';
    append_number(out, entry.shape[i]);
  }
  out += "],\"data_offsets\":[";
  append_number(out, entry.begin);
  out += ',';
  append_number(out, entry.end);
  out += "]}";
}

}  // namespace

std::string format_safetensors_header(
    const std::vector<safetensors_entry>& entries,
    const std::vector<std::pair<std::string, std::string>>& metadata) {
  if (entries.size() > safetensors_tensor_limit) refuse("more than a million tensors");
  std::vector<std::string_view> names;
  std::string text = "{";
  if (!metadata.empty()) {
    append_metadata(text, metadata);
    names.emplace_back("__metadata__");
  }
  for (const safetensors_entry& entry : entries) {
    if (entry.name == "__metadata__") refuse("a tensor called '__metadata__'");
    if (entry.shape.size() > safetensors_dimension_limit) refuse("more than 64 dimensions");
    if (text.size() > 1) text += ',';
    append_entry(text, entry);
    if (text.size() > safetensors_header_limit) refuse("more than 100 million bytes");
    names.emplace_back(entry.name);
  }
  check_names(std::move(names));
  text += '}';
  text.resize((text.size() + 7) / 8 * 8, ' ');
  if (text.size() > safetensors_header_limit) refuse("more than 100 million bytes");
  return text;
}

}  // namespace zero::checkpoint
