#pragma once
// attention_tiles_forward: attention by the tensor cores, forward. A block takes a tile of queries,
// Rows times 16 of each warp, and walks over tiles of keys, the next one on its way while the
// present one is worked on. Softmax is made in registers, moved along as greater scores come.

#include "trainer/cuda/attention_tiles.hpp"

namespace zero::trainer::cuda {

template <int Size, int Rows, typename Block, typename Element>
struct tiles_forward {
  using tiles = attention_tiles<Size, Block, Element>;
  using arguments = attention_arguments<Element>;
  template <typename Value>
  using per_thread = typename Block::template per_thread<Value>;

  static constexpr int queries = Block::warps * 16 * Rows;  // of a block
  static constexpr std::size_t shared_bytes =
      (queries + 4 * tile_keys) * tiles::stride * sizeof(Element);

  // Of 16 queries of a warp; [2]: rows g and g + 8.
  struct rows {
    float top[2];
    float sum[2];  // of the columns this thread has seen
  };

  ZERO_TRAINER_BOTH static int blocks(const arguments& a) {
    return attention_tile_place<Element>::count(a, queries);
  }

  // First row of the tile that group m of thread t's warp works on.
  ZERO_TRAINER_BOTH static int row_of(int t, int m) { return (t / warp_size * Rows + m) * 16; }

  // Masks and scales the scores, turns them into exponentials, and moves what was summed so far.
  ZERO_TRAINER_BOTH static void soften(const Block& block, const arguments& a, int first_query,
                                       int first_key, int m, per_thread<typename tiles::scores>& s,
                                       per_thread<rows>& r, per_thread<typename tiles::sums>& out) {
    per_thread<float> highest[2];
    tiles::each_own([&](int t) {
      const int query = first_query + row_of(t, m) + t % warp_size / 4;
      highest[0][t] = r[t].top[0];
      highest[1][t] = r[t].top[1];
      tiles::each_score(t, s[t], [&](int half, int column, float& value) {
        value = first_key + column <= query + 8 * half ? value * a.scale : -INFINITY;
        highest[half][t] = fmaxf(highest[half][t], value);
      });
    });
    const auto larger = [](float x, float y) { return fmaxf(x, y); };
    block.template combine<4>(highest[0], larger);
    block.template combine<4>(highest[1], larger);
    tiles::each_own([&](int t) {
      ZERO_TRAINER_UNROLL
      for (int half = 0; half < 2; ++half) {
        const float moved = exponential(r[t].top[half] - highest[half][t]);
        r[t].top[half] = highest[half][t];
        r[t].sum[half] *= moved;
        ZERO_TRAINER_UNROLL
        for (int n = 0; n < Size / 8; ++n) {
          out[t].tiles[n].values[2 * half] *= moved;
          out[t].tiles[n].values[2 * half + 1] *= moved;
        }
      }
      tiles::each_score(t, s[t], [&](int half, int, float& value) {
        value = exponential(value - r[t].top[half]);
        r[t].sum[half] += value;
      });
    });
  }

  ZERO_TRAINER_BOTH static void body(const Block& block, int index, const arguments& a,
                                     Element* shared) {
    const attention_tile_place<Element> place(a, index, queries);
    Element* const query = shared;
    // Key and value of both turns.
    const auto right = [shared](int turn, int part) {
      return shared + (queries + (turn * 2 + part) * tile_keys) * tiles::stride;
    };
    const auto part = [&](int which) {
      return
          [&a, &place, which](int position) { return a.qkv + place.in_qkv(a, which, position, 0); };
    };
    const auto take_keys = [&](int tile) {
      for (int which = 0; which < 2; ++which) {
        tiles::take(block, right(tile % 2, which), tile * tile_keys, tile_keys, a.length,
                    part(1 + which));
      }
      copies_group();
    };
    const int end = place.first + queries < a.length ? place.first + queries : a.length;
    const int count = (end + tile_keys - 1) / tile_keys;
    tiles::take(block, query, place.first, queries, a.length, part(0));
    take_keys(0);

    per_thread<typename tiles::left> left[Rows];
    per_thread<typename tiles::sums> out[Rows];
    per_thread<rows> row[Rows];
    tiles::each_own([&](int t) {
      ZERO_TRAINER_UNROLL
      for (int m = 0; m < Rows; ++m) {
        out[m][t] = typename tiles::sums{};
        row[m][t] = rows{{-INFINITY, -INFINITY}, {0.0f, 0.0f}};
      }
    });
    for (int tile = 0; tile < count; ++tile) {
      if (tile + 1 < count) {
        take_keys(tile + 1);
        copies_done<1>();
      } else {
        copies_done<0>();
      }
      block.sync();
      ZERO_TRAINER_UNROLL
      for (int m = 0; m < Rows; ++m) {
        if (tile == 0) tiles::take_left(left[m], query, [m](int t) { return row_of(t, m); });
        per_thread<typename tiles::scores> scores;
        tiles::score(scores, left[m], right(tile % 2, 0));
        soften(block, a, place.first, tile * tile_keys, m, scores, row[m], out[m]);
        tiles::weigh(out[m], scores, right(tile % 2, 1));
      }
      block.sync();
    }
    finish(block, a, place, row, out);
  }

  ZERO_TRAINER_BOTH static void finish(const Block& block, const arguments& a,
                                       const attention_tile_place<Element>& place,
                                       per_thread<rows> (&row)[Rows],
                                       per_thread<typename tiles::sums> (&out)[Rows]) {
    ZERO_TRAINER_UNROLL
    for (int m = 0; m < Rows; ++m) {
      per_thread<float> sum[2];
      ZERO_TRAINER_UNROLL
      for (int half = 0; half < 2; ++half) {
        tiles::each_own([&](int t) { sum[half][t] = row[m][t].sum[half]; });
        block.template sum<4>(sum[half]);
      }
      block.each([&](int t) {
        const int first = place.first + row_of(t, m);
        tiles::give(
            t, out[m][t], [&](int half) { return 1.0f / sum[half][t]; },
            [&](int r) {
              return first + r < a.length ? a.out + place.in_out(a, first + r, 0) : nullptr;
            });
        if (t % 4 != 0) return;
        ZERO_TRAINER_UNROLL
        for (int half = 0; half < 2; ++half) {
          const int position = first + t % warp_size / 4 + 8 * half;
          if (position >= a.length) continue;
          a.top[place.in_top(a, position)] = row[m][t].top[half] + logf(sum[half][t]);
        }
      });
    }
  }
};

}  // namespace zero::trainer::cuda
