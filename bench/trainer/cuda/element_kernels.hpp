#pragma once
// element_kernels: what each thread does alone: embedding, its gradient, and what is fused into
// matrix products where cuBLASLt can. Call with every index below the count that stands beside it.

#include "trainer/cuda/element.hpp"

namespace zero::trainer::cuda {

// out[row, C] = wte[token of row] + wpe[position of row]; rows * channels / Width.
template <typename Element, int Width>
struct embed {
  const std::int32_t* tokens;
  const Element* wte;
  const Element* wpe;
  Element* out;
  int channels;
  int length;
  ZERO_TRAINER_BOTH void operator()(std::size_t index) const {
    const auto c = static_cast<std::size_t>(channels);
    const std::size_t row = index / (c / Width);
    const std::size_t column = index % (c / Width) * Width;
    const std::size_t position = row % static_cast<std::size_t>(length);
    const auto token = load<Width>(wte + static_cast<std::size_t>(tokens[row]) * c + column);
    const auto place = load<Width>(wpe + position * c + column);
    pack<Element, Width> sum;
    for (int i = 0; i < Width; ++i) {
      narrow(widened(token.values[i]) + widened(place.values[i]), sum.values[i]);
    }
    store(sum, out + row * c + column);
  }
};

// wpe[position] += sum over sequences of gradient[sequence, position]; length * channels.
template <typename Element>
struct embed_positions {
  const Element* gradient;
  Element* wpe;
  int channels;
  int length;
  int sequences;
  ZERO_TRAINER_BOTH void operator()(std::size_t index) const {
    const std::size_t sequence = static_cast<std::size_t>(length) * channels;
    float sum = 0.0f;
    for (int s = 0; s < sequences; ++s) {
      sum += widened(gradient[static_cast<std::size_t>(s) * sequence + index]);
    }
    narrow(widened(wpe[index]) + sum, wpe[index]);
  }
};

// A run of rows of one token (token_order.hpp).
struct token_piece {
  std::int32_t first;  // into `order`
  std::int32_t count;
  std::int32_t token;
  std::int32_t slot;  // where its sum waits for the token's other pieces; -1: it has none
};
// The pieces of one token.
struct token_join {
  std::int32_t token;
  std::int32_t first_slot;
  std::int32_t count;
};

// Rows of each piece are summed in their order; pieces * channels.
template <typename Element>
struct embed_pieces {
  const std::int32_t* order;  // rows, those of a token together
  const token_piece* pieces;
  const Element* gradient;  // [rows, C]
  Element* wte;
  float* slots;  // [slots, C]
  int channels;
  ZERO_TRAINER_BOTH void operator()(std::size_t index) const {
    const auto c = static_cast<std::size_t>(channels);
    const token_piece piece = pieces[index / c];
    const std::size_t column = index % c;
    float sum = 0.0f;
    for (std::int32_t i = 0; i < piece.count; ++i) {
      sum += widened(gradient[static_cast<std::size_t>(order[piece.first + i]) * c + column]);
    }
    if (piece.slot >= 0) {
      slots[static_cast<std::size_t>(piece.slot) * c + column] = sum;
      return;
    }
    Element& out = wte[static_cast<std::size_t>(piece.token) * c + column];
    narrow(widened(out) + sum, out);
  }
};

// Slots of each token are added in their order; joins * channels.
template <typename Element>
struct embed_joins {
  const token_join* joins;
  const float* slots;
  Element* wte;
  int channels;
  ZERO_TRAINER_BOTH void operator()(std::size_t index) const {
    const auto c = static_cast<std::size_t>(channels);
    const token_join join = joins[index / c];
    const std::size_t column = index % c;
    float sum = 0.0f;
    for (std::int32_t i = 0; i < join.count; ++i) {
      sum += slots[static_cast<std::size_t>(join.first_slot + i) * c + column];
    }
    Element& out = wte[static_cast<std::size_t>(join.token) * c + column];
    narrow(widened(out) + sum, out);
  }
};

// y[row, column] += bias[column]; rows * columns.
template <typename Element>
struct add_bias {
  const Element* bias;
  Element* y;
  int columns;
  ZERO_TRAINER_BOTH void operator()(std::size_t index) const {
    const float sum = widened(y[index]) + widened(bias[index % static_cast<std::size_t>(columns)]);
    narrow(sum, y[index]);
  }
};

// out[i] = gelu(in[i]).
template <typename Element>
struct gelu_forward {
  const Element* in;
  Element* out;
  ZERO_TRAINER_BOTH void operator()(std::size_t i) const {
    narrow(gelu_of(widened(in[i])), out[i]);
  }
};

// gradient[i] *= gelu'(in[i]).
template <typename Element>
struct gelu_backward {
  const Element* in;
  Element* gradient;
  ZERO_TRAINER_BOTH void operator()(std::size_t i) const {
    narrow(widened(gradient[i]) * gelu_slope(widened(in[i])), gradient[i]);
  }
};

}  // namespace zero::trainer::cuda
