#pragma once
// safetensors_header: the JSON at the start of a .safetensors file, read strictly.
//
// A header that is accepted describes tensors that fill the rest of the file exactly: no overlap,
// no hole, nothing after the end. Bounded in size, depth, number and length of names; linear time.
// Pure; thread-safe.

#include <zero/base/dtype.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace zero::trainer {

struct safetensors_entry {
  std::string name;
  dtype type = dtype::fp32;
  std::vector<std::uint64_t> shape;
  std::uint64_t begin = 0;  // bytes after the header, [begin, end)
  std::uint64_t end = 0;
};

inline constexpr std::uint64_t safetensors_header_limit = 100'000'000;  // bytes, as the format says

// `json` is the header's text, `body` the bytes of the file after it. Entries come back in the
// order of the file's header. Throws corrupt_data with the byte of `path`, named in messages only.
[[nodiscard]] std::vector<safetensors_entry> parse_safetensors_header(const std::string& json,
                                                                      std::uint64_t body,
                                                                      const std::string& path);

// The header's text for entries as they are, with `metadata` key-value pairs, padded with spaces
// to a multiple of 8 bytes. Names and metadata must be UTF-8; throws invalid_argument if not.
[[nodiscard]] std::string format_safetensors_header(
    const std::vector<safetensors_entry>& entries,
    const std::vector<std::pair<std::string, std::string>>& metadata);

}  // namespace zero::trainer
