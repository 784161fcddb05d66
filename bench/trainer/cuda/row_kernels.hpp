#pragma once
// row_kernels: LayerNorm and its gradient, a warp a row; softmax with cross-entropy, a block a row.
//
// Bodies of kernels: call with one block of threads for each index below the count that goes with
// them. Sums have one order, whatever the device. x[rows, channels] and the like are row-major;
// Width > 1 needs channels that are a multiple of it and rows that begin on its alignment.

#include "trainer/cuda/element.hpp"
#include "trainer/cuda/thread_block.hpp"

namespace zero::trainer::cuda {

template <typename Element>
struct norm_forward_arguments {
  const Element* x;
  const Element* weight;  // [channels]
  const Element* bias;    // [channels]
  Element* y;
  float* mean;  // [rows]
  float* rstd;  // [rows]
  int rows;
  int channels;
};

template <typename Element>
struct norm_backward_arguments {
  const Element* x;
  const Element* weight;
  const float* mean;
  const float* rstd;
  const Element* dy;
  Element* dx;  // added to
  int rows;
  int channels;
};

// Calls visit(column) for the columns of a lane, Width neighbours at a time.
template <int Width, typename Visit>
ZERO_TRAINER_BOTH void columns_of_lane(int thread, int channels, const Visit& visit) {
  for (int c = thread % warp_size * Width; c < channels; c += warp_size * Width) visit(c);
}

// Blocks that take `rows` rows, a warp each.
ZERO_TRAINER_BOTH int row_blocks(int rows, int warps) { return (rows + warps - 1) / warps; }

template <int Width, typename Block, typename Element>
ZERO_TRAINER_BOTH void norm_forward_body(const Block& block, int index,
                                         const norm_forward_arguments<Element>& a) {
  const auto row_of = [&](int t) { return index * Block::warps + t / warp_size; };
  const auto at = [&](int t) {
    return static_cast<std::size_t>(row_of(t)) * static_cast<std::size_t>(a.channels);
  };
  const float inverse = 1.0f / static_cast<float>(a.channels);
  typename Block::template per_thread<float> mean, variance;
  block.each([&](int t) {
    mean[t] = 0.0f;
    if (row_of(t) >= a.rows) return;
    columns_of_lane<Width>(t, a.channels, [&](int c) {
      const auto x = load<Width>(a.x + at(t) + c);
      for (int i = 0; i < Width; ++i) mean[t] += widened(x.values[i]);
    });
  });
  block.template sum<warp_size>(mean);
  block.each([&](int t) {
    mean[t] *= inverse;
    variance[t] = 0.0f;
    if (row_of(t) >= a.rows) return;
    columns_of_lane<Width>(t, a.channels, [&](int c) {
      const auto x = load<Width>(a.x + at(t) + c);
      for (int i = 0; i < Width; ++i) {
        const float centred = widened(x.values[i]) - mean[t];
        variance[t] = fused(centred, centred, variance[t]);
      }
    });
  });
  block.template sum<warp_size>(variance);
  block.each([&](int t) {
    if (row_of(t) >= a.rows) return;
    const float rstd = 1.0f / sqrtf(fused(variance[t], inverse, 1e-5f));
    columns_of_lane<Width>(t, a.channels, [&](int c) {
      const auto x = load<Width>(a.x + at(t) + c);
      const auto weight = load<Width>(a.weight + c);
      const auto bias = load<Width>(a.bias + c);
      pack<Element, Width> y;
      for (int i = 0; i < Width; ++i) {
        const float unit = (widened(x.values[i]) - mean[t]) * rstd;
        narrow(fused(unit, widened(weight.values[i]), widened(bias.values[i])), y.values[i]);
      }
      store(y, a.y + at(t) + c);
    });
    if (t % warp_size != 0) return;
    a.mean[row_of(t)] = mean[t];
    a.rstd[row_of(t)] = rstd;
  });
}

// With u the normalised input and g = dy * weight: dx += rstd (g - mean(g) - u mean(g u)).
template <int Width, typename Block, typename Element>
ZERO_TRAINER_BOTH void norm_backward_body(const Block& block, int index,
                                          const norm_backward_arguments<Element>& a) {
  const auto row_of = [&](int t) { return index * Block::warps + t / warp_size; };
  const auto at = [&](int t) {
    return static_cast<std::size_t>(row_of(t)) * static_cast<std::size_t>(a.channels);
  };
  const float inverse = 1.0f / static_cast<float>(a.channels);
  typename Block::template per_thread<float> mean_g, mean_gu;
  // each(i, column, g, u) for the elements of a thread.
  const auto terms = [&](int t, const auto& each) {
    const float mean = a.mean[row_of(t)];
    const float rstd = a.rstd[row_of(t)];
    columns_of_lane<Width>(t, a.channels, [&](int c) {
      const auto x = load<Width>(a.x + at(t) + c);
      const auto dy = load<Width>(a.dy + at(t) + c);
      const auto weight = load<Width>(a.weight + c);
      for (int i = 0; i < Width; ++i) {
        each(i, c, widened(dy.values[i]) * widened(weight.values[i]),
             (widened(x.values[i]) - mean) * rstd);
      }
    });
  };
  block.each([&](int t) {
    mean_g[t] = 0.0f;
    mean_gu[t] = 0.0f;
    if (row_of(t) >= a.rows) return;
    terms(t, [&](int, int, float g, float u) {
      mean_g[t] += g;
      mean_gu[t] = fused(g, u, mean_gu[t]);
    });
  });
  block.template sum<warp_size>(mean_g);
  block.template sum<warp_size>(mean_gu);
  block.each([&](int t) {
    if (row_of(t) >= a.rows) return;
    const float rstd = a.rstd[row_of(t)];
    pack<Element, Width> dx;
    terms(t, [&](int i, int c, float g, float u) {
      if (i == 0) dx = load<Width>(a.dx + at(t) + c);
      const float inner = fused(-u, mean_gu[t] * inverse, g - mean_g[t] * inverse);
      narrow(fused(inner, rstd, widened(dx.values[i])), dx.values[i]);
      if (i == Width - 1) store(dx, a.dx + at(t) + c);
    });
  });
}

// ---- softmax and cross-entropy -----------------------------------------------------------------

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
