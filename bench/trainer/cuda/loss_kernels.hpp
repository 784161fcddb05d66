#pragma once
// loss_kernels: softmax with cross-entropy and its gradient, a block a row; the sum of losses.
//
// Bodies of kernels: call with one block of threads for each row. Sums have one order, whatever the
// device. Rows of logits begin on 16 bytes.

#include "trainer/cuda/element.hpp"
#include "trainer/cuda/thread_block.hpp"

namespace zero::trainer::cuda {

template <typename Element>
struct cross_entropy_arguments {
  Element* logits;              // [rows, stride]; become softmax - one at the target if `slopes`
  const std::int32_t* targets;  // [rows]
  float* losses;                // [rows] in nats
  int vocabulary;
  int stride;  // a multiple of full_width<Element>
  bool slopes;
};

// Bytes of shared memory: a float for each warp.
template <typename Block>
inline constexpr std::size_t cross_entropy_shared = Block::warps * sizeof(float);

// Combines what all threads have; `room` is free again when it returns.
template <typename Block, typename Values, typename Combine>
ZERO_TRAINER_BOTH void combine_block(const Block& block, Values& value, float* room,
                                     const Combine& both) {
  block.template combine<warp_size>(value, both);
  block.each([&](int t) {
    if (t % warp_size == 0) room[t / warp_size] = value[t];
  });
  block.sync();
  block.each([&](int t) {
    value[t] = room[0];
    for (int warp = 1; warp < Block::warps; ++warp) value[t] = both(value[t], room[warp]);
  });
  block.sync();
}

// Calls visit(column, width) for the columns of a thread of the block: whole packs, then the rest.
template <int Width, typename Block, typename Visit>
ZERO_TRAINER_BOTH void columns_of_thread(int thread, int columns, const Visit& visit) {
  const int whole = columns / Width * Width;
  for (int c = thread * Width; c < whole; c += Block::threads * Width) visit(c, Width);
  if (whole + thread < columns && thread < Width) visit(whole + thread, 1);
}

// One row a block. A thread first sums against the greatest logit that it has met itself.
template <typename Block, typename Element>
ZERO_TRAINER_BOTH void cross_entropy_body(const Block& block, int row,
                                          const cross_entropy_arguments<Element>& a, float* room) {
  constexpr int width = full_width<Element>;
  Element* logits = a.logits + static_cast<std::size_t>(row) * static_cast<std::size_t>(a.stride);
  const int target = a.targets[row];
  typename Block::template per_thread<float> top, own_top, sum;
  block.each([&](int t) {
    float greatest = -INFINITY, total = 0.0f;
    columns_of_thread<width, Block>(t, a.vocabulary, [&](int c, int count) {
      pack<Element, width> logit;
      if (count == width)
        logit = load<width>(logits + c);
      else
        logit.values[0] = logits[c];
      float highest = greatest;
      for (int i = 0; i < count; ++i) highest = fmaxf(highest, widened(logit.values[i]));
      if (highest > greatest) total *= exponential(greatest - highest);
      greatest = highest;
      // Of nothing but -infinity nothing is summed.
      if (greatest == -INFINITY) return;
      for (int i = 0; i < count; ++i) total += exponential(widened(logit.values[i]) - greatest);
    });
    own_top[t] = top[t] = greatest;
    sum[t] = total;
  });
  combine_block(block, top, room, [](float x, float y) { return x > y || x != x ? x : y; });
  block.each([&](int t) {
    if (own_top[t] != -INFINITY) sum[t] *= exponential(own_top[t] - top[t]);
  });
  combine_block(block, sum, room, [](float x, float y) { return x + y; });
  block.each([&](int t) {
    if (t == 0) a.losses[row] = logf(sum[t]) + top[t] - widened(logits[target]);
  });
  if (!a.slopes) return;
  block.sync();
  block.each([&](int t) {
    const float inverse = 1.0f / sum[t];
    const auto slope = [&](Element logit, int c) {
      const float p = exponential(widened(logit) - top[t]) * inverse;
      return c == target ? p - 1.0f : p;
    };
    columns_of_thread<width, Block>(t, a.vocabulary, [&](int c, int count) {
      if (count != width) return narrow(slope(logits[c], c), logits[c]);
      auto values = load<width>(logits + c);
      for (int i = 0; i < width; ++i) narrow(slope(values.values[i], c + i), values.values[i]);
      store(values, logits + c);
    });
  });
}

// *loss += the sum of losses[count]; one block, `room` of a double for each thread.
template <typename Block>
ZERO_TRAINER_BOTH void add_losses_body(const Block& block, const float* losses, int count,
                                       double* loss, double* room) {
  block.each([&](int t) {
    double sum = 0.0;
    for (int i = t; i < count; i += Block::threads) sum += static_cast<double>(losses[i]);
    room[t] = sum;
  });
  for (int apart = Block::threads / 2; apart > 0; apart /= 2) {
    block.sync();
    block.each([&](int t) {
      if (t < apart) room[t] += room[t + apart];
    });
  }
  block.sync();
  block.each([&](int t) {
    if (t == 0) *loss += room[0];
  });
}

}  // namespace zero::trainer::cuda
