#pragma once
// column_kernels: sums over rows for each column, which are the gradients of biases and of
// LayerNorm's parameters. Two stages of a fixed shape: rows are cut into chunks by their number
// alone, a block sums a chunk of a few columns, then chunks are added in their order. No atomics:
// the same bits every time.

#include "trainer/cuda/element.hpp"
#include "trainer/cuda/thread_block.hpp"

namespace zero::trainer::cuda {

inline constexpr int most_column_chunks = 64;
inline constexpr int rows_at_once = 8;  // rows of a chunk that a block works on side by side

// Chunks that so many rows are cut into, from 1.
ZERO_TRAINER_BOTH int column_chunks(int rows) {
  const int wanted = (rows + 127) / 128;
  return wanted < 1 ? 1 : wanted < most_column_chunks ? wanted : most_column_chunks;
}

struct column_shape {
  int rows;
  int columns;
  [[nodiscard]] ZERO_TRAINER_BOTH int chunks() const { return column_chunks(rows); }
  [[nodiscard]] ZERO_TRAINER_BOTH int first_row(int chunk) const {
    const int each = rows / chunks(), more = rows % chunks();
    return chunk * each + (chunk < more ? chunk : more);
  }
  // Blocks of stage 1: a chunk of rows by a warp's width of columns.
  [[nodiscard]] ZERO_TRAINER_BOTH int column_blocks(int width) const {
    return (columns + warp_size * width - 1) / (warp_size * width);
  }
  [[nodiscard]] ZERO_TRAINER_BOTH int blocks(int width) const {
    return chunks() * column_blocks(width);
  }
};

// The gradient of a bias: dy itself.
template <typename Element>
struct bias_terms {
  static constexpr int sums = 1;
  const Element* dy;
  template <int Width>
  ZERO_TRAINER_BOTH void add(int row, int column, int columns, float (&sum)[sums][Width]) const {
    const auto values = load<Width>(
        dy + static_cast<std::size_t>(row) * static_cast<std::size_t>(columns) + column);
    for (int i = 0; i < Width; ++i) sum[0][i] += widened(values.values[i]);
  }
};

// LayerNorm: sum 0 is of its weight, dy (x - mean) rstd; sum 1 of its bias.
template <typename Element>
struct norm_terms {
  static constexpr int sums = 2;
  const Element* x;
  const Element* dy;
  const float* mean;
  const float* rstd;
  template <int Width>
  ZERO_TRAINER_BOTH void add(int row, int column, int columns, float (&sum)[sums][Width]) const {
    const std::size_t at =
        static_cast<std::size_t>(row) * static_cast<std::size_t>(columns) + column;
    const auto input = load<Width>(x + at);
    const auto slope = load<Width>(dy + at);
    for (int i = 0; i < Width; ++i) {
      const float g = widened(slope.values[i]);
      sum[0][i] = fused(g, (widened(input.values[i]) - mean[row]) * rstd[row], sum[0][i]);
      sum[1][i] += g;
    }
  }
};

template <int Sums, int Width>
inline constexpr std::size_t column_room = rows_at_once* warp_size* Sums* Width;  // floats

// Stage 1: partial[(sum * chunks + chunk) * columns + column].
template <int Width, typename Block, typename Terms>
ZERO_TRAINER_BOTH void column_chunk_body(const Block& block, int index, const column_shape& shape,
                                         const Terms& terms, float* partial, float* room) {
  static_assert(Block::threads == warp_size * rows_at_once);
  constexpr int sums = Terms::sums;
  const int chunk = index / shape.column_blocks(Width);
  const int first = index % shape.column_blocks(Width) * warp_size * Width;
  const int end = shape.first_row(chunk + 1);
  block.each([&](int t) {
    const int column = first + t % warp_size * Width;
    float sum[sums][Width] = {};
    if (column < shape.columns) {
      for (int row = shape.first_row(chunk) + t / warp_size; row < end; row += rows_at_once) {
        terms.template add<Width>(row, column, shape.columns, sum);
      }
    }
    for (int s = 0; s < sums; ++s) {
      for (int i = 0; i < Width; ++i) room[(s * Width + i) * Block::threads + t] = sum[s][i];
    }
  });
  block.sync();
  block.each([&](int t) {
    const int column = first + t % warp_size * Width;
    if (t >= warp_size || column >= shape.columns) return;
    for (int s = 0; s < sums; ++s) {
      for (int i = 0; i < Width; ++i) {
        float sum = 0.0f;
        for (int r = 0; r < rows_at_once; ++r) {
          sum += room[(s * Width + i) * Block::threads + r * warp_size + t];
        }
        partial[(static_cast<std::size_t>(s) * shape.chunks() + chunk) * shape.columns + column +
                i] = sum;
      }
    }
  });
}

// Stage 2: out[column] += the sum over chunks, one column a thread. Nothing if out is null.
template <typename Element>
struct add_column_sums {
  const float* partial;  // of one sum: [chunks, columns]
  Element* out;
  int chunks;
  int columns;
  ZERO_TRAINER_BOTH void operator()(std::size_t column) const {
    float sum = 0.0f;
    for (int chunk = 0; chunk < chunks; ++chunk) {
      sum += partial[static_cast<std::size_t>(chunk) * static_cast<std::size_t>(columns) + column];
    }
    narrow(widened(out[column]) + sum, out[column]);
  }
};

}  // namespace zero::trainer::cuda
