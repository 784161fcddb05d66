#pragma once
// attention_arguments: causal multi-head self-attention over one qkv matrix, as the kernels get it.
//
// qkv[row, 3C] and dqkv: columns are query, key, value, each by head; row = sequence * length +
// position; C = heads * head_size. out and dout are [row, C]. The probabilities are never kept:
// `top`[sequences, heads, length] is the logarithm of each query's sum of exponentials, from which
// the backward makes them again. `inner`, of the same shape, is the inner product of out and dout.
//
// Every gradient is written by one thread that sums in the order of positions: no atomics.

#include "trainer/cuda/element.hpp"

namespace zero::trainer::cuda {

template <typename Element>
struct attention_arguments {
  const Element* qkv;
  Element* out;
  float* top;
  const Element* dout;  // backward
  float* inner;         // backward
  Element* dqkv;        // backward
  int sequences;
  int length;
  int heads;
  int head_size;
  float scale;  // 1 / sqrt(head_size)
};

// One head of one sequence, of tiles of `tile` positions each, counted by block.
template <typename Element>
struct attention_tile_place {
  ZERO_TRAINER_BOTH attention_tile_place(const attention_arguments<Element>& a, int block,
                                         int tile) {
    const int tiles = (a.length + tile - 1) / tile;
    // Late queries see most keys: their tiles start first.
    first = (tiles - 1 - block % tiles) * tile;
    head = block / tiles % a.heads;
    sequence = block / tiles / a.heads;
  }
  ZERO_TRAINER_BOTH static int count(const attention_arguments<Element>& a, int tile) {
    return (a.length + tile - 1) / tile * a.heads * a.sequences;
  }
  // Element (position, d) of query (0), key (1) or value (2).
  ZERO_TRAINER_BOTH std::size_t in_qkv(const attention_arguments<Element>& a, int part,
                                       int position, int d) const {
    const auto c = static_cast<std::size_t>(a.heads) * static_cast<std::size_t>(a.head_size);
    return (static_cast<std::size_t>(sequence) * a.length + position) * 3 * c +
           static_cast<std::size_t>(part) * c +
           static_cast<std::size_t>(head) * static_cast<std::size_t>(a.head_size) + d;
  }
  ZERO_TRAINER_BOTH std::size_t in_out(const attention_arguments<Element>& a, int position,
                                       int d) const {
    const auto c = static_cast<std::size_t>(a.heads) * static_cast<std::size_t>(a.head_size);
    return (static_cast<std::size_t>(sequence) * a.length + position) * c +
           static_cast<std::size_t>(head) * static_cast<std::size_t>(a.head_size) + d;
  }
  ZERO_TRAINER_BOTH std::size_t in_top(const attention_arguments<Element>& a, int position) const {
    return (static_cast<std::size_t>(sequence) * a.heads + head) * a.length + position;
  }
  int first;
  int head;
  int sequence;
};

// inner[sequence, head, position] = sum over d of out dout; sequences * heads * length. Width
// divides head_size.
template <typename Element, int Width>
struct attention_inner {
  attention_arguments<Element> a;
  ZERO_TRAINER_BOTH void operator()(std::size_t index) const {
    const auto length = static_cast<std::size_t>(a.length);
    const auto heads = static_cast<std::size_t>(a.heads);
    const std::size_t position = index / heads % length;
    const std::size_t sequence = index / heads / length;
    const std::size_t head = index % heads;
    const auto size = static_cast<std::size_t>(a.head_size);
    const std::size_t at = ((sequence * length + position) * heads + head) * size;
    float sum = 0.0f;
    for (std::size_t d = 0; d < size; d += Width) {
      const auto out = load<Width>(static_cast<const Element*>(a.out) + at + d);
      const auto dout = load<Width>(a.dout + at + d);
      for (int i = 0; i < Width; ++i) {
        sum = fused(widened(out.values[i]), widened(dout.values[i]), sum);
      }
    }
    a.inner[(sequence * heads + head) * length + position] = sum;
  }
};

}  // namespace zero::trainer::cuda
