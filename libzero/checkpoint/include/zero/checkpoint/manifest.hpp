#pragma once
// manifest: what stands in manifest.json of a checkpoint: whose state it is, where each element of
// it lies, and the checksum of every byte. README.md describes it and the files byte by byte.
//
// Plain values; the functions are pure.

#include <zero/base/dtype.hpp>
#include <zero/engine/shards.hpp>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#pragma GCC visibility push(default)
namespace zero::checkpoint {

inline constexpr int format_version = 1;
inline constexpr const char* manifest_name = "manifest.json";
inline constexpr std::uint64_t chunk_bytes = std::uint64_t{1} << 20U;  // under one checksum

// What identifies one act of saving.
struct save_id {
  std::uint64_t step = 0;
  std::uint64_t epoch = 0;  // of the owner of the directory, from 1; grows with every owner
  std::string nonce;        // 32 lower-case hex digits
};

struct saved_parameter {
  std::string name;
  std::vector<std::uint64_t> shape;
  dtype type = dtype::fp32;  // what it is gathered in
  bool trainable = true;
  int group = 0;
  std::string tied_to;  // then nothing of it is saved
};

struct saved_group {
  std::vector<std::pair<std::string, double>> constants;  // by their names in hyper
};

// One rank's file: of each extent the weights and then each state, one tensor each.
struct saved_file {
  std::string name;                // "rank-00003-of-00008.safetensors"
  std::uint64_t bytes = 0;         // all of it
  std::uint64_t header_bytes = 0;  // of them, before the first tensor
  std::vector<shard_extent> extents;
  std::vector<std::pair<std::string, std::uint64_t>> attachments;  // name and bytes, after them
  std::vector<std::uint64_t> checksums;                            // of each chunk
};

struct manifest {
  save_id id;
  std::string written_by;           // version that wrote it
  std::string algorithm;            // "adamw", ..., or "own"
  std::vector<std::string> states;  // names of arrays beside the weights
  std::vector<saved_parameter> parameters;
  std::vector<saved_group> groups;
  training_progress progress;
  // Options it was made with, by name, for those who look; nothing depends on them.
  std::vector<std::pair<std::string, std::string>> settings;
  std::vector<saved_file> files;  // by rank
};

// UTF-8 JSON whose last member is the digest of all before it. Throws invalid_argument for what
// breaks a rule of format.md: a name that is no UTF-8, an index out of range, a number that is not
// finite; not for what check_coverage finds.
[[nodiscard]] std::string format_manifest(const manifest& m);
// Accepts nothing but what format_manifest writes, of this version: else corrupt_data with the
// byte, or invalid_argument naming both versions. Linear time; memory a fixed multiple of the text.
// Indices in it are valid, and check_coverage has been passed.
[[nodiscard]] manifest parse_manifest(const std::string& text, const std::string& path);
// Throws corrupt_data naming the parameter and the first element covered twice or not at all, or
// the file whose sizes do not add up, or the rule that is broken. n log n of the number of extents.
void check_coverage(const manifest& m, const std::string& path);

// Seed of the checksum of a chunk: no chunk of another file, place or save has its sum by mistake.
[[nodiscard]] std::uint64_t chunk_seed(const save_id& id, int rank, std::uint64_t chunk) noexcept;

// Where in its file an array of an extent lies. array 0: weights, then the states.
struct array_place {
  std::uint64_t begin = 0;  // bytes from the start of the file
  std::uint64_t bytes = 0;
  dtype type = dtype::fp32;
};
[[nodiscard]] array_place place_of(const manifest& m, const saved_file& file, std::size_t extent,
                                   int array);
// Where the weights of each extent begin, and after the last extent the attachments; in one pass.
[[nodiscard]] std::vector<std::uint64_t> extent_begins(const manifest& m, const saved_file& file);
// The header of the file as it must be, byte for byte; the length field in front included.
[[nodiscard]] std::string header_of(const manifest& m, std::size_t file);

}  // namespace zero::checkpoint
#pragma GCC visibility pop
