#pragma once
// linear_on_device: y = x W + b and its gradients, with what follows fused into the products where
// cuBLASLt has that, and by kernels of our own where it has not. Which of the two is a matter of
// the shape alone. Row-major throughout; one object, one thread.

#include "trainer/cuda/kernels.hpp"
#include "trainer/cuda/matmul.hpp"

#include <zero/base/stream.hpp>

namespace zero::trainer::cuda {

struct linear_sizes {
  int rows = 0;
  int in = 0;
  int out = 0;
};

template <typename Element>
class linear_on_device {
 public:
  // `partial` of column_kernels; both outlive this.
  linear_on_device(stream& queue, void* workspace, float* partial);

  // y = x w + bias (+ residual, where it is not null).
  void forward(const linear_sizes& n, const Element* x, const Element* w, const Element* bias,
               const Element* residual, Element* y);
  // before = x w + bias, y = gelu(before).
  void forward_gelu(const linear_sizes& n, const Element* x, const Element* w, const Element* bias,
                    Element* before, Element* y);
  // dx = dy w^T (times gelu'(before), where it is not null).
  void backward_input(const linear_sizes& n, const Element* dy, const Element* w,
                      const Element* before, Element* dx);
  // dw += x^T dy and dbias += the sum of dy over rows, where they are not null.
  void backward_weight(const linear_sizes& n, const Element* x, const Element* dy, Element* dw,
                       Element* dbias);
  // The head's products (product.hpp).
  void run(const product& shape, const Element* a, const Element* b, Element* d, float alpha);

 private:
  [[nodiscard]] cudaStream_t native() const noexcept;

  stream& queue_;
  matmul products_;
  float* partial_;
};

}  // namespace zero::trainer::cuda
