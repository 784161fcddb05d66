#pragma once
// What a rank's file holds and where: computed, never read. Of a manifest that keeps the rules.

#include <zero/checkpoint/manifest.hpp>
#include <zero/checkpoint/safetensors_header.hpp>

#include <cstdint>
#include <vector>

namespace zero::checkpoint {

inline constexpr std::uint64_t header_bytes_limit =
    safetensors_length_bytes + safetensors_header_limit;

// Bytes of tensors and attachments; most_bytes + 1 if there are more.
[[nodiscard]] std::uint64_t body_bytes_of(const manifest& m, const saved_file& file);

// How long headers are without making them: a short manifest may describe long ones.
class header_lengths {
 public:
  explicit header_lengths(const manifest& m);  // which must outlive it
  // Of header_of(m, rank); header_bytes_limit + 1 where there can be none. The file's body is at
  // most most_bytes.
  [[nodiscard]] std::uint64_t of(std::size_t rank) const;

 private:
  const manifest& manifest_;
  std::vector<std::uint64_t> parameters_;  // of their names, escaped
  std::vector<std::uint64_t> arrays_;      // of "weights" and the states' names, escaped
};

}  // namespace zero::checkpoint
