#pragma once
// initial_values: the random values a GPT starts from, after GPT-2 and llm.c: weights and
// embeddings N(0, 0.02), the two projections back into the residual stream N(0, 0.02 / sqrt(2L)),
// LayerNorm weights 1, biases 0.
//
// Every element is a pure function of (seed, parameter name, element), made of correctly rounded
// operations alone: the same bits on every rank, slice by slice, and on every processor.

#include "trainer/gpt_model.hpp"
#include "trainer/parameter_source.hpp"

#include <map>

namespace zero::trainer {

class initial_values final : public parameter_source {
 public:
  // Throws invalid_argument like check(config).
  initial_values(const gpt_config& config, std::uint64_t seed);

  void read(const std::string& parameter, std::uint64_t offset, span<float> out) override;

 private:
  // A constant where deviation is 0.
  struct distribution {
    std::uint64_t key;
    std::uint64_t count;
    float constant;
    float deviation;
  };
  std::map<std::string, distribution> parameters_;
};

// out[i] = standard normal number `first + i` of the sequence `key`.
void normal_values(std::uint64_t key, std::uint64_t first, span<float> out);

}  // namespace zero::trainer
