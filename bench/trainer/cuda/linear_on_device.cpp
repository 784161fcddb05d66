#include "trainer/cuda/linear_on_device.hpp"

#include <zero/base/native_cuda.hpp>

namespace zero::trainer::cuda {

template <typename Element>
linear_on_device<Element>::linear_on_device(stream& queue, void* workspace, float* partial)
    : queue_(queue), products_(queue, workspace), partial_(partial) {}

template <typename Element>
cudaStream_t linear_on_device<Element>::native() const noexcept {
  return zero::cuda::native(queue_);
}

template <typename Element>
void linear_on_device<Element>::forward(const linear_sizes& n, const Element* x, const Element* w,
                                        const Element* bias, const Element* residual, Element* y) {
  product shape = forward_product(n.rows, n.in, n.out, dtype_of<Element>);
  shape.adds = residual != nullptr;
  product_operands operands{w, x, residual, y, 1.0F, bias, nullptr};
  shape.after = epilogue::bias;
  if (products_.has(shape)) return products_.run(shape, operands);
  shape.after = epilogue::none;
  operands.bias = nullptr;
  products_.run(shape, operands);
  add_biases(native(), bias, y, static_cast<std::size_t>(n.rows), n.out);
}

template <typename Element>
void linear_on_device<Element>::forward_gelu(const linear_sizes& n, const Element* x,
                                             const Element* w, const Element* bias, Element* before,
                                             Element* y) {
  product shape = forward_product(n.rows, n.in, n.out, dtype_of<Element>);
  shape.after = epilogue::gelu_bias;
  if (products_.has(shape)) {
    return products_.run(shape, {w, x, nullptr, y, 1.0F, bias, before});
  }
  forward(n, x, w, bias, nullptr, before);
  apply_gelu(native(), static_cast<const Element*>(before), y,
             static_cast<std::size_t>(n.rows) * static_cast<std::size_t>(n.out));
}

template <typename Element>
void linear_on_device<Element>::backward_input(const linear_sizes& n, const Element* dy,
                                               const Element* w, const Element* before,
                                               Element* dx) {
  product shape = input_product(n.rows, n.in, n.out, dtype_of<Element>);
  product_operands operands{w, dy, nullptr, dx, 1.0F, nullptr, nullptr};
  if (before != nullptr) {
    shape.after = epilogue::gelu_slope;
    if (products_.has(shape)) {
      operands.aside = const_cast<Element*>(before);  // read by this epilogue, written by the other
      return products_.run(shape, operands);
    }
    shape.after = epilogue::none;
  }
  products_.run(shape, operands);
  if (before != nullptr) {
    apply_gelu_slope(native(), before, dx,
                     static_cast<std::size_t>(n.rows) * static_cast<std::size_t>(n.in));
  }
}

template <typename Element>
void linear_on_device<Element>::backward_weight(const linear_sizes& n, const Element* x,
                                                const Element* dy, Element* dw, Element* dbias) {
  if (dw != nullptr) {
    products_.run(weight_product(n.rows, n.in, n.out, dtype_of<Element>),
                  {dy, x, dw, dw, 1.0F, nullptr, nullptr});
  }
  add_bias_gradient(native(), column_shape{n.rows, n.out}, dy, dbias, partial_);
}

template <typename Element>
void linear_on_device<Element>::run(const product& shape, const Element* a, const Element* b,
                                    Element* d, float alpha) {
  products_.run(shape, {a, b, d, d, alpha, nullptr, nullptr});
}

template class linear_on_device<float>;
template class linear_on_device<bf16_t>;
template class linear_on_device<fp16_t>;

}  // namespace zero::trainer::cuda
