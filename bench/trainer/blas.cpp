#include "trainer/blas.hpp"

#include <zero/base/error.hpp>

#include <cblas.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

namespace zero::trainer {

namespace {

CBLAS_TRANSPOSE transposition(operand op) noexcept {
  return op == operand::plain ? CblasNoTrans : CblasTrans;
}

// Small integers, so that products and sums are exact in fp32 whatever their order.
std::vector<float> integers(int count, int step) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    values[static_cast<std::size_t>(i)] = static_cast<float>((i * step + 7) % 17 - 8);
  }
  return values;
}

// True if the product of one shape is what plain loops give.
bool multiplies_right(operand op_a, operand op_b, int m, int n, int k) {
  const std::vector<float> a = integers(m * k, 5);
  const std::vector<float> b = integers(k * n, 11);
  std::vector<float> c(static_cast<std::size_t>(m * n), 1.0f);
  const int lda = op_a == operand::plain ? k : m;
  const int ldb = op_b == operand::plain ? n : k;
  matmul(op_a, op_b, m, n, k, 2.0f, a.data(), lda, b.data(), ldb, 1.0f, c.data(), n);
  for (int i = 0; i < m; ++i) {
    for (int j = 0; j < n; ++j) {
      float sum = 0;
      for (int p = 0; p < k; ++p) {
        sum += a[static_cast<std::size_t>(op_a == operand::plain ? i * k + p : p * m + i)] *
               b[static_cast<std::size_t>(op_b == operand::plain ? p * n + j : j * k + p)];
      }
      if (c[static_cast<std::size_t>(i * n + j)] != 2.0f * sum + 1.0f) return false;
    }
  }
  return true;
}

}  // namespace

void matmul(operand op_a, operand op_b, int m, int n, int k, float alpha, const float* a, int lda,
            const float* b, int ldb, float beta, float* c, int ldc) noexcept {
  if (m == 0 || n == 0) return;
  if (k == 0) {
    for (int i = 0; i < m; ++i) {
      float* row = c + static_cast<std::ptrdiff_t>(i) * ldc;
      std::transform(row, row + n, row, [&](float x) { return beta == 0.0f ? 0.0f : beta * x; });
    }
    return;
  }
  cblas_sgemm(CblasRowMajor, transposition(op_a), transposition(op_b), m, n, k, alpha, a, lda, b,
              ldb, beta, c, ldc);
}

void check_blas() {
  for (const operand op_a : {operand::plain, operand::transposed}) {
    for (const operand op_b : {operand::plain, operand::transposed}) {
      for (const int size : {1, 2, 7, 16, 17, 51, 64, 130}) {
        const int m = size, n = size + 3, k = 2 * size + 1;
        if (multiplies_right(op_a, op_b, m, n, k)) continue;
        const auto sign = [](operand op) { return op == operand::plain ? "N" : "T"; };
        throw error("BLAS on this machine computes wrong results (sgemm " +
                    std::string(sign(op_a)) + sign(op_b) + " of " + std::to_string(m) + " x " +
                    std::to_string(n) + " x " + std::to_string(k) +
                    "); with OpenBLAS set OPENBLAS_CORETYPE, for example to HASWELL");
      }
    }
  }
}

}  // namespace zero::trainer
