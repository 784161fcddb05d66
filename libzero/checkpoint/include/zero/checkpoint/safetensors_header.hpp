#pragma once
// safetensors_header: the JSON at the start of a .safetensors file, read strictly and written.
//
// A header that is accepted describes tensors that fill the rest of the file exactly: no overlap,
// no hole, nothing after the end. Files may come from anybody: size, depth, number and length of
// names are bounded, every multiplication is checked, no memory is sized by a number in the file,
// and time is n log n of the text whatever it says. Pure; thread-safe.

#include <zero/base/dtype.hpp>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#pragma GCC visibility push(default)
namespace zero::checkpoint {

struct safetensors_entry {
  std::string name;
  dtype type = dtype::fp32;  // F32, BF16, F16; byte is U8
  std::vector<std::uint64_t> shape;
  std::uint64_t begin = 0;  // bytes after the header, [begin, end)
  std::uint64_t end = 0;
};

inline constexpr std::uint64_t safetensors_header_limit = 100'000'000;  // bytes, as the format says
inline constexpr std::uint64_t safetensors_length_bytes =
    8;  // in front: the header's, little endian
inline constexpr std::size_t safetensors_name_limit = 4096;         // bytes
inline constexpr std::size_t safetensors_dimension_limit = 64;      // of a shape
inline constexpr std::size_t safetensors_tensor_limit = 1'000'000;  // in a file

// Bytes of the header, from the first safetensors_length_bytes of a file of `file_bytes`. Throws
// corrupt_data where a file of that size cannot have such a header.
[[nodiscard]] std::uint64_t parse_safetensors_length(const void* length, std::uint64_t file_bytes,
                                                     const std::string& path);

// `json` is the header's text, `body` the bytes of the file after it. Entries come back in the
// order of the file's header. Throws corrupt_data with the byte of `path`, named in messages only.
// Stricter than the format's other readers: the first byte is '{'; no name, field or metadata key
// comes twice; names are UTF-8 without control characters; numbers are digits alone.
[[nodiscard]] std::vector<safetensors_entry> parse_safetensors_header(const std::string& json,
                                                                      std::uint64_t body,
                                                                      const std::string& path);

// The same of a header alone, whose tensors may not have been fetched: their end is the last one's.
[[nodiscard]] std::vector<safetensors_entry> parse_safetensors_header(const std::string& json,
                                                                      const std::string& path);

// The header's text for entries as they are, with `metadata` key-value pairs, padded with spaces
// to a multiple of 8 bytes. Throws invalid_argument for what would not be read back: names that are
// no UTF-8, too long or there twice, more than fits.
[[nodiscard]] std::string format_safetensors_header(
    const std::vector<safetensors_entry>& entries,
    const std::vector<std::pair<std::string, std::string>>& metadata);

}  // namespace zero::checkpoint
#pragma GCC visibility pop
