#pragma once
// token_order: which rows of a batch show which token, so that the embedding's gradient is summed
// token by token in one order, without atomics.
//
// Frequent tokens are cut into pieces, so that no thread sums many rows. Pure.

#include "trainer/cuda/element_kernels.hpp"

#include <zero/base/span.hpp>

#include <cstddef>
#include <cstdint>

namespace zero::trainer::cuda {

inline constexpr int rows_of_piece = 64;

struct token_order {
  std::size_t pieces = 0;
  std::size_t joins = 0;
  std::size_t slots = 0;
};

// Most of each that `rows` rows can make.
[[nodiscard]] token_order token_order_limits(std::size_t rows) noexcept;

// order[rows]: all rows, those of a token together and ascending. `pieces` and `joins` have room
// for the limits, keys for `rows`. Returns how many there are.
token_order order_tokens(span<const std::int32_t> tokens, std::uint64_t* keys, std::int32_t* order,
                         token_piece* pieces, token_join* joins);

}  // namespace zero::trainer::cuda
