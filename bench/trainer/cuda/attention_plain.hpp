#pragma once
// attention_plain: attention for any head size and element in fp32 arithmetic, tile by tile in
// shared memory. Bodies of kernels; a block takes a tile of queries, or in one of the backwards a
// tile of keys. Tiles are square and as large as shared memory allows.

#include "trainer/cuda/attention_shape.hpp"
#include "trainer/cuda/thread_block.hpp"

namespace zero::trainer::cuda {

inline constexpr int largest_plain_tile = 32;
inline constexpr std::size_t plain_shared_limit = 96 * 1024;  // bytes every GPU from sm_80 has

// Floats of shared memory: six matrices of [tile, head_size], two of [tile, tile], three vectors.
[[nodiscard]] ZERO_TRAINER_BOTH std::size_t plain_shared_floats(int tile, int head_size) {
  const auto t = static_cast<std::size_t>(tile);
  return t * (6 * (static_cast<std::size_t>(head_size) + 1) + 2 * (t + 1) + 3);
}

// 0 where the head is too large for any.
[[nodiscard]] inline int plain_tile(int head_size) {
  int tile = largest_plain_tile;
  while (tile > 0 && plain_shared_floats(tile, head_size) * sizeof(float) > plain_shared_limit) {
    tile /= 2;
  }
  return tile;
}

// What a block keeps in shared memory.
struct plain_room {
  ZERO_TRAINER_BOTH plain_room(float* shared, int tile, int head_size)
      : stride(head_size + 1), score_stride(tile + 1) {
    float* next = shared;
    for (float*& matrix : rows) {
      matrix = next;
      next += tile * stride;
    }
    for (float*& matrix : scores) {
      matrix = next;
      next += tile * score_stride;
    }
    for (float*& vector : vectors) {
      vector = next;
      next += tile;
    }
  }
  int stride;
  int score_stride;
  float* rows[6];
  float* scores[2];
  float* vectors[3];
};

// The part of a body that all three have: loops over what a tile is made of.
template <typename Block, typename Element>
struct plain_tiles {
  const Block& block;
  const attention_arguments<Element>& a;
  const plain_room& room;
  int tile;

  // visit(i, d) for all of [tile, head_size], [tile, tile].
  template <typename Visit>
  ZERO_TRAINER_BOTH void each(int columns, const Visit& visit) const {
    block.each([&](int t) {
      for (int i = t; i < tile * columns; i += Block::threads) visit(i / columns, i % columns);
    });
  }
  // Positions past the end are 0.
  template <typename Place>
  ZERO_TRAINER_BOTH void take(const Element* from, int first, float* to, const Place& place) const {
    each(a.head_size, [&](int i, int d) {
      to[i * room.stride + d] = first + i < a.length ? widened(from[place(first + i, d)]) : 0.0f;
    });
  }
  ZERO_TRAINER_BOTH float dot(const float* x, int i, const float* y, int j) const {
    float sum = 0.0f;
    for (int d = 0; d < a.head_size; ++d) {
      sum = fused(x[i * room.stride + d], y[j * room.stride + d], sum);
    }
    return sum;
  }
  // sum over j of weight(j) x[j, d].
  template <typename Weight>
  ZERO_TRAINER_BOTH float weigh(const Weight& weight, const float* x, int d) const {
    float sum = 0.0f;
    for (int j = 0; j < tile; ++j) sum = fused(weight(j), x[j * room.stride + d], sum);
    return sum;
  }
};

template <typename Block, typename Element>
ZERO_TRAINER_BOTH void plain_forward_body(const Block& block, int index,
                                          const attention_arguments<Element>& a, int tile,
                                          float* shared) {
  const plain_room room(shared, tile, a.head_size);
  const plain_tiles<Block, Element> tiles{block, a, room, tile};
  const attention_tile_place<Element> place(a, index, tile);
  const auto part = [&](int which) {
    return [&a, &place, which](int position, int d) { return place.in_qkv(a, which, position, d); };
  };
  float* const query = room.rows[0];
  float* const key = room.rows[1];
  float* const value = room.rows[2];
  float* const out = room.rows[3];
  float* const score = room.scores[0];
  float* const top = room.vectors[0];
  float* const sum = room.vectors[1];
  float* const moved = room.vectors[2];
  tiles.take(a.qkv, place.first, query, part(0));
  tiles.each(a.head_size, [&](int i, int d) { out[i * room.stride + d] = 0.0f; });
  tiles.each(1, [&](int i, int) {
    top[i] = -INFINITY;
    sum[i] = 0.0f;
  });
  for (int first = 0; first <= place.first; first += tile) {
    block.sync();
    tiles.take(a.qkv, first, key, part(1));
    tiles.take(a.qkv, first, value, part(2));
    block.sync();
    tiles.each(tile, [&](int i, int j) {
      const bool seen = first + j <= place.first + i;
      score[i * room.score_stride + j] = seen ? a.scale * tiles.dot(query, i, key, j) : -INFINITY;
    });
    block.sync();
    tiles.each(1, [&](int i, int) {
      float* const row = score + i * room.score_stride;
      float highest = top[i];
      for (int j = 0; j < tile; ++j) highest = fmaxf(highest, row[j]);
      moved[i] = exponential(top[i] - highest);
      float total = sum[i] * moved[i];
      for (int j = 0; j < tile; ++j) {
        row[j] = exponential(row[j] - highest);
        total += row[j];
      }
      top[i] = highest;
      sum[i] = total;
    });
    block.sync();
    tiles.each(a.head_size, [&](int i, int d) {
      float& o = out[i * room.stride + d];
      o = fused(o, moved[i],
                tiles.weigh([&](int j) { return score[i * room.score_stride + j]; }, value, d));
    });
  }
  block.sync();
  tiles.each(a.head_size, [&](int i, int d) {
    const int position = place.first + i;
    if (position >= a.length) return;
    narrow(out[i * room.stride + d] / sum[i], a.out[place.in_out(a, position, d)]);
    if (d == 0) a.top[place.in_top(a, position)] = top[i] + logf(sum[i]);
  });
}

// Of a tile of queries and a tile of keys: scores[0] = p, scores[1] = p (dp - inner). rows are
// query, key, value, dout; vectors 0 and 1 top and inner of the queries.
template <typename Block, typename Element>
ZERO_TRAINER_BOTH void plain_slopes(const plain_tiles<Block, Element>& tiles, int first_query,
                                    int first_key) {
  const plain_room& room = tiles.room;
  tiles.each(tiles.tile, [&](int i, int j) {
    const bool seen = first_key + j <= first_query + i && first_query + i < tiles.a.length;
    float p = 0.0f, slope = 0.0f;
    if (seen) {
      p = exponential(tiles.a.scale * tiles.dot(room.rows[0], i, room.rows[1], j) -
                      room.vectors[0][i]);
      slope = p * (tiles.dot(room.rows[3], i, room.rows[2], j) - room.vectors[1][i]);
    }
    room.scores[0][i * room.score_stride + j] = p;
    room.scores[1][i * room.score_stride + j] = slope;
  });
}

template <typename Block, typename Element>
ZERO_TRAINER_BOTH void plain_take_queries(const plain_tiles<Block, Element>& tiles,
                                          const attention_tile_place<Element>& place, int first) {
  const attention_arguments<Element>& a = tiles.a;
  tiles.take(a.qkv, first, tiles.room.rows[0],
             [&](int position, int d) { return place.in_qkv(a, 0, position, d); });
  tiles.take(a.dout, first, tiles.room.rows[3],
             [&](int position, int d) { return place.in_out(a, position, d); });
  tiles.each(1, [&](int i, int) {
    const bool there = first + i < a.length;
    tiles.room.vectors[0][i] = there ? a.top[place.in_top(a, first + i)] : 0.0f;
    tiles.room.vectors[1][i] = there ? a.inner[place.in_top(a, first + i)] : 0.0f;
  });
}

template <typename Block, typename Element>
ZERO_TRAINER_BOTH void plain_take_keys(const plain_tiles<Block, Element>& tiles,
                                       const attention_tile_place<Element>& place, int first) {
  for (int part = 1; part <= 2; ++part) {
    tiles.take(tiles.a.qkv, first, tiles.room.rows[part],
               [&](int position, int d) { return place.in_qkv(tiles.a, part, position, d); });
  }
}

// Clears what a backward sums.
template <typename Block, typename Element>
ZERO_TRAINER_BOTH void plain_clear(const plain_tiles<Block, Element>& tiles, float* sums) {
  tiles.each(tiles.a.head_size, [&](int i, int d) { sums[i * tiles.room.stride + d] = 0.0f; });
}

// dqkv of part `part` = sums.
template <typename Block, typename Element>
ZERO_TRAINER_BOTH void plain_give(const plain_tiles<Block, Element>& tiles,
                                  const attention_tile_place<Element>& place, int part,
                                  const float* sums) {
  tiles.each(tiles.a.head_size, [&](int i, int d) {
    const int position = place.first + i;
    if (position >= tiles.a.length) return;
    narrow(sums[i * tiles.room.stride + d], tiles.a.dqkv[place.in_qkv(tiles.a, part, position, d)]);
  });
}

// The gradient of the queries of a tile.
template <typename Block, typename Element>
ZERO_TRAINER_BOTH void plain_query_backward_body(const Block& block, int index,
                                                 const attention_arguments<Element>& a, int tile,
                                                 float* shared) {
  const plain_room room(shared, tile, a.head_size);
  const plain_tiles<Block, Element> tiles{block, a, room, tile};
  const attention_tile_place<Element> place(a, index, tile);
  float* const sums = room.rows[4];
  const auto slope = [&](int i) {
    return [&room, i](int j) { return room.scores[1][i * room.score_stride + j]; };
  };
  plain_take_queries(tiles, place, place.first);
  plain_clear(tiles, sums);
  for (int first = 0; first <= place.first; first += tile) {
    block.sync();
    plain_take_keys(tiles, place, first);
    block.sync();
    plain_slopes(tiles, place.first, first);
    block.sync();
    tiles.each(a.head_size, [&](int i, int d) {
      sums[i * room.stride + d] += a.scale * tiles.weigh(slope(i), room.rows[1], d);
    });
  }
  block.sync();
  plain_give(tiles, place, 0, sums);
}

// The gradients of the keys and values of a tile.
template <typename Block, typename Element>
ZERO_TRAINER_BOTH void plain_key_backward_body(const Block& block, int index,
                                               const attention_arguments<Element>& a, int tile,
                                               float* shared) {
  const plain_room room(shared, tile, a.head_size);
  const plain_tiles<Block, Element> tiles{block, a, room, tile};
  const attention_tile_place<Element> place(a, index, tile);
  const auto column = [&](int which, int j) {
    return [&room, which, j](int i) { return room.scores[which][i * room.score_stride + j]; };
  };
  plain_take_keys(tiles, place, place.first);
  plain_clear(tiles, room.rows[4]);
  plain_clear(tiles, room.rows[5]);
  for (int first = place.first; first < a.length; first += tile) {
    block.sync();
    plain_take_queries(tiles, place, first);
    block.sync();
    plain_slopes(tiles, first, place.first);
    block.sync();
    tiles.each(a.head_size, [&](int j, int d) {
      room.rows[4][j * room.stride + d] += a.scale * tiles.weigh(column(1, j), room.rows[0], d);
      room.rows[5][j * room.stride + d] += tiles.weigh(column(0, j), room.rows[3], d);
    });
  }
  block.sync();
  plain_give(tiles, place, 1, room.rows[4]);
  plain_give(tiles, place, 2, room.rows[5]);
}

}  // namespace zero::trainer::cuda
