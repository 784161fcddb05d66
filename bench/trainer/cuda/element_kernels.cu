// Embedding and its gradient, biases and GELU.

#include "trainer/cuda/kernels.hpp"
#include "trainer/cuda/launch.cuh"

namespace zero::trainer::cuda {

template <typename Element>
void embed_tokens(cudaStream_t queue, const std::int32_t* tokens, const Element* wte,
                  const Element* wpe, Element* out, int rows, int length, int channels) {
  const std::size_t count = static_cast<std::size_t>(rows) * static_cast<std::size_t>(channels);
  constexpr int width = full_width<Element>;
  if (channels % width == 0) {
    each_index("embed", queue, count / width,
               embed<Element, width>{tokens, wte, wpe, out, channels, length});
  } else {
    each_index("embed", queue, count, embed<Element, 1>{tokens, wte, wpe, out, channels, length});
  }
}

template <typename Element>
void add_token_gradients(cudaStream_t queue, const ordered_tokens& tokens, const Element* gradient,
                         Element* wte, float* slots, int channels) {
  const auto c = static_cast<std::size_t>(channels);
  each_index("embed_pieces", queue, tokens.counts.pieces * c,
             embed_pieces<Element>{tokens.order, tokens.pieces, gradient, wte, slots, channels});
  each_index("embed_joins", queue, tokens.counts.joins * c,
             embed_joins<Element>{tokens.joins, slots, wte, channels});
}

template <typename Element>
void add_position_gradients(cudaStream_t queue, const Element* gradient, Element* wpe,
                            int sequences, int length, int channels) {
  each_index("embed_positions", queue,
             static_cast<std::size_t>(length) * static_cast<std::size_t>(channels),
             embed_positions<Element>{gradient, wpe, channels, length, sequences});
}

template <typename Element>
void add_biases(cudaStream_t queue, const Element* bias, Element* y, std::size_t rows,
                int columns) {
  each_index("add_bias", queue, rows * static_cast<std::size_t>(columns),
             add_bias<Element>{bias, y, columns});
}

template <typename Element>
void apply_gelu(cudaStream_t queue, const Element* in, Element* out, std::size_t count) {
  each_index("gelu_forward", queue, count, gelu_forward<Element>{in, out});
}

template <typename Element>
void apply_gelu_slope(cudaStream_t queue, const Element* in, Element* gradient, std::size_t count) {
  each_index("gelu_backward", queue, count, gelu_backward<Element>{in, gradient});
}

#define ZERO_TRAINER_INSTANTIATE(Element)                                                          \
  template void embed_tokens(cudaStream_t, const std::int32_t*, const Element*, const Element*,    \
                             Element*, int, int, int);                                             \
  template void add_token_gradients(cudaStream_t, const ordered_tokens&, const Element*, Element*, \
                                    float*, int);                                                  \
  template void add_position_gradients(cudaStream_t, const Element*, Element*, int, int, int);     \
  template void add_biases(cudaStream_t, const Element*, Element*, std::size_t, int);              \
  template void apply_gelu(cudaStream_t, const Element*, Element*, std::size_t);                   \
  template void apply_gelu_slope(cudaStream_t, const Element*, Element*, std::size_t);
ZERO_TRAINER_INSTANTIATE(float)
ZERO_TRAINER_INSTANTIATE(bf16_t)
ZERO_TRAINER_INSTANTIATE(fp16_t)
#undef ZERO_TRAINER_INSTANTIATE

}  // namespace zero::trainer::cuda
