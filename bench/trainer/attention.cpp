#include "trainer/attention.hpp"

#include "trainer/blas.hpp"
#include "trainer/kernels.hpp"

#include <algorithm>
#include <cmath>

namespace zero::trainer {

namespace {

// One head of one sequence: where its rows start and how far apart they are.
struct head {
  const float* query;
  const float* key;
  const float* value;
  int length;
  int size;
  int stride;  // 3C
  float scale;
};

head head_at(const attention_shape& shape, const float* qkv, int sequence, int index) {
  const int channels = shape.heads * shape.head_size;
  const float* base = qkv + static_cast<std::size_t>(sequence) * shape.length * 3 * channels +
                      static_cast<std::size_t>(index) * shape.head_size;
  return {base,
          base + channels,
          base + 2 * channels,
          shape.length,
          shape.head_size,
          3 * channels,
          1.0f / std::sqrt(static_cast<float>(shape.head_size))};
}

// Queries [first, last) against keys [0, last).
struct tile {
  int first;
  int last;
  [[nodiscard]] int rows() const noexcept { return last - first; }
};

tile tile_at(int first, int length) { return {first, std::min(first + attention_tile, length)}; }

const float* row_of(const float* base, int row, int stride) {
  return base + static_cast<std::size_t>(row) * static_cast<std::size_t>(stride);
}
float* row_of(float* base, int row, int stride) {
  return base + static_cast<std::size_t>(row) * static_cast<std::size_t>(stride);
}

// scores[rows, last] = scale * Q K^T.
void score(const head& h, const tile& t, float* scores) {
  matmul(operand::plain, operand::transposed, t.rows(), t.last, h.size, h.scale,
         row_of(h.query, t.first, h.stride), h.stride, h.key, h.stride, 0.0f, scores, t.last);
}

// What lies after query q's own position is hidden from it.
void hide_future(const tile& t, int query, float* row) {
  std::fill(row + query + 1, row + t.last, 0.0f);
}

struct backward_target {
  float* query;
  float* key;
  float* value;
};

// scores hold the probabilities, slopes dP; both [rows, last].
void backward_tile(const head& h, const tile& t, const float* dout, int channels,
                   const float* scores, const float* slopes, const backward_target& d) {
  // Tiles come last to first, so the first one met covers every key and sets what others add to.
  const float keep = t.last == h.length ? 0.0f : 1.0f;
  matmul(operand::transposed, operand::plain, t.last, h.size, t.rows(), 1.0f, scores, t.last,
         row_of(dout, t.first, channels), channels, keep, d.value, h.stride);
  matmul(operand::transposed, operand::plain, t.last, h.size, t.rows(), h.scale, slopes, t.last,
         row_of(h.query, t.first, h.stride), h.stride, keep, d.key, h.stride);
  matmul(operand::plain, operand::plain, t.rows(), h.size, t.last, h.scale, slopes, t.last, h.key,
         h.stride, 0.0f, row_of(d.query, t.first, h.stride), h.stride);
}

void backward_head(const head& h, const float* out, const float* dout, int channels,
                   const float* row_top, const float* row_inverse, const backward_target& d,
                   float* scores, float* slopes) {
  const int tiles = (h.length + attention_tile - 1) / attention_tile;
  for (int index = tiles - 1; index >= 0; --index) {
    const tile t = tile_at(index * attention_tile, h.length);
    score(h, t, scores);
    matmul(operand::plain, operand::transposed, t.rows(), t.last, h.size, 1.0f,
           row_of(dout, t.first, channels), channels, h.value, h.stride, 0.0f, slopes, t.last);
    for (int q = t.first; q < t.last; ++q) {
      float* p = row_of(scores, q - t.first, t.last);
      float* g = row_of(slopes, q - t.first, t.last);
      const auto seen = static_cast<std::size_t>(q) + 1;
      scaled_exponentials(p, seen, row_top[q], row_inverse[q]);
      // sum over keys of p dp is the inner product of the outputs and their gradients.
      softmax_backward(p, seen,
                       dot(row_of(dout, q, channels), row_of(out, q, channels),
                           static_cast<std::size_t>(h.size)),
                       g);
      hide_future(t, q, p);
      hide_future(t, q, g);
    }
    backward_tile(h, t, dout, channels, scores, slopes, d);
  }
}

}  // namespace

std::size_t attention_scratch(int length) noexcept {
  return std::size_t{2} * attention_tile * static_cast<std::size_t>(length);
}

void attention_forward(const attention_shape& shape, const float* qkv, float* out, float* row_top,
                       float* row_inverse, float* scratch) {
  const int channels = shape.heads * shape.head_size;
  for (int sequence = 0; sequence < shape.sequences; ++sequence) {
    for (int index = 0; index < shape.heads; ++index) {
      const head h = head_at(shape, qkv, sequence, index);
      const int first_row = (sequence * shape.heads + index) * shape.length;
      float* result = row_of(out, sequence * shape.length, channels) + index * shape.head_size;
      for (int first = 0; first < shape.length; first += attention_tile) {
        const tile t = tile_at(first, shape.length);
        score(h, t, scratch);
        for (int q = t.first; q < t.last; ++q) {
          float* p = row_of(scratch, q - t.first, t.last);
          const auto seen = static_cast<std::size_t>(q) + 1;
          const float top = greatest(p, seen);
          const float inverse = 1.0f / exponentials(p, seen, top);
          scale(p, seen, inverse);
          hide_future(t, q, p);
          row_top[first_row + q] = top;
          row_inverse[first_row + q] = inverse;
        }
        matmul(operand::plain, operand::plain, t.rows(), h.size, t.last, 1.0f, scratch, t.last,
               h.value, h.stride, 0.0f, row_of(result, t.first, channels), channels);
      }
    }
  }
}

void attention_backward(const attention_shape& shape, const float* qkv, const float* out,
                        const float* row_top, const float* row_inverse, const float* dout,
                        float* dqkv, float* scratch) {
  const int channels = shape.heads * shape.head_size;
  float* slopes = scratch + attention_scratch(shape.length) / 2;
  for (int sequence = 0; sequence < shape.sequences; ++sequence) {
    for (int index = 0; index < shape.heads; ++index) {
      const head h = head_at(shape, qkv, sequence, index);
      const int row = sequence * shape.length;
      const int first_row = (sequence * shape.heads + index) * shape.length;
      float* d = row_of(dqkv, row, 3 * channels) + index * shape.head_size;
      backward_head(h, row_of(out, row, channels) + index * shape.head_size,
                    row_of(dout, row, channels) + index * shape.head_size, channels,
                    row_top + first_row, row_inverse + first_row,
                    {d, d + channels, d + 2 * channels}, scratch, slopes);
    }
  }
}

}  // namespace zero::trainer
