#pragma once
// What every manifest keeps to, whether it was read or is to be written; so that whoever has one
// may use its indices. That extents cover everything once is check_coverage's.

#include <zero/checkpoint/manifest.hpp>

#include <cstdint>
#include <stdexcept>
#include <string>

namespace zero::checkpoint {

inline constexpr std::size_t manifest_limit = std::size_t{1} << 30U;  // bytes of its text
inline constexpr std::uint64_t most_steps = 999'999'999'999;  // 12 digits in a folder's name
inline constexpr std::size_t most_parameters = 1'000'000;
inline constexpr std::size_t most_files = 99'999;  // 5 digits in a file's name
inline constexpr std::size_t most_dimensions = 64;
inline constexpr std::size_t parameter_name_limit = 3900;  // bytes; tensors' names are longer
inline constexpr std::size_t state_name_limit = 100;
inline constexpr std::size_t attachment_name_limit = 200;
inline constexpr std::uint64_t most_bytes = std::uint64_t{1} << 62U;  // of a parameter, of a file

// Which rule is broken, in words; of no use outside.
class broken_rule : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};
// Throws broken_rule. Time n log n of what is in it.
void check_rules(const manifest& m);

// "rank-00003-of-00008.safetensors"
[[nodiscard]] std::string file_name(std::size_t rank, std::size_t ranks);

// Of the product of its shape; check_rules has seen that it is no overflow.
[[nodiscard]] std::uint64_t elements_of(const saved_parameter& parameter) noexcept;

// Arrays of an extent of it: the weights, and of a trainable one the states.
[[nodiscard]] std::size_t arrays_of(const manifest& m, const saved_parameter& parameter) noexcept;
// dtype of an array of it: frozen weights as they are, all else fp32.
[[nodiscard]] dtype type_of(const saved_parameter& parameter) noexcept;

}  // namespace zero::checkpoint
