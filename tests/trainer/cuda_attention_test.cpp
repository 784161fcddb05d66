// The bodies of the attention kernels, run on the host thread by thread, against the host's own
// attention; and the order in which the host runs threads does not matter.

#include "trainer/attention.hpp"
#include "trainer/cuda/attention_plain.hpp"
#include "trainer/cuda/attention_tiles_backward.hpp"
#include "trainer/cuda/attention_tiles_forward.hpp"
#include "trainer/model_step.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace zero::trainer::cuda {
namespace {

using testing::generator;

// Inputs and results of one attention, in `Element`, and the same in fp32 from the host.
template <typename Element>
struct attention_case {
  attention_case(int sequences, int length, int heads, int size)
      : shape{sequences, length, heads, size} {
    const std::size_t c = std::size_t(heads * size), rows = std::size_t(sequences * length);
    generator random(7);
    for (auto* values : {&qkv, &dout}) {
      values->resize(rows * c * (values == &qkv ? 3 : 1));
      for (Element& value : *values) narrow(1.5f * random(), value);
    }
    out.resize(rows * c);
    dqkv.resize(rows * 3 * c);
    top.assign(std::size_t(sequences * heads * length), NAN);
    inner = top;
  }

  [[nodiscard]] attention_arguments<Element> arguments() {
    return {qkv.data(),
            out.data(),
            top.data(),
            dout.data(),
            inner.data(),
            dqkv.data(),
            shape.sequences,
            shape.length,
            shape.heads,
            shape.head_size,
            1.0f / std::sqrt(static_cast<float>(shape.head_size))};
  }

  static std::vector<float> wide(const std::vector<Element>& values) {
    std::vector<float> result;
    for (const Element value : values) result.push_back(widened(value));
    return result;
  }

  void make_inner() {
    for (std::size_t i = 0; i < inner.size(); ++i) {
      attention_inner<Element, 1>{arguments()}(i);
    }
  }

  // Greatest differences from the host's results, over their greatest element.
  struct difference {
    double out = 0, dquery = 0, dkey = 0, dvalue = 0;
  };
  [[nodiscard]] difference from_host() const {
    const std::size_t c = std::size_t(shape.heads * shape.head_size);
    const auto q = wide(qkv), d = wide(dout);
    std::vector<float> o(out.size()), dq(qkv.size()), tops(top.size()), inverses(top.size());
    std::vector<float> scratch(attention_scratch(shape.length));
    attention_forward(shape, q.data(), o.data(), tops.data(), inverses.data(), scratch.data());
    attention_backward(shape, q.data(), o.data(), tops.data(), inverses.data(), d.data(), dq.data(),
                       scratch.data());
    const auto apart = [](const std::vector<float>& x, const std::vector<float>& y, std::size_t row,
                          std::size_t first, std::size_t count) {
      double worst = 0, largest = 0;
      for (std::size_t at = first; at < x.size(); at += row) {
        for (std::size_t i = at; i < at + count; ++i) {
          // Not finite is worse than anything.
          if (!std::isfinite(x[i])) return 1e30;
          worst = std::max(worst, std::abs(double{x[i]} - double{y[i]}));
          largest = std::max(largest, std::abs(double{y[i]}));
        }
      }
      return worst / std::max(largest, 0.1);  // of one key alone, two gradients are 0
    };
    const auto made = wide(dqkv);
    return {apart(wide(out), o, c, 0, c), apart(made, dq, 3 * c, 0, c),
            apart(made, dq, 3 * c, c, c), apart(made, dq, 3 * c, 2 * c, c)};
  }

  attention_shape shape;
  std::vector<Element> qkv, out, dout, dqkv;
  std::vector<float> top, inner;
};

template <typename Element>
void run_plain(attention_case<Element>& c, bool backwards) {
  const thread_block<64> block(backwards);
  const int tile = plain_tile(c.shape.head_size);
  ASSERT_GT(tile, 0);
  std::vector<float> shared(plain_shared_floats(tile, c.shape.head_size));
  const auto a = c.arguments();
  const int blocks = attention_tile_place<Element>::count(a, tile);
  for (int i = 0; i < blocks; ++i) plain_forward_body(block, i, a, tile, shared.data());
  c.make_inner();
  for (int i = 0; i < blocks; ++i) plain_query_backward_body(block, i, a, tile, shared.data());
  for (int i = 0; i < blocks; ++i) plain_key_backward_body(block, i, a, tile, shared.data());
}

template <typename Block, typename Element, int Size, int Rows, int Turns>
void run_tiles(attention_case<Element>& c, bool backwards) {
  const Block block(backwards);
  const auto a = c.arguments();
  using forward = tiles_forward<Size, Rows, Block, Element>;
  using query = tiles_query_backward<Size, Turns, Block, Element>;
  using key = tiles_key_backward<Size, Turns, Block, Element>;
  static_assert(query::shared_bytes == key::shared_bytes);
  std::vector<Element> shared(std::max(forward::shared_bytes, query::shared_bytes) /
                              sizeof(Element));
  for (int i = 0; i < forward::blocks(a); ++i) forward::body(block, i, a, shared.data());
  c.make_inner();
  for (int i = 0; i < query::blocks(a); ++i) query::body(block, i, a, shared.data());
  for (int i = 0; i < key::blocks(a); ++i) key::body(block, i, a, shared.data());
}

template <typename Element>
void expect_close(const attention_case<Element>& c, double out, double gradient) {
  const auto apart = c.from_host();
  EXPECT_LT(apart.out, out);
  EXPECT_LT(apart.dquery, gradient);
  EXPECT_LT(apart.dkey, gradient);
  EXPECT_LT(apart.dvalue, gradient);
}

TEST(cuda_attention, plain_is_the_hosts_in_fp32) {
  for (const attention_shape shape : {attention_shape{1, 1, 1, 1},
                                      {2, 7, 3, 5},
                                      {1, 50, 5, 51},
                                      {2, 65, 1, 64},
                                      {1, 33, 2, 300},
                                      {1, 9, 1, 2000}}) {
    SCOPED_TRACE(std::to_string(shape.length) + " " + std::to_string(shape.head_size));
    attention_case<float> c(shape.sequences, shape.length, shape.heads, shape.head_size);
    run_plain(c, false);
    expect_close(c, 2e-6, 5e-6);
  }
}

TEST(cuda_attention, plain_does_not_depend_on_the_order_of_threads) {
  attention_case<float> one(2, 37, 2, 9), other(2, 37, 2, 9);
  run_plain(one, false);
  run_plain(other, true);
  EXPECT_EQ(one.out, other.out);
  EXPECT_EQ(one.dqkv, other.dqkv);
}

TEST(cuda_attention, plain_takes_what_shared_memory_has_room_for) {
  EXPECT_EQ(plain_tile(51), 32);
  EXPECT_EQ(plain_tile(64), 32);
  EXPECT_GT(plain_tile(2000), 0);
  EXPECT_EQ(plain_tile(1 << 20), 0);
  for (int size = 1; size < 4100; size += 13) {
    const int tile = plain_tile(size);
    if (tile > 0) {
      EXPECT_LE(plain_shared_floats(tile, size) * 4, plain_shared_limit);
    }
  }
}

// bf16 keeps 8 bits: probabilities, slopes and results are rounded to it.
constexpr double bf16_out = 8e-3, bf16_gradient = 1.2e-2;
constexpr double fp16_out = 1e-3, fp16_gradient = 1.5e-3;

TEST(cuda_attention, tensor_cores_are_the_hosts_for_heads_of_64) {
  for (const attention_shape shape : {attention_shape{1, 1, 1, 64},
                                      {2, 64, 1, 64},
                                      {1, 65, 2, 64},
                                      {1, 200, 1, 64},
                                      {2, 129, 1, 64}}) {
    SCOPED_TRACE(shape.length);
    attention_case<bf16_t> wide(shape.sequences, shape.length, shape.heads, 64);
    run_tiles<thread_block<128>, bf16_t, 64, 2, 2>(wide, false);
    expect_close(wide, bf16_out, bf16_gradient);
    attention_case<fp16_t> fine(shape.sequences, shape.length, shape.heads, 64);
    run_tiles<thread_block<128>, fp16_t, 64, 2, 2>(fine, false);
    expect_close(fine, fp16_out, fp16_gradient);
  }
}

TEST(cuda_attention, tensor_cores_are_the_hosts_for_heads_of_128) {
  for (const int length : {3, 130}) {
    attention_case<bf16_t> c(1, length, 2, 128);
    run_tiles<thread_block<128>, bf16_t, 128, 1, 1>(c, false);
    expect_close(c, bf16_out, bf16_gradient);
  }
}

TEST(cuda_attention, tensor_cores_do_not_depend_on_the_order_of_threads) {
  attention_case<bf16_t> one(1, 100, 1, 64), other(1, 100, 1, 64);
  run_tiles<thread_block<128>, bf16_t, 64, 2, 2>(one, false);
  run_tiles<thread_block<128>, bf16_t, 64, 2, 2>(other, true);
  EXPECT_EQ(std::memcmp(one.out.data(), other.out.data(), one.out.size() * 2), 0);
  EXPECT_EQ(std::memcmp(one.dqkv.data(), other.dqkv.data(), one.dqkv.size() * 2), 0);
}

// The layouts of the PTX manual, by hand: element (row, column) of A is held by one lane.
TEST(cuda_attention, fragments_are_products) {
  using block_type = thread_block<32>;
  using matrix = warp_matrix<block_type, fp16_t>;
  const block_type block;
  std::vector<fp16_t> left(16 * 24), right(8 * 24), across(16 * 8);
  generator random(3);
  for (auto* m : {&left, &right, &across}) {
    for (fp16_t& value : *m) narrow(random(), value);
  }
  block_type::per_thread<fragment_a> a;
  matrix::quads quads;
  matrix::load4(quads, [&](int t) { return left.data() + t % 16 * 24 + t / 16 * 8; });
  for (int t = 0; t < 32; ++t) std::memcpy(&a[t], quads[t], 16);
  block_type::per_thread<fragment_c> plain{}, transposed{};
  matrix::load4(quads, [&](int t) { return right.data() + t % 8 * 24 + t / 8 % 2 * 8; });
  matrix::multiply_add([&](int t) -> fragment_c& { return plain[t]; },
                       [&](int t) -> const fragment_a& { return a[t]; },
                       [&](int t) {
                         return fragment_b{{quads[t][0], quads[t][1]}};
                       });
  matrix::load4_transposed(quads, [&](int t) { return across.data() + t % 16 * 8; });
  matrix::multiply_add([&](int t) -> fragment_c& { return transposed[t]; },
                       [&](int t) -> const fragment_a& { return a[t]; },
                       [&](int t) {
                         return fragment_b{{quads[t][0], quads[t][1]}};
                       });
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
      double first = 0, second = 0;
      for (int k = 0; k < 16; ++k) {
        const double x = widened(left[std::size_t(row * 24 + k)]);
        first += x * widened(right[std::size_t(column * 24 + k)]);
        second += x * widened(across[std::size_t(k * 8 + column)]);
      }
      EXPECT_NEAR(plain[lane].values[i], first, 1e-6);
      EXPECT_NEAR(transposed[lane].values[i], second, 1e-6);
    }
  }
}

}  // namespace
}  // namespace zero::trainer::cuda
