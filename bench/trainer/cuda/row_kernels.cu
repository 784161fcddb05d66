// LayerNorm, softmax with cross-entropy, and sums over rows.

#include "trainer/cuda/kernels.hpp"
#include "trainer/cuda/launch.cuh"

namespace zero::trainer::cuda {
namespace {

using zero::cuda::launch;
using row_block = thread_block<256>;

template <int Width, typename Element>
__global__ void __launch_bounds__(256) norm_forward_kernel(norm_forward_arguments<Element> a) {
  norm_forward_body<Width>(row_block{}, static_cast<int>(blockIdx.x), a);
}

template <int Width, typename Element>
__global__ void __launch_bounds__(256) norm_backward_kernel(norm_backward_arguments<Element> a) {
  norm_backward_body<Width>(row_block{}, static_cast<int>(blockIdx.x), a);
}

template <int Width, typename Terms>
__global__ void __launch_bounds__(256)
    column_chunk_kernel(column_shape shape, Terms terms, float* partial) {
  __shared__ float room[column_room<Terms::sums, Width>];
  column_chunk_body<Width>(row_block{}, static_cast<int>(blockIdx.x), shape, terms, partial, room);
}

template <typename Element>
__global__ void __launch_bounds__(256) cross_entropy_kernel(cross_entropy_arguments<Element> a) {
  __shared__ float room[row_block::warps];
  cross_entropy_body(row_block{}, static_cast<int>(blockIdx.x), a, room);
}

__global__ void __launch_bounds__(256)
    add_losses_kernel(const float* losses, int count, double* loss) {
  __shared__ double room[row_block::threads];
  add_losses_body(row_block{}, losses, count, loss, room);
}

template <typename Element>
bool has_full_width(int columns) {
  return columns % full_width<Element> == 0;
}

template <typename Terms>
void sum_columns(cudaStream_t queue, const column_shape& shape, const Terms& terms,
                 float* partial) {
  if (shape.columns % 2 == 0) {
    launch("column_chunk_kernel", column_chunk_kernel<2, Terms>,
           static_cast<unsigned>(shape.blocks(2)), row_block::threads, 0, queue, shape, terms,
           partial);
  } else {
    launch("column_chunk_kernel", column_chunk_kernel<1, Terms>,
           static_cast<unsigned>(shape.blocks(1)), row_block::threads, 0, queue, shape, terms,
           partial);
  }
}

template <typename Element>
void add_sums(cudaStream_t queue, const column_shape& shape, int sum, const float* partial,
              Element* out) {
  if (out == nullptr) return;
  const std::size_t one =
      static_cast<std::size_t>(shape.chunks()) * static_cast<std::size_t>(shape.columns);
  each_index("add_column_sums", queue, static_cast<std::size_t>(shape.columns),
             add_column_sums<Element>{partial + static_cast<std::size_t>(sum) * one, out,
                                      shape.chunks(), shape.columns});
}

}  // namespace

template <typename Element>
void norm_forward(cudaStream_t queue, const norm_forward_arguments<Element>& a) {
  if (a.rows == 0) return;
  const auto blocks = static_cast<unsigned>(row_blocks(a.rows, row_block::warps));
  if (has_full_width<Element>(a.channels)) {
    launch("norm_forward_kernel", norm_forward_kernel<full_width<Element>, Element>, blocks,
           row_block::threads, 0, queue, a);
  } else {
    launch("norm_forward_kernel", norm_forward_kernel<1, Element>, blocks, row_block::threads, 0,
           queue, a);
  }
}

template <typename Element>
void norm_backward(cudaStream_t queue, const norm_backward_arguments<Element>& a) {
  if (a.rows == 0) return;
  const auto blocks = static_cast<unsigned>(row_blocks(a.rows, row_block::warps));
  if (has_full_width<Element>(a.channels)) {
    launch("norm_backward_kernel", norm_backward_kernel<full_width<Element>, Element>, blocks,
           row_block::threads, 0, queue, a);
  } else {
    launch("norm_backward_kernel", norm_backward_kernel<1, Element>, blocks, row_block::threads, 0,
           queue, a);
  }
}

template <typename Element>
void add_norm_gradients(cudaStream_t queue, const column_shape& shape,
                        const norm_terms<Element>& terms, Element* weight, Element* bias,
                        float* partial) {
  if (shape.rows == 0 || (weight == nullptr && bias == nullptr)) return;
  sum_columns(queue, shape, terms, partial);
  add_sums(queue, shape, 0, partial, weight);
  add_sums(queue, shape, 1, partial, bias);
}

template <typename Element>
void add_bias_gradient(cudaStream_t queue, const column_shape& shape, const Element* dy,
                       Element* bias, float* partial) {
  if (shape.rows == 0 || bias == nullptr) return;
  sum_columns(queue, shape, bias_terms<Element>{dy}, partial);
  add_sums(queue, shape, 0, partial, bias);
}

template <typename Element>
void cross_entropy(cudaStream_t queue, int rows, const cross_entropy_arguments<Element>& a) {
  if (rows == 0) return;
  launch("cross_entropy_kernel", cross_entropy_kernel<Element>, static_cast<unsigned>(rows),
         row_block::threads, 0, queue, a);
}

void add_losses(cudaStream_t queue, const float* losses, int count, double* loss) {
  launch("add_losses_kernel", add_losses_kernel, 1, row_block::threads, 0, queue, losses, count,
         loss);
}

#define ZERO_TRAINER_INSTANTIATE(Element)                                                         \
  template void norm_forward(cudaStream_t, const norm_forward_arguments<Element>&);               \
  template void norm_backward(cudaStream_t, const norm_backward_arguments<Element>&);             \
  template void add_norm_gradients(cudaStream_t, const column_shape&, const norm_terms<Element>&, \
                                   Element*, Element*, float*);                                   \
  template void add_bias_gradient(cudaStream_t, const column_shape&, const Element*, Element*,    \
                                  float*);                                                        \
  template void cross_entropy(cudaStream_t, int, const cross_entropy_arguments<Element>&);
ZERO_TRAINER_INSTANTIATE(float)
ZERO_TRAINER_INSTANTIATE(bf16_t)
ZERO_TRAINER_INSTANTIATE(fp16_t)
#undef ZERO_TRAINER_INSTANTIATE

}  // namespace zero::trainer::cuda
