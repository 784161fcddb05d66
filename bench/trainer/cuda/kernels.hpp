#pragma once
// kernels: the trainer's own kernels, queued on a stream. Element is float, bf16_t or fp16_t.
//
// Pointers are of the device and aligned as their shape allows: where the channels are a multiple
// of 16 bytes, so is every address. Nothing is queued for no rows. Throw cuda_error if a kernel
// cannot be launched. The device of the stream must be current. Thread-safe.

#include "trainer/cuda/attention_shape.hpp"
#include "trainer/cuda/column_kernels.hpp"
#include "trainer/cuda/element_kernels.hpp"
#include "trainer/cuda/row_kernels.hpp"
#include "trainer/cuda/token_order.hpp"

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace zero::trainer::cuda {

template <typename Element>
void norm_forward(cudaStream_t queue, const norm_forward_arguments<Element>& a);
template <typename Element>
void norm_backward(cudaStream_t queue, const norm_backward_arguments<Element>& a);

// Adds the gradients of LayerNorm's parameters, or of a bias, where they are not null. `partial`
// has room for column_partials(shape, sums) floats.
template <typename Element>
void add_norm_gradients(cudaStream_t queue, const column_shape& shape,
                        const norm_terms<Element>& terms, Element* weight, Element* bias,
                        float* partial);
template <typename Element>
void add_bias_gradient(cudaStream_t queue, const column_shape& shape, const Element* dy,
                       Element* bias, float* partial);

// a.losses and, if asked for, slopes of `rows` rows.
template <typename Element>
void cross_entropy(cudaStream_t queue, int rows, const cross_entropy_arguments<Element>& a);
void add_losses(cudaStream_t queue, const float* losses, int count, double* loss);

template <typename Element>
void embed_tokens(cudaStream_t queue, const std::int32_t* tokens, const Element* wte,
                  const Element* wpe, Element* out, int rows, int length, int channels);
// What the host made of the tokens (token_order.hpp), on the device.
struct ordered_tokens {
  const std::int32_t* order;
  const token_piece* pieces;
  const token_join* joins;
  token_order counts;
};
template <typename Element>
void add_token_gradients(cudaStream_t queue, const ordered_tokens& tokens, const Element* gradient,
                         Element* wte, float* slots, int channels);
template <typename Element>
void add_position_gradients(cudaStream_t queue, const Element* gradient, Element* wpe,
                            int sequences, int length, int channels);

// y[rows, columns] += bias[columns].
template <typename Element>
void add_biases(cudaStream_t queue, const Element* bias, Element* y, std::size_t rows, int columns);
template <typename Element>
void apply_gelu(cudaStream_t queue, const Element* in, Element* out, std::size_t count);
template <typename Element>
void apply_gelu_slope(cudaStream_t queue, const Element* in, Element* gradient, std::size_t count);

// Which kernels an attention takes: those of the tensor cores for 16-bit elements and heads of 64
// or 128.
enum class attention_kind : unsigned char { none, plain, tiles_64, tiles_128 };
template <typename Element>
[[nodiscard]] attention_kind attention_kind_of(int head_size) noexcept;
// Allows the kernels the shared memory they take. Once for each device, before the first launch.
template <typename Element>
void prepare_attention(int head_size);
// a.out and a.top.
template <typename Element>
void attention_forward(cudaStream_t queue, const attention_arguments<Element>& a);
// a.inner, then a.dqkv.
template <typename Element>
void attention_backward(cudaStream_t queue, const attention_arguments<Element>& a);

}  // namespace zero::trainer::cuda
