#pragma once
// formats: in how many bits optimizer states and master weights rest. Plain values.
//
// Arrays rest in blocks of 128 elements, so that any run of whole blocks stands on its own.

#include <cstddef>
#include <cstdint>
#include <string>

#pragma GCC visibility push(default)
namespace zero::optim {

enum class state_format : unsigned char {
  fp32,
  bf16,    // rounded stochastically at each update, as block8 is: see formats.md
  block8,  // 8-bit codes with one scale a block
};

// What keeps a 16-bit parameter exact, or does not.
enum class master_format : unsigned char {
  fp32,       // master weights apart; parameters are those rounded
  remainder,  // bf16 parameters alone: the lower 16 bits of the fp32 weight, so that both together
              // are the master weight exactly; a parameter is the weight's nearest bf16, of a tie
              // the one towards zero
  none,       // no master: the update reads the parameter and rounds its result stochastically,
              // keyed by (seed, step, element)
};

struct optimizer_formats {
  state_format states = state_format::fp32;
  master_format master = master_format::fp32;
};

[[nodiscard]] const char* name_of(state_format f) noexcept;
[[nodiscard]] const char* name_of(master_format f) noexcept;

// Elements of a block; array bytes are for whole blocks.
inline constexpr std::size_t format_block = 128;

// Bytes of one array for 128 elements: 512, 256, 132; 512, 256, 0.
[[nodiscard]] std::uint32_t block_bytes(state_format f) noexcept;
[[nodiscard]] std::uint32_t block_bytes(master_format f) noexcept;

}  // namespace zero::optim
#pragma GCC visibility pop
