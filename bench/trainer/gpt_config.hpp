#pragma once
// gpt_config: the five numbers a GPT is made of, and the sizes that have a name.
//
// Plain values; nothing here allocates more than text.

#include <cstdint>
#include <string>
#include <vector>

namespace zero::trainer {

struct gpt_config {
  std::string name;    // of the preset, or what the user calls it
  int vocabulary = 0;  // V: tokens are 0 to V - 1
  int layers = 0;      // L
  int channels = 0;    // C: a multiple of heads
  int heads = 0;       // H
  int context = 0;     // T: tokens of the longest sequence
};

// gpt-3m, gpt-4m-odd, gpt-11m, gpt-85m, gpt2, gpt2-medium, gpt2-large, gpt2-xl.
[[nodiscard]] const std::vector<gpt_config>& gpt_presets();

// The preset of that name. Throws invalid_argument that lists the names there are.
[[nodiscard]] gpt_config find_gpt(const std::string& name);

// Throws invalid_argument, naming the number that is wrong, unless every one is in 1 to 2^20 and
// channels is a multiple of heads.
void check(const gpt_config& config);

// Elements of all parameters; the head is the embedding and counts once.
[[nodiscard]] std::uint64_t parameter_count(const gpt_config& config);

}  // namespace zero::trainer
