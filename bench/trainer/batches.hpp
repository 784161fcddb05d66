#pragma once
// batches: which tokens a step trains on. A pure function of (seed, step, sequence of the global
// batch), so it does not matter how many ranks share the batch.

#include "trainer/corpus.hpp"
#include "trainer/counter_random.hpp"

#include <zero/base/error.hpp>
#include <zero/base/span.hpp>

#include <cstdint>

namespace zero::trainer {

// First token of sequence number `sequence` of step `step`: uniform over the places where
// length + 1 tokens follow. tokens > length.
[[nodiscard]] inline std::uint64_t sequence_start(std::uint64_t seed, std::uint64_t step,
                                                  std::uint64_t sequence, std::uint64_t tokens,
                                                  std::uint64_t length) noexcept {
  const std::uint64_t key = mix(random_key(seed, "batches") ^ random_bits(step, 0));
  return random_bits(key, sequence) % (tokens - length);
}

// inputs and targets (the tokens one further), as many as inputs.size(). Throws invalid_argument
// if the two sizes differ or the corpus has no more tokens than that.
inline void read_sequence(const corpus& source, std::uint64_t seed, std::uint64_t step,
                          std::uint64_t sequence, span<std::int32_t> inputs,
                          span<std::int32_t> targets) {
  if (inputs.size() != targets.size() || source.token_count() <= inputs.size()) {
    throw invalid_argument("a sequence of " + std::to_string(inputs.size()) +
                           " tokens does not fit into a corpus of " +
                           std::to_string(source.token_count()));
  }
  const std::uint64_t start =
      sequence_start(seed, step, sequence, source.token_count(), inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    inputs[i] = source.token(start + i);
    targets[i] = source.token(start + i + 1);
  }
}

}  // namespace zero::trainer
