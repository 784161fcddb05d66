#pragma once
// attention_plain_backward: the gradients of attention_plain's attention, in two kernels, so that
// each is summed by one thread: a block takes a tile of queries, or one of keys.

#include "trainer/cuda/attention_plain.hpp"

namespace zero::trainer::cuda {

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
