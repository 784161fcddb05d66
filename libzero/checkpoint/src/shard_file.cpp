#include "shard_file.hpp"

#include "manifest_rules.hpp"
#include "text.hpp"

#include <zero/base/error.hpp>

#include <algorithm>
#include <string_view>
#include <utility>

namespace zero::checkpoint {
namespace {

std::uint64_t extent_bytes(const manifest& m, const shard_extent& extent) {
  const saved_parameter& p = m.parameters[extent.parameter];
  std::uint64_t bytes = 0;
  const bool wraps =
      __builtin_mul_overflow(extent.count * size_of(type_of(p)), arrays_of(m, p), &bytes);
  return wraps ? most_bytes + 1 : bytes;
}

std::uint64_t escaped_bytes(const std::string& text) { return quoted_bytes(text) - 2; }

std::vector<std::pair<std::string, std::string>> metadata_of(const manifest& m, std::size_t rank) {
  return {{"format", "libzero checkpoint"},
          {"version", std::to_string(format_version)},
          {"step", std::to_string(m.id.step)},
          {"epoch", std::to_string(m.id.epoch)},
          {"nonce", m.id.nonce},
          {"rank", std::to_string(rank)},
          {"ranks", std::to_string(m.files.size())}};
}

// What a tensor's entry takes in a header, and its place after it.
struct entry_measure {
  std::uint64_t text = 0;
  std::uint64_t end = 0;

  void add(std::uint64_t name, const char* type, std::uint64_t count, std::uint64_t bytes) {
    constexpr std::string_view fixed = R"(,"":{"dtype":"","shape":[],"data_offsets":[,]})";
    text += fixed.size() + name + std::string_view(type).size() + number_bytes(count) +
            number_bytes(end) + number_bytes(end + bytes);
    end += bytes;
  }
};

const char* short_name(dtype type) {
  return type == dtype::fp32 ? "F32" : type == dtype::bf16 ? "BF16" : "F16";
}

void require(bool holds, const char* what) {
  if (!holds) throw invalid_argument(what);
}

}  // namespace

std::uint64_t body_bytes_of(const manifest& m, const saved_file& file) {
  std::uint64_t bytes = 0;
  for (const shard_extent& extent : file.extents) {
    bytes = std::min(bytes + extent_bytes(m, extent), most_bytes + 1);
  }
  for (const auto& attachment : file.attachments) {
    bytes = std::min(bytes + attachment.second, most_bytes + 1);
  }
  return bytes;
}

header_lengths::header_lengths(const manifest& m) : manifest_(m) {
  for (const saved_parameter& p : m.parameters) parameters_.push_back(escaped_bytes(p.name));
  arrays_.push_back(std::string_view("weights").size());
  for (const std::string& state : m.states) arrays_.push_back(escaped_bytes(state));
}

std::uint64_t header_lengths::of(std::size_t rank) const {
  const manifest& m = manifest_;
  const saved_file& file = m.files[rank];
  entry_measure measure;
  std::size_t tensors = 0;
  for (const shard_extent& extent : file.extents) {
    const saved_parameter& p = m.parameters[extent.parameter];
    const std::uint64_t name = parameters_[extent.parameter] + number_bytes(extent.offset);
    for (std::size_t array = 0; array < arrays_of(m, p); ++array, ++tensors) {
      constexpr std::uint64_t slash_and_at = 2;
      measure.add(arrays_[array] + slash_and_at + name, short_name(type_of(p)), extent.count,
                  extent.count * size_of(type_of(p)));
    }
    if (measure.text > safetensors_header_limit) return header_bytes_limit + 1;
  }
  for (const auto& [name, bytes] : file.attachments) {
    measure.add(std::string_view("client/").size() + escaped_bytes(name), "U8", bytes, bytes);
    ++tensors;
  }
  std::uint64_t text = std::string_view(R"({"__metadata__":{}})").size() + measure.text;
  const auto metadata = metadata_of(m, rank);
  for (const auto& [key, value] : metadata) text += quoted_bytes(key) + quoted_bytes(value) + 1;
  text += metadata.size() - 1;  // commas
  text = (text + 7) / 8 * 8;
  const bool fits = tensors <= safetensors_tensor_limit && text <= safetensors_header_limit;
  return fits ? safetensors_length_bytes + text : header_bytes_limit + 1;
}

std::vector<std::uint64_t> extent_begins(const manifest& m, const saved_file& file) {
  std::vector<std::uint64_t> begins = {file.header_bytes};
  for (const shard_extent& extent : file.extents) {
    begins.push_back(begins.back() + extent_bytes(m, extent));
  }
  return begins;
}

array_place place_of(const manifest& m, const saved_file& file, std::size_t extent, int array) {
  require(extent < file.extents.size(), "a file has no such extent");
  const saved_parameter& p = m.parameters[file.extents[extent].parameter];
  require(array >= 0 && static_cast<std::size_t>(array) < arrays_of(m, p),
          "an extent has no such array");
  array_place place;
  place.type = type_of(p);
  place.bytes = file.extents[extent].count * size_of(place.type);
  place.begin = file.header_bytes + static_cast<std::uint64_t>(array) * place.bytes;
  for (std::size_t i = 0; i < extent; ++i) place.begin += extent_bytes(m, file.extents[i]);
  return place;
}

std::string header_of(const manifest& m, std::size_t rank) {
  require(rank < m.files.size(), "a manifest has no such file");
  const saved_file& file = m.files[rank];
  require(body_bytes_of(m, file) <= most_bytes, "a file of more than 2^62 bytes");
  require(header_lengths(m).of(rank) <= header_bytes_limit,
          "the header of a file would have more than 100 million bytes or a million tensors");
  std::vector<safetensors_entry> entries;
  std::uint64_t at = 0;
  const auto add = [&](std::string name, dtype type, std::uint64_t count) {
    const std::uint64_t begin = std::exchange(at, at + count * size_of(type));
    entries.push_back({std::move(name), type, {count}, begin, at});
  };
  for (const shard_extent& extent : file.extents) {
    const saved_parameter& p = m.parameters[extent.parameter];
    const std::string name = '/' + p.name + '@' + std::to_string(extent.offset);
    for (std::size_t array = 0; array < arrays_of(m, p); ++array) {
      add((array == 0 ? "weights" : m.states[array - 1]) + name, type_of(p), extent.count);
    }
  }
  for (const auto& [name, bytes] : file.attachments) add("client/" + name, dtype::byte, bytes);
  const std::string text = format_safetensors_header(entries, metadata_of(m, rank));
  std::string header;
  for (unsigned i = 0; i < safetensors_length_bytes; ++i) {
    header += static_cast<char>(text.size() >> (8 * i) & 0xffU);
  }
  return header + text;
}

}  // namespace zero::checkpoint
