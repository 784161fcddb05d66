#pragma once
// product: the shape of one matrix product as cuBLASLt takes it, and how the trainer's row-major
// products become it. Plain values; pure; knows nothing of CUDA.
//
// cuBLASLt is column-major: D[m, n] = alpha op(A)[m, k] op(B)[k, n] + beta C[m, n], and a row-major
// matrix [r, c] is its column-major transpose [c, r] with c elements from column to column.

#include <zero/base/dtype.hpp>

#include <compare>
#include <cstdint>

namespace zero::trainer::cuda {

enum class epilogue : unsigned char {
  none,
  bias,       // + bias[m] in each column
  gelu_bias,  // the same, kept aside, then GELU
  gelu_slope  // times gelu'(what was kept aside)
};

struct product {
  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
  bool transpose_a = false;
  bool transpose_b = false;
  std::int64_t lda = 0;
  std::int64_t ldb = 0;
  std::int64_t ldd = 0;  // of C, D and what is kept aside
  dtype type = dtype::fp32;
  bool adds = false;  // beta is 1, else 0
  epilogue after = epilogue::none;

  auto operator<=>(const product&) const = default;

  // Whether every address of such a matrix may be a multiple of 16 bytes: tensors follow each
  // other in the trainer's memory, so this depends on the shape alone, and so do the bits.
  [[nodiscard]] bool is_aligned() const noexcept {
    const auto whole = static_cast<std::int64_t>(16 / size_of(type));
    return lda % whole == 0 && ldb % whole == 0 && ldd % whole == 0;
  }
  // Multiplications and additions.
  [[nodiscard]] double operations() const noexcept {
    return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  }
};

// y[rows, out] = x[rows, in] w[in, out] (A = w, B = x).
[[nodiscard]] inline product forward_product(int rows, int in, int out, dtype type) noexcept {
  return {out, rows, in, false, false, out, in, out, type, false, epilogue::none};
}

// dx[rows, in] = dy[rows, out] w^T (A = w, B = dy).
[[nodiscard]] inline product input_product(int rows, int in, int out, dtype type) noexcept {
  return {in, rows, out, true, false, out, out, in, type, false, epilogue::none};
}

// dw[in, out] += x^T dy (A = dy, B = x).
[[nodiscard]] inline product weight_product(int rows, int in, int out, dtype type) noexcept {
  return {out, in, rows, false, true, out, in, out, type, true, epilogue::none};
}

// logits[rows, vocabulary] = x[rows, channels] wte[vocabulary, channels]^T, rows of logits `stride`
// apart (A = wte, B = x).
[[nodiscard]] inline product logits_product(int rows, int channels, int vocabulary, int stride,
                                            dtype type) noexcept {
  return {vocabulary, rows,   channels, true,  false,         channels,
          channels,   stride, type,     false, epilogue::none};
}

// dx[rows, channels] = slopes[rows, vocabulary] wte (A = wte, B = slopes).
[[nodiscard]] inline product head_input_product(int rows, int channels, int vocabulary, int stride,
                                                dtype type) noexcept {
  return {channels, rows,     vocabulary, false, false,         channels,
          stride,   channels, type,       false, epilogue::none};
}

// dwte[vocabulary, channels] += slopes^T x (A = x, B = slopes).
[[nodiscard]] inline product head_weight_product(int rows, int channels, int vocabulary, int stride,
                                                 dtype type) noexcept {
  return {channels, vocabulary, rows, false, true,          channels,
          stride,   channels,   type, true,  epilogue::none};
}

}  // namespace zero::trainer::cuda
