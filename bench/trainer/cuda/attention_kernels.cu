// Attention: which kernels a head size and an element take, and their launches.

#include "trainer/cuda/attention_plain.hpp"
#include "trainer/cuda/attention_tiles_backward.hpp"
#include "trainer/cuda/attention_tiles_forward.hpp"
#include "trainer/cuda/kernels.hpp"
#include "trainer/cuda/launch.cuh"

#include <type_traits>

namespace zero::trainer::cuda {
namespace {

using zero::cuda::checked;
using zero::cuda::launch;
using plain_block = thread_block<256>;
using tile_block = thread_block<128>;

template <typename Element>
__global__ void __launch_bounds__(256)
    plain_forward_kernel(attention_arguments<Element> a, int tile) {
  plain_forward_body(plain_block{}, static_cast<int>(blockIdx.x), a, tile,
                     static_cast<float*>(shared_memory()));
}

template <typename Element>
__global__ void __launch_bounds__(256)
    plain_query_backward_kernel(attention_arguments<Element> a, int tile) {
  plain_query_backward_body(plain_block{}, static_cast<int>(blockIdx.x), a, tile,
                            static_cast<float*>(shared_memory()));
}

template <typename Element>
__global__ void __launch_bounds__(256)
    plain_key_backward_kernel(attention_arguments<Element> a, int tile) {
  plain_key_backward_body(plain_block{}, static_cast<int>(blockIdx.x), a, tile,
                          static_cast<float*>(shared_memory()));
}

template <typename Body, typename Element>
__global__ void __launch_bounds__(128) tiles_kernel(attention_arguments<Element> a) {
  Body::body(tile_block{}, static_cast<int>(blockIdx.x), a, static_cast<Element*>(shared_memory()));
}

// The bodies for a head size: as much at once as registers and shared memory hold.
template <int Size, typename Element>
struct bodies {
  static constexpr int rows = Size == 64 ? 2 : 1;
  static constexpr int turns = Size == 64 ? 2 : 1;
  using forward = tiles_forward<Size, rows, tile_block, Element>;
  using query = tiles_query_backward<Size, turns, tile_block, Element>;
  using key = tiles_key_backward<Size, turns, tile_block, Element>;
};

void allow_shared(const void* kernel, std::size_t bytes) {
  checked(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(bytes)),
          "cudaFuncSetAttribute");
}

template <int Size, typename Element>
void prepare_tiles() {
  using b = bodies<Size, Element>;
  allow_shared(reinterpret_cast<const void*>(tiles_kernel<typename b::forward, Element>),
               b::forward::shared_bytes);
  allow_shared(reinterpret_cast<const void*>(tiles_kernel<typename b::query, Element>),
               b::query::shared_bytes);
  allow_shared(reinterpret_cast<const void*>(tiles_kernel<typename b::key, Element>),
               b::key::shared_bytes);
}

template <typename Body, typename Element>
void launch_tiles(const char* name, cudaStream_t queue, const attention_arguments<Element>& a) {
  launch(name, tiles_kernel<Body, Element>, static_cast<unsigned>(Body::blocks(a)),
         tile_block::threads, Body::shared_bytes, queue, a);
}

template <int Size, typename Element>
void tiles_backward_of(cudaStream_t queue, const attention_arguments<Element>& a) {
  using b = bodies<Size, Element>;
  launch_tiles<typename b::query>("tiles_query_backward", queue, a);
  launch_tiles<typename b::key>("tiles_key_backward", queue, a);
}

template <typename Element, typename Kernel>
void launch_plain(const char* name, Kernel* kernel, cudaStream_t queue,
                  const attention_arguments<Element>& a) {
  const int tile = plain_tile(a.head_size);
  launch(name, kernel, static_cast<unsigned>(attention_tile_place<Element>::count(a, tile)),
         plain_block::threads, plain_shared_floats(tile, a.head_size) * sizeof(float), queue, a,
         tile);
}

template <typename Element>
void make_inner(cudaStream_t queue, const attention_arguments<Element>& a) {
  const auto count = static_cast<std::size_t>(a.sequences) * static_cast<std::size_t>(a.heads) *
                     static_cast<std::size_t>(a.length);
  constexpr int width = full_width<Element>;
  if (a.head_size % width == 0) {
    each_index("attention_inner", queue, count, attention_inner<Element, width>{a});
  } else {
    each_index("attention_inner", queue, count, attention_inner<Element, 1>{a});
  }
}

}  // namespace

template <typename Element>
attention_kind attention_kind_of(int head_size) noexcept {
  if (!std::is_same_v<Element, float> && head_size == 64) return attention_kind::tiles_64;
  if (!std::is_same_v<Element, float> && head_size == 128) return attention_kind::tiles_128;
  return plain_tile(head_size) > 0 ? attention_kind::plain : attention_kind::none;
}

template <typename Element>
void prepare_attention(int head_size) {
  if constexpr (!std::is_same_v<Element, float>) {
    if (head_size == 64) return prepare_tiles<64, Element>();
    if (head_size == 128) return prepare_tiles<128, Element>();
  }
  const std::size_t bytes = plain_shared_floats(plain_tile(head_size), head_size) * sizeof(float);
  allow_shared(reinterpret_cast<const void*>(plain_forward_kernel<Element>), bytes);
  allow_shared(reinterpret_cast<const void*>(plain_query_backward_kernel<Element>), bytes);
  allow_shared(reinterpret_cast<const void*>(plain_key_backward_kernel<Element>), bytes);
}

template <typename Element>
void attention_forward(cudaStream_t queue, const attention_arguments<Element>& a) {
  if (a.sequences == 0) return;
  if constexpr (!std::is_same_v<Element, float>) {
    if (a.head_size == 64) {
      return launch_tiles<typename bodies<64, Element>::forward>("tiles_forward", queue, a);
    }
    if (a.head_size == 128) {
      return launch_tiles<typename bodies<128, Element>::forward>("tiles_forward", queue, a);
    }
  }
  launch_plain("plain_forward", plain_forward_kernel<Element>, queue, a);
}

template <typename Element>
void attention_backward(cudaStream_t queue, const attention_arguments<Element>& a) {
  if (a.sequences == 0) return;
  make_inner(queue, a);
  if constexpr (!std::is_same_v<Element, float>) {
    if (a.head_size == 64) return tiles_backward_of<64>(queue, a);
    if (a.head_size == 128) return tiles_backward_of<128>(queue, a);
  }
  launch_plain("plain_query_backward", plain_query_backward_kernel<Element>, queue, a);
  launch_plain("plain_key_backward", plain_key_backward_kernel<Element>, queue, a);
}

#define ZERO_TRAINER_INSTANTIATE(Element)                                             \
  template attention_kind attention_kind_of<Element>(int) noexcept;                   \
  template void prepare_attention<Element>(int);                                      \
  template void attention_forward(cudaStream_t, const attention_arguments<Element>&); \
  template void attention_backward(cudaStream_t, const attention_arguments<Element>&);
ZERO_TRAINER_INSTANTIATE(float)
ZERO_TRAINER_INSTANTIATE(bf16_t)
ZERO_TRAINER_INSTANTIATE(fp16_t)
#undef ZERO_TRAINER_INSTANTIATE

}  // namespace zero::trainer::cuda
