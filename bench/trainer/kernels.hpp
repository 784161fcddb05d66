#pragma once
// kernels: the arithmetic between the matrix products, vectorised for the processor at hand.
//
// Pure, thread-safe on disjoint memory. The order of every sum depends on the counts and on the
// processor's vector width alone, never on addresses. NaN in gives NaN out.

#include <cstddef>

namespace zero::trainer {

// out[i] = gelu(in[i]), the tanh form: 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
void gelu(const float* in, std::size_t count, float* out);
// gradient[i] *= gelu'(in[i]).
void gelu_backward(const float* in, std::size_t count, float* gradient);

// Greatest value; -infinity of none.
[[nodiscard]] float greatest(const float* values, std::size_t count);
// values[i] = exp(values[i] - shift); returns their sum. values[i] <= shift.
float exponentials(float* values, std::size_t count, float shift);
// The sum alone; values stay as they are.
[[nodiscard]] float sum_of_exponentials(const float* values, std::size_t count, float shift);
// values[i] = exp(values[i] - shift) * factor.
void scaled_exponentials(float* values, std::size_t count, float shift, float factor);
// values[i] *= factor.
void scale(float* values, std::size_t count, float factor);
[[nodiscard]] float dot(const float* a, const float* b, std::size_t count);
// The gradient of a softmax row p for the gradient g of its outputs: g[i] = p[i] (g[i] - inner),
// inner = sum p g.
void softmax_backward(const float* p, std::size_t count, float inner, float* g);

// y[r, i] = (x[r, i] - mean[r]) * rstd[r] * weight[i] + bias[i], [rows, channels];
// rstd = 1 / sqrt(variance + 1e-5). `mean` and `rstd` are written.
void layer_norm(const float* x, const float* weight, const float* bias, std::size_t rows,
                std::size_t channels, float* y, float* mean, float* rstd);
// The same with mean and rstd given: the same bits.
void layer_norm_again(const float* x, const float* weight, const float* bias, const float* mean,
                      const float* rstd, std::size_t rows, std::size_t channels, float* y);
// dx += gradient of x for the gradient dy of y; dweight and dbias [channels] are overwritten.
void layer_norm_backward(const float* x, const float* weight, const float* mean, const float* rstd,
                         const float* dy, std::size_t rows, std::size_t channels, float* dx,
                         float* dweight, float* dbias);

// y[r, i] = bias[i], or residual[r, i] + bias[i] where residual is not null.
void spread(const float* bias, const float* residual, std::size_t rows, std::size_t columns,
            float* y);
// sums[i] = sum over r of x[r, i].
void column_sums(const float* x, std::size_t rows, std::size_t columns, float* sums);
// out[i] += in[i].
void add_to(const float* in, std::size_t count, float* out);

}  // namespace zero::trainer
