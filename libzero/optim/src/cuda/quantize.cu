// Codes in blocks: a warp a block, as quantized_lanes.hpp shares it out.
#include "kernels.hpp"
#include "quantized_lanes.hpp"

#include <algorithm>

namespace zero::optim::kernels {
namespace {

constexpr unsigned threads = 256;
constexpr unsigned warps = threads / detail::lanes_of_block;

// Calls f(block, elements in it, lane) for the blocks of this warp. All lanes of a warp are here
// for the same blocks.
template <typename F>
__device__ void for_own_blocks(std::uint64_t count, const F& f) {
  const std::uint64_t blocks = (count + quantized_block - 1) / quantized_block;
  const unsigned lane = threadIdx.x % detail::lanes_of_block;
  std::uint64_t block = std::uint64_t{blockIdx.x} * warps + threadIdx.x / detail::lanes_of_block;
  for (; block < blocks; block += std::uint64_t{gridDim.x} * warps) {
    const std::uint64_t left = count - block * quantized_block;
    f(block, left < quantized_block ? left : std::uint64_t{quantized_block}, lane);
  }
}

__device__ std::uint32_t largest_of_warp(const detail::lane_values& own) {
  return __reduce_max_sync(0xffffffffU, detail::largest_of_lane(own));
}

template <int Bits, class T>
__global__ void __launch_bounds__(threads)
    quantize_blocks(const T* in, std::uint64_t count, std::byte* out) {
  for_own_blocks(count, [=](std::uint64_t block, std::uint64_t n, unsigned lane) {
    const auto own = detail::load_lane(in + block * quantized_block, n, lane);
    detail::encode_lane<Bits>(own, largest_of_warp(own), lane,
                              out + block * detail::block_bytes(Bits));
  });
}

template <int Bits, bool Add, class T>
__global__ void __launch_bounds__(threads)
    dequantize_blocks(const std::byte* in, int terms, std::uint64_t stride, T* out,
                      std::uint64_t count) {
  for_own_blocks(count, [=](std::uint64_t block, std::uint64_t n, unsigned lane) {
    const auto own =
        detail::sum_lane<Bits>(in + block * detail::block_bytes(Bits), terms, stride, lane);
    detail::store_lane<Add>(own, out + block * quantized_block, n, lane);
  });
}

template <int Bits>
__global__ void __launch_bounds__(threads)
    requantize_blocks(const std::byte* in, int terms, std::uint64_t stride, std::uint64_t count,
                      std::byte* out) {
  for_own_blocks(count, [=](std::uint64_t block, std::uint64_t n, unsigned lane) {
    auto own = detail::sum_lane<Bits>(in + block * detail::block_bytes(Bits), terms, stride, lane);
    for (unsigned j = 0; j < detail::elements_a_lane; ++j) {  // what fills the last block is zero
      if (lane + j * detail::lanes_of_block >= n) own.values[j] = 0.0F;
    }
    detail::encode_lane<Bits>(own, largest_of_warp(own), lane,
                              out + block * detail::block_bytes(Bits));
  });
}

unsigned grid_for(const queue_of& queue, std::uint64_t count) {
  constexpr std::uint64_t of_block = std::uint64_t{warps} * quantized_block;
  return static_cast<unsigned>(
      std::min<std::uint64_t>((count + of_block - 1) / of_block, queue.blocks_at_once * 2));
}

template <int Bits, bool Add>
void launch_dequantize(const queue_of& queue, const std::byte* in, int terms, typed_span out) {
  detail::with_type(out.type, out.data, [&]<class T>(T* to) {
    cuda::launch("dequantize_blocks", dequantize_blocks<Bits, Add, T>, grid_for(queue, out.count),
                 threads, 0, queue.stream, in, terms, quantized_bytes(out.count, Bits), to,
                 out.count);
  });
}

}  // namespace

void quantize(const queue_of& queue, const_typed_span in, int bits, std::byte* out) {
  detail::with_type(in.type, in.data, [&]<class T>(const T* from) {
    cuda::launch("quantize_blocks", bits == 8 ? quantize_blocks<8, T> : quantize_blocks<4, T>,
                 grid_for(queue, in.count), threads, 0, queue.stream, from, in.count, out);
  });
}

void dequantize(const queue_of& queue, const std::byte* in, int terms, int bits, typed_span out,
                store_mode mode) {
  const bool add = mode == store_mode::add;
  if (bits == 8 && add) return launch_dequantize<8, true>(queue, in, terms, out);
  if (bits == 8) return launch_dequantize<8, false>(queue, in, terms, out);
  if (add) return launch_dequantize<4, true>(queue, in, terms, out);
  launch_dequantize<4, false>(queue, in, terms, out);
}

void requantize(const queue_of& queue, const std::byte* in, int terms, std::uint64_t count,
                int bits, std::byte* out) {
  cuda::launch("requantize_blocks", bits == 8 ? requantize_blocks<8> : requantize_blocks<4>,
               grid_for(queue, count), threads, 0, queue.stream, in, terms,
               quantized_bytes(count, bits), count, out);
}

}  // namespace zero::optim::kernels
