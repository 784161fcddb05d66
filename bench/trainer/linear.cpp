#include "trainer/linear.hpp"

#include "trainer/blas.hpp"
#include "trainer/kernels.hpp"
#include "trainer/storage.hpp"

namespace zero::trainer {

void linear_forward(const linear_shape& shape, const float* x, const_typed_span weight,
                    const_typed_span bias, const float* residual, float* y,
                    const linear_room& room) {
  spread(as_fp32(bias, room.bias), residual, static_cast<std::size_t>(shape.rows),
         static_cast<std::size_t>(shape.out), y);
  matmul(operand::plain, operand::plain, shape.rows, shape.out, shape.in, 1.0f, x, shape.in,
         as_fp32(weight, room.weight), shape.out, 1.0f, y, shape.out);
}

void linear_backward(const linear_shape& shape, const float* x, const_typed_span weight,
                     const float* dy, float* dx, typed_span dweight, typed_span dbias,
                     const linear_room& room) {
  if (shape.rows == 0) return;
  matmul(operand::plain, operand::transposed, shape.rows, shape.in, shape.out, 1.0f, dy, shape.out,
         as_fp32(weight, room.weight), shape.out, 0.0f, dx, shape.in);
  add_product(shape.in, shape.out, shape.rows, x, shape.in, dy, shape.out, dweight, room.weight);
  column_sums(dy, static_cast<std::size_t>(shape.rows), static_cast<std::size_t>(shape.out),
              room.bias);
  add(room.bias, dbias);
}

void add_product(int m, int n, int k, const float* a, int lda, const float* b, int ldb,
                 typed_span out, float* room) {
  if (out.data == nullptr) return;
  if (out.type == dtype::fp32) {
    matmul(operand::transposed, operand::plain, m, n, k, 1.0f, a, lda, b, ldb, 1.0f,
           static_cast<float*>(out.data), n);
    return;
  }
  matmul(operand::transposed, operand::plain, m, n, k, 1.0f, a, lda, b, ldb, 0.0f, room, n);
  add(room, out);
}

}  // namespace zero::trainer
