#pragma once
// attention_tiles: what the tensor-core kernels of attention share: tiles of positions in shared
// memory, and products of them by warps, each 16 rows at a time.
//
// Size is the head size, a multiple of 16; rows of a tile lie Size + 8 elements apart, so that the
// eight rows ldmatrix takes at once lie in different banks. Rows past the end of a sequence are 0.

#include "trainer/cuda/attention_shape.hpp"
#include "trainer/cuda/warp_matrix.hpp"

namespace zero::trainer::cuda {

inline constexpr int tile_keys = 64;  // columns of a product of scores

template <int Size, typename Block, typename Element>
struct attention_tiles {
  static constexpr int stride = Size + 8;
  static constexpr int steps = Size / 16;  // of a product over the head
  using matrix = warp_matrix<Block, Element>;
  template <typename Value>
  using per_thread = typename Block::template per_thread<Value>;
  using quads = typename matrix::quads;

  // The left side of a product: 16 rows of a warp, all of the head.
  struct left {
    fragment_a steps[Size / 16];
  };
  // Scores of 16 rows against a tile.
  struct scores {
    fragment_c tiles[tile_keys / 8];
  };
  // The sum over a tile for 16 rows, all of the head.
  struct sums {
    fragment_c tiles[Size / 8];
  };

  // Copies rows [first, first + count) of a matrix; address(position) is where a row begins.
  template <typename Address>
  ZERO_TRAINER_BOTH static void take(const Block& block, Element* to, int first, int count,
                                     int length, const Address& address) {
    block.each([&](int t) {
      for (int i = t; i < count * (Size / 8); i += Block::threads) {
        const int row = i / (Size / 8), column = i % (Size / 8) * 8;
        const bool there = first + row < length;
        copy16(to + row * stride + column, address(there ? first + row : first) + column, there);
      }
    });
  }

  // Rows [row(t), row(t) + 16) of each warp.
  template <typename Row>
  ZERO_TRAINER_BOTH static void take_left(per_thread<left>& out, const Element* from,
                                          const Row& row) {
    ZERO_TRAINER_UNROLL
    for (int k = 0; k < steps; ++k) {
      quads loaded;
      matrix::load4(loaded, [&](int t) {
        const int lane = t % warp_size;
        return from + (row(t) + lane % 16) * stride + k * 16 + lane / 16 * 8;
      });
      each_own([&](int t) {
        ZERO_TRAINER_UNROLL
        for (int i = 0; i < 4; ++i) out[t].steps[k].pairs[i] = loaded[t][i];
      });
    }
  }

  // scores = left right^T, right[tile_keys, Size].
  ZERO_TRAINER_BOTH static void score(per_thread<scores>& out, const per_thread<left>& a,
                                      const Element* right) {
    each_own([&](int t) { out[t] = scores{}; });
    ZERO_TRAINER_UNROLL
    for (int k = 0; k < steps; ++k) {
      ZERO_TRAINER_UNROLL
      for (int n = 0; n < tile_keys / 16; ++n) {
        quads b;
        matrix::load4(b, [&](int t) {
          const int lane = t % warp_size;
          return right + (n * 16 + lane % 8 + lane / 16 * 8) * stride + k * 16 + lane / 8 % 2 * 8;
        });
        ZERO_TRAINER_UNROLL
        for (int half = 0; half < 2; ++half) {
          matrix::multiply_add([&](int t) -> fragment_c& { return out[t].tiles[2 * n + half]; },
                               [&](int t) -> const fragment_a& { return a[t].steps[k]; },
                               [&](int t) {
                                 return fragment_b{{b[t][2 * half], b[t][2 * half + 1]}};
                               });
        }
      }
    }
  }

  // sums += weights right, right[tile_keys, Size]; weights are rounded to Element.
  ZERO_TRAINER_BOTH static void weigh(per_thread<sums>& out, const per_thread<scores>& weights,
                                      const Element* right) {
    ZERO_TRAINER_UNROLL
    for (int k = 0; k < tile_keys / 16; ++k) {
      per_thread<fragment_a> a;
      each_own([&](int t) { a[t] = narrowed(weights[t], k); });
      ZERO_TRAINER_UNROLL
      for (int n = 0; n < Size / 16; ++n) {
        quads b;
        matrix::load4_transposed(b, [&](int t) {
          const int lane = t % warp_size;
          return right + (k * 16 + lane % 16) * stride + n * 16 + lane / 16 * 8;
        });
        ZERO_TRAINER_UNROLL
        for (int half = 0; half < 2; ++half) {
          matrix::multiply_add([&](int t) -> fragment_c& { return out[t].tiles[2 * n + half]; },
                               [&](int t) -> const fragment_a& { return a[t]; },
                               [&](int t) {
                                 return fragment_b{{b[t][2 * half], b[t][2 * half + 1]}};
                               });
        }
      }
    }
  }

  // Two tiles of scores as the left side of a product: C's layout is that of half of A.
  ZERO_TRAINER_BOTH static fragment_a narrowed(const scores& s, int k) {
    const float* low = s.tiles[2 * k].values;
    const float* high = s.tiles[2 * k + 1].values;
    return {{packed<Element>(low[0], low[1]), packed<Element>(low[2], low[3]),
             packed<Element>(high[0], high[1]), packed<Element>(high[2], high[3])}};
  }

  // visit(t, row, column, value): row of the warp's 16, column of the tile.
  template <typename Visit>
  ZERO_TRAINER_BOTH static void each_score(int t, scores& s, const Visit& visit) {
    ZERO_TRAINER_UNROLL
    for (int n = 0; n < tile_keys / 8; ++n) {
      ZERO_TRAINER_UNROLL
      for (int i = 0; i < 4; ++i) {
        visit(i / 2, n * 8 + t % 4 * 2 + i % 2, s.tiles[n].values[i]);
      }
    }
  }

  // Stores factor(0 or 1: rows g or g + 8) times the sums of the warp's rows; address(row) is
  // where row g or g + 8 begins, null where it is not to be written.
  template <typename Factor, typename Address>
  ZERO_TRAINER_BOTH static void give(int t, const sums& s, const Factor& factor,
                                     const Address& address) {
    ZERO_TRAINER_UNROLL
    for (int half = 0; half < 2; ++half) {
      Element* to = address(t % warp_size / 4 + half * 8);
      if (to == nullptr) continue;
      const float by = factor(half);
      ZERO_TRAINER_UNROLL
      for (int n = 0; n < Size / 8; ++n) {
        const float* values = s.tiles[n].values + 2 * half;
        *reinterpret_cast<std::uint32_t*>(to + n * 8 + t % 4 * 2) =
            packed<Element>(values[0] * by, values[1] * by);
      }
    }
  }

  // Of registers alone: needs no block.
  template <typename Phase>
  ZERO_TRAINER_BOTH static void each_own(const Phase& phase) {
#if defined(__CUDA_ARCH__)
    phase(static_cast<int>(threadIdx.x));
#else
    for (int t = 0; t < Block::threads; ++t) phase(t);
#endif
  }
};

}  // namespace zero::trainer::cuda
