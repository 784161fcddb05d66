#pragma once
// attention_tiles_backward: attention by the tensor cores, backward, in two kernels, so that each
// gradient is summed by one thread: a block of tiles_query_backward takes 64 queries and walks over
// keys, one of tiles_key_backward takes 64 keys and walks over queries. Turns is 2 where the next
// tile is on its way while the present one is worked on, 1 where shared memory has no room.

#include "trainer/cuda/attention_tiles.hpp"

namespace zero::trainer::cuda {

// What both have in common. A block's own tile is `own` rows; what it walks over are pairs of
// matrices of tile_keys rows.
template <int Size, int Turns, typename Block, typename Element>
struct tiles_backward {
  using tiles = attention_tiles<Size, Block, Element>;
  using arguments = attention_arguments<Element>;
  using place_type = attention_tile_place<Element>;
  template <typename Value>
  using per_thread = typename Block::template per_thread<Value>;
  static constexpr int own = Block::warps * 16;
  static constexpr std::size_t shared_bytes =
      2 * (own + Turns * tile_keys) * tiles::stride * sizeof(Element) +
      2 * Turns * tile_keys * sizeof(float);

  ZERO_TRAINER_BOTH static int blocks(const arguments& a) { return place_type::count(a, own); }

  struct room {
    Element* shared;
    [[nodiscard]] ZERO_TRAINER_BOTH Element* mine(int which) const {
      return shared + which * own * tiles::stride;
    }
    [[nodiscard]] ZERO_TRAINER_BOTH Element* passing(int turn, int which) const {
      return shared + (2 * own + (turn % Turns * 2 + which) * tile_keys) * tiles::stride;
    }
    // top and inner of the queries that pass.
    [[nodiscard]] ZERO_TRAINER_BOTH float* row(int turn, int which) const {
      return reinterpret_cast<float*>(shared + 2 * (own + Turns * tile_keys) * tiles::stride) +
             (turn % Turns * 2 + which) * tile_keys;
    }
  };

  // Runs work(turn) for `count` tiles; take(turn) fetches the one of that turn.
  template <typename Take, typename Work>
  ZERO_TRAINER_BOTH static void walk(const Block& block, int count, const Take& take,
                                     const Work& work) {
    if (Turns > 1) {
      take(0);
      copies_group();
    }
    for (int turn = 0; turn < count; ++turn) {
      const int next = Turns > 1 ? turn + 1 : turn;
      if (next < count) take(next);
      copies_group();
      copies_done<Turns - 1>();
      block.sync();
      work(turn);
      block.sync();
    }
  }

  ZERO_TRAINER_BOTH static int row_of(int t) { return t / warp_size * 16; }
};

template <int Size, int Turns, typename Block, typename Element>
struct tiles_query_backward : tiles_backward<Size, Turns, Block, Element> {
  using base = tiles_backward<Size, Turns, Block, Element>;
  using tiles = typename base::tiles;
  using arguments = typename base::arguments;
  template <typename Value>
  using per_thread = typename Block::template per_thread<Value>;

  ZERO_TRAINER_BOTH static void body(const Block& block, int index, const arguments& a,
                                     Element* shared) {
    const attention_tile_place<Element> place(a, index, base::own);
    const typename base::room room{shared};
    const auto part = [&](int which) {
      return
          [&a, &place, which](int position) { return a.qkv + place.in_qkv(a, which, position, 0); };
    };
    tiles::take(block, room.mine(0), place.first, base::own, a.length, part(0));
    tiles::take(block, room.mine(1), place.first, base::own, a.length,
                [&](int position) { return a.dout + place.in_out(a, position, 0); });
    per_thread<typename tiles::left> query, dout;
    per_thread<typename tiles::sums> sums;
    per_thread<float> top[2], inner[2];
    tiles::each_own([&](int t) {
      sums[t] = typename tiles::sums{};
      ZERO_TRAINER_UNROLL
      for (int half = 0; half < 2; ++half) {
        const int position = place.first + base::row_of(t) + t % warp_size / 4 + 8 * half;
        const bool there = position < a.length;
        top[half][t] = there ? a.top[place.in_top(a, position)] : 0.0f;
        inner[half][t] = there ? a.inner[place.in_top(a, position)] : 0.0f;
      }
    });
    const int end = place.first + base::own < a.length ? place.first + base::own : a.length;
    base::walk(
        block, (end + tile_keys - 1) / tile_keys,
        [&](int turn) {
          for (int which = 0; which < 2; ++which) {
            tiles::take(block, room.passing(turn, which), turn * tile_keys, tile_keys, a.length,
                        part(1 + which));
          }
        },
        [&](int turn) {
          if (turn == 0) {
            tiles::take_left(query, room.mine(0), base::row_of);
            tiles::take_left(dout, room.mine(1), base::row_of);
          }
          per_thread<typename tiles::scores> p, slope;
          tiles::score(p, query, room.passing(turn, 0));
          tiles::score(slope, dout, room.passing(turn, 1));
          tiles::each_own([&](int t) {
            const int row = place.first + base::row_of(t) + t % warp_size / 4;
            tiles::each_score(t, slope[t], [&](int half, int column, float& value) {
              value -= inner[half][t];
              if (turn * tile_keys + column > row + 8 * half) value = 0.0f;
            });
            multiply_by_probabilities(t, a.scale, p[t], slope[t], top);
          });
          tiles::weigh(sums, slope, room.passing(turn, 0));
        });
    block.each([&](int t) {
      const int first = place.first + base::row_of(t);
      tiles::give(
          t, sums[t], [&](int) { return a.scale; },
          [&](int r) {
            return first + r < a.length ? a.dqkv + place.in_qkv(a, 0, first + r, 0) : nullptr;
          });
    });
  }

  // slope *= exp(scale score - top), where it is not 0 already.
  ZERO_TRAINER_BOTH static void multiply_by_probabilities(int t, float scale,
                                                          typename tiles::scores& score,
                                                          typename tiles::scores& slope,
                                                          const per_thread<float> (&top)[2]) {
    ZERO_TRAINER_UNROLL
    for (int n = 0; n < tile_keys / 8; ++n) {
      ZERO_TRAINER_UNROLL
      for (int i = 0; i < 4; ++i) {
        float& value = slope.tiles[n].values[i];
        const float p = exponential(fused(score.tiles[n].values[i], scale, -top[i / 2][t]));
        value = value == 0.0f ? 0.0f : value * p;
      }
    }
  }
};

template <int Size, int Turns, typename Block, typename Element>
struct tiles_key_backward : tiles_backward<Size, Turns, Block, Element> {
  using base = tiles_backward<Size, Turns, Block, Element>;
  using tiles = typename base::tiles;
  using arguments = typename base::arguments;
  template <typename Value>
  using per_thread = typename Block::template per_thread<Value>;

  // Scores are keys by queries here. p = exp(scale score - top), slope = p (slope - inner).
  ZERO_TRAINER_BOTH static void soften(const arguments& a, int t, int first_key, int first_query,
                                       const float* top, const float* inner,
                                       typename tiles::scores& p, typename tiles::scores& slope) {
    const int key = first_key + t % warp_size / 4;
    ZERO_TRAINER_UNROLL
    for (int n = 0; n < tile_keys / 8; ++n) {
      ZERO_TRAINER_UNROLL
      for (int i = 0; i < 4; ++i) {
        const int column = n * 8 + t % 4 * 2 + i % 2;
        const int query = first_query + column;
        const bool seen = key + i / 2 * 8 <= query && query < a.length;
        float& value = p.tiles[n].values[i];
        value = seen ? exponential(fused(value, a.scale, -top[column])) : 0.0f;
        slope.tiles[n].values[i] = seen ? value * (slope.tiles[n].values[i] - inner[column]) : 0.0f;
      }
    }
  }

  ZERO_TRAINER_BOTH static void body(const Block& block, int index, const arguments& a,
                                     Element* shared) {
    const attention_tile_place<Element> place(a, index, base::own);
    const typename base::room room{shared};
    const auto part = [&](int which) {
      return
          [&a, &place, which](int position) { return a.qkv + place.in_qkv(a, which, position, 0); };
    };
    const auto dout = [&](int position) { return a.dout + place.in_out(a, position, 0); };
    for (int which = 0; which < 2; ++which) {
      tiles::take(block, room.mine(which), place.first, base::own, a.length, part(1 + which));
    }
    per_thread<typename tiles::left> key, value;
    per_thread<typename tiles::sums> dkey, dvalue;
    tiles::each_own([&](int t) {
      dkey[t] = typename tiles::sums{};
      dvalue[t] = typename tiles::sums{};
    });
    // Queries before the first key see none of them.
    const int first = place.first / tile_keys * tile_keys;
    base::walk(
        block, (a.length - first + tile_keys - 1) / tile_keys,
        [&](int turn) {
          const int at = first + turn * tile_keys;
          tiles::take(block, room.passing(turn, 0), at, tile_keys, a.length, part(0));
          tiles::take(block, room.passing(turn, 1), at, tile_keys, a.length, dout);
          block.each([&](int t) {
            for (int i = t; i < 2 * tile_keys; i += Block::threads) {
              const int position = at + i % tile_keys;
              const float* from = i < tile_keys ? a.top : a.inner;
              room.row(turn, i / tile_keys)[i % tile_keys] =
                  position < a.length ? from[place.in_top(a, position)] : 0.0f;
            }
          });
        },
        [&](int turn) {
          if (turn == 0) {
            tiles::take_left(key, room.mine(0), base::row_of);
            tiles::take_left(value, room.mine(1), base::row_of);
          }
          per_thread<typename tiles::scores> p, slope;
          tiles::score(p, key, room.passing(turn, 0));
          tiles::score(slope, value, room.passing(turn, 1));
          tiles::each_own([&](int t) {
            soften(a, t, place.first + base::row_of(t), first + turn * tile_keys, room.row(turn, 0),
                   room.row(turn, 1), p[t], slope[t]);
          });
          tiles::weigh(dvalue, p, room.passing(turn, 1));
          tiles::weigh(dkey, slope, room.passing(turn, 0));
        });
    block.each([&](int t) {
      const int row = place.first + base::row_of(t);
      const auto address = [&](int which) {
        return [&a, &place, row, which](int r) {
          return row + r < a.length ? a.dqkv + place.in_qkv(a, which, row + r, 0) : nullptr;
        };
      };
      tiles::give(
          t, dkey[t], [&](int) { return a.scale; }, address(1));
      tiles::give(
          t, dvalue[t], [](int) { return 1.0f; }, address(2));
    });
  }
};

}  // namespace zero::trainer::cuda
