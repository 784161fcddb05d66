#pragma once
// warp_matrix: products of small matrices by the tensor cores, a warp at a time: mma.m16n8k16 and
// ldmatrix of PTX (sm_80 on), and the same on the host, from the layouts that the PTX manual gives
// ("Matrix Fragments for mma.m16n8k16"). In 16-bit elements, summed in fp32.
//
// Fragments, lane = 4 g + q: of A[16, 16] registers 0 to 3 hold columns 2q, 2q + 1 of rows g and
// g + 8, then columns 2q + 8, 2q + 9 of the same; of B[16, 8] registers 0 and 1 hold rows 2q, 2q +
// 1 and 2q + 8, 2q + 9 of column g; of C[16, 8] values 0, 1 are columns 2q, 2q + 1 of row g, 2, 3
// of row g + 8.

#include "trainer/cuda/element.hpp"
#include "trainer/cuda/thread_block.hpp"

#include <type_traits>

#if defined(__CUDA_ARCH__)
#include <cuda_pipeline.h>
#endif

namespace zero::trainer::cuda {

struct fragment_a {
  std::uint32_t pairs[4];
};
struct fragment_b {
  std::uint32_t pairs[2];
};
struct fragment_c {
  float values[4];
};

// Element `half` (0: lower) of a pair.
template <typename Element>
ZERO_TRAINER_BOTH float half_of(std::uint32_t pair, int half) {
  Element element;
  element.bits = static_cast<std::uint16_t>(pair >> (16 * half));
  return widened(element);
}

// Row of A or C of register pair i, and column of its first element.
ZERO_TRAINER_BOTH int row_of_pair(int lane, int i) { return lane / 4 + i % 2 * 8; }
ZERO_TRAINER_BOTH int column_of_pair(int lane, int i) { return lane % 4 * 2 + i / 2 * 8; }

#if defined(__CUDA_ARCH__)

// c += a b.
template <typename Element>
__device__ __forceinline__ void multiply(fragment_c& c, const fragment_a& a, const fragment_b& b) {
  float* d = c.values;
  if constexpr (std::is_same_v<Element, bf16_t>) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
        "{%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a.pairs[0]), "r"(a.pairs[1]), "r"(a.pairs[2]), "r"(a.pairs[3]), "r"(b.pairs[0]),
          "r"(b.pairs[1]));
  } else {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
        "{%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a.pairs[0]), "r"(a.pairs[1]), "r"(a.pairs[2]), "r"(a.pairs[3]), "r"(b.pairs[0]),
          "r"(b.pairs[1]));
  }
}

// Four matrices of 8 by 8 elements; lane l gives the address of row l % 8 of matrix l / 8.
__device__ __forceinline__ void load_matrices(std::uint32_t (&out)[4], const void* row) {
  const auto at = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(at));
}
__device__ __forceinline__ void load_transposed(std::uint32_t (&out)[4], const void* row) {
  const auto at = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(at));
}

#endif

// What all warps of a block do with fragments. Element is bf16_t or fp16_t.
template <typename Block, typename Element>
struct warp_matrix {
  template <typename Value>
  using per_thread = typename Block::template per_thread<Value>;
  using quads = per_thread<std::uint32_t[4]>;

  // row(t): where thread t's row of its matrix lies in shared memory.
  template <typename Row>
  ZERO_TRAINER_BOTH static void load4(quads& out, const Row& row) {
#if defined(__CUDA_ARCH__)
    load_matrices(out.value, row(static_cast<int>(threadIdx.x)));
#else
    for (int t = 0; t < Block::threads; ++t) {
      const int base = t / warp_size * warp_size, lane = t % warp_size;
      for (int i = 0; i < 4; ++i) {
        const Element* from = row(base + i * 8 + lane / 4) + lane % 4 * 2;
        out[t][i] = from[0].bits | static_cast<std::uint32_t>(from[1].bits) << 16;
      }
    }
#endif
  }

  template <typename Row>
  ZERO_TRAINER_BOTH static void load4_transposed(quads& out, const Row& row) {
#if defined(__CUDA_ARCH__)
    load_transposed(out.value, row(static_cast<int>(threadIdx.x)));
#else
    for (int t = 0; t < Block::threads; ++t) {
      const int base = t / warp_size * warp_size, lane = t % warp_size;
      for (int i = 0; i < 4; ++i) {
        const int first = base + i * 8 + lane % 4 * 2;
        out[t][i] = row(first)[lane / 4].bits |
                    static_cast<std::uint32_t>(row(first + 1)[lane / 4].bits) << 16;
      }
    }
#endif
  }

  // c(t) += a(t) b(t) in every warp.
  template <typename C, typename A, typename B>
  ZERO_TRAINER_BOTH static void multiply_add(const C& c, const A& a, const B& b) {
#if defined(__CUDA_ARCH__)
    const int t = static_cast<int>(threadIdx.x);
    multiply<Element>(c(t), a(t), b(t));
#else
    for (int base = 0; base < Block::threads; base += warp_size) {
      float left[16][16], right[16][8];
      for (int lane = 0; lane < warp_size; ++lane) {
        const fragment_a& x = a(base + lane);
        for (int i = 0; i < 8; ++i) {
          left[row_of_pair(lane, i / 2)][column_of_pair(lane, i / 2) + i % 2] =
              half_of<Element>(x.pairs[i / 2], i % 2);
        }
        const fragment_b y = b(base + lane);
        for (int i = 0; i < 4; ++i) {
          right[lane % 4 * 2 + i / 2 * 8 + i % 2][lane / 4] =
              half_of<Element>(y.pairs[i / 2], i % 2);
        }
      }
      for (int lane = 0; lane < warp_size; ++lane) {
        fragment_c& z = c(base + lane);
        for (int i = 0; i < 4; ++i) {
          const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
          for (int k = 0; k < 16; ++k) z.values[i] += left[row][k] * right[k][column];
        }
      }
    }
#endif
  }
};

// 16 bytes from global to shared memory, done once copies_done() has let the thread through; or
// zeros.
ZERO_TRAINER_BOTH void copy16(void* shared, const void* from, bool there) {
#if defined(__CUDA_ARCH__)
  __pipeline_memcpy_async(shared, from, 16, there ? 0 : 16);
#else
  for (int i = 0; i < 16; ++i) {
    static_cast<std::uint8_t*>(shared)[i] =
        there ? static_cast<const std::uint8_t*>(from)[i] : std::uint8_t{0};
  }
#endif
}

// Closes what the thread has copied since the last call into one group.
ZERO_TRAINER_BOTH void copies_group() {
#if defined(__CUDA_ARCH__)
  __pipeline_commit();
#endif
}

// Blocks until all but the last Left groups of the thread are there.
template <int Left>
ZERO_TRAINER_BOTH void copies_done() {
#if defined(__CUDA_ARCH__)
  __pipeline_wait_prior(Left);
#endif
}

}  // namespace zero::trainer::cuda
