#pragma once
// blas: row-major single-precision matrix products over whatever CBLAS is there.
//
// Thread-safe but for set_blas_threads. The same inputs give the same bits for the same number of
// threads on one machine.

namespace zero::trainer {

enum class operand : unsigned char { plain, transposed };

// C = alpha op(A) op(B) + beta C, op(A) of [m, k], op(B) of [k, n], C of [m, n]. A, B and C are
// row-major with lda, ldb, ldc elements from one stored row to the next. beta 0 does not read C.
// m, n or k may be 0: nothing to compute, or C = beta C. Blocks; throws nothing.
void matmul(operand op_a, operand op_b, int m, int n, int k, float alpha, const float* a, int lda,
            const float* b, int ldb, float beta, float* c, int ldc) noexcept;

// Threads the library uses from now on, for the whole process. Without effect where the CBLAS
// does not offer it; returns whether it does.
bool set_blas_threads(int threads) noexcept;

// Compares small products with plain loops: old libraries compute wrong results on processors
// newer than they are. Takes a few milliseconds. Throws zero::error that says so.
void check_blas();

}  // namespace zero::trainer
