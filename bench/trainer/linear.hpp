#pragma once
// linear: y = x W + b on rows, W of [in, out], and its gradients.
//
// Pure but for the rooms it is given; thread-safe on disjoint memory.

#include <zero/base/typed_span.hpp>

namespace zero::trainer {

struct linear_shape {
  int rows = 0;
  int in = 0;
  int out = 0;
};

// Scratch for parameters that are not fp32 and for gradients on their way to where they are added.
struct linear_room {
  float* weight = nullptr;  // in * out floats; null if weights and their gradients are fp32
  float* bias = nullptr;    // out floats
};

// y[rows, out] = x[rows, in] W + b, and + residual[rows, out] where that is not null.
void linear_forward(const linear_shape& shape, const float* x, const_typed_span weight,
                    const_typed_span bias, const float* residual, float* y,
                    const linear_room& room);

// For the gradient dy[rows, out] of y: dx[rows, in] is overwritten, dweight and dbias are added
// to (each element once, rounded once); a gradient whose data is null is left out.
void linear_backward(const linear_shape& shape, const float* x, const_typed_span weight,
                     const float* dy, float* dx, typed_span dweight, typed_span dbias,
                     const linear_room& room);

// out[m, n] += op(A) op(B), with A of [k, m] transposed and B of [k, n]: a weight gradient.
// Straight into `out` if it is fp32, else through `room` of m * n floats.
void add_product(int m, int n, int k, const float* a, int lda, const float* b, int ldb,
                 typed_span out, float* room);

}  // namespace zero::trainer
