#include "trainer/cuda/token_order.hpp"

#include <algorithm>

namespace zero::trainer::cuda {

token_order token_order_limits(std::size_t rows) noexcept {
  // A token of more than one piece has more than 64 rows, so that its pieces are at most two for
  // every 64 rows.
  constexpr std::size_t piece = rows_of_piece;
  return {rows, rows / piece, (2 * rows + piece - 1) / piece};
}

token_order order_tokens(span<const std::int32_t> tokens, std::uint64_t* keys, std::int32_t* order,
                         token_piece* pieces, token_join* joins) {
  const std::size_t rows = tokens.size();
  for (std::size_t row = 0; row < rows; ++row) {
    keys[row] = static_cast<std::uint64_t>(tokens[row]) << 32 | row;
  }
  std::sort(keys, keys + rows);
  for (std::size_t i = 0; i < rows; ++i) {
    order[i] = static_cast<std::int32_t>(keys[i] & 0xffffffffU);
  }
  token_order made;
  for (std::size_t first = 0; first < rows;) {
    const auto token = static_cast<std::int32_t>(keys[first] >> 32);
    std::size_t end = first;
    while (end < rows && static_cast<std::int32_t>(keys[end] >> 32) == token) ++end;
    const bool several = end - first > rows_of_piece;
    if (several) {
      const std::size_t count = (end - first + rows_of_piece - 1) / rows_of_piece;
      joins[made.joins++] = {token, static_cast<std::int32_t>(made.slots),
                             static_cast<std::int32_t>(count)};
    }
    for (; first < end; first = std::min(end, first + rows_of_piece)) {
      const std::size_t count = std::min<std::size_t>(rows_of_piece, end - first);
      const auto slot = several ? static_cast<std::int32_t>(made.slots++) : -1;
      pieces[made.pieces++] = {static_cast<std::int32_t>(first), static_cast<std::int32_t>(count),
                               token, slot};
    }
  }
  return made;
}

}  // namespace zero::trainer::cuda
