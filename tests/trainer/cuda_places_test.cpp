// Where a model on a GPU has its memory, what its matrix products are to cuBLASLt, and when the
// inputs of blocks move between device and host: all of it on the host.

#include "trainer/cuda/device_places.hpp"
#include "trainer/cuda/product.hpp"
#include "trainer/cuda/stream_store.hpp"
#include "trainer/gpt_arguments.hpp"
#include "trainer/model_step.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <functional>
#include <random>

namespace zero::trainer::cuda {
namespace {

using testing::generator;

// ---- places ------------------------------------------------------------------------------------

struct piece {
  std::uintptr_t begin;
  std::size_t bytes;
};

template <typename Element>
std::vector<piece> pieces_of(const device_places<Element>& p, const gpt_config& config,
                             std::size_t n) {
  const auto c = std::size_t(config.channels), h = std::size_t(config.heads);
  std::vector<piece> all;
  const auto add = [&](const auto* at, std::size_t count) {
    all.push_back({reinterpret_cast<std::uintptr_t>(at), count * sizeof *at});
  };
  for (const Element* stream : p.streams) add(stream, n * c);
  for (const auto& b : p.blocks) {
    for (const Element* rows : {b.normed_1, b.attended, b.middle, b.normed_2}) add(rows, n * c);
    add(b.qkv, 3 * n * c);
    add(b.expanded, 4 * n * c);
    add(b.activated, 4 * n * c);
    for (const float* row : {b.mean_1, b.rstd_1, b.mean_2, b.rstd_2}) add(row, n);
    add(b.top, n * h);
  }
  for (const std::int32_t* row : {p.tokens.tokens, p.tokens.targets, p.tokens.order}) add(row, n);
  add(p.tokens.pieces, token_order_limits(n).pieces);
  add(p.tokens.joins, token_order_limits(n).joins);
  for (const float* row : {p.final_mean, p.final_rstd, p.losses}) add(row, n);
  for (const Element* rows : {p.final_rows, p.gradient, p.narrow}) add(rows, n * c);
  add(p.logits, std::size_t(p.head_rows) * std::size_t(p.logit_stride));
  add(p.wide, 4 * n * c);
  add(p.inner, n * h);
  add(p.partial, std::size_t(most_column_chunks) * 4 * c);
  add(p.slots, token_order_limits(n).slots * c);
  add(p.workspace, matmul_workspace);
  return all;
}

template <typename Element>
void expect_apart(const gpt_config& config, gpt_options options) {
  options = checked(config, options);
  device_places<Element> p;
  const std::size_t bytes = p.place(config, options, nullptr);
  const std::uintptr_t base = std::uintptr_t{1} << 32;
  EXPECT_EQ(p.place(config, options, reinterpret_cast<void*>(base)), bytes);
  auto all = pieces_of(p, config, std::size_t(options.batch) * std::size_t(options.sequence));
  std::erase_if(all, [](const piece& one) { return one.bytes == 0; });
  std::sort(all.begin(), all.end(),
            [](const piece& a, const piece& b) { return a.begin < b.begin; });
  std::uintptr_t end = base;
  for (const piece& one : all) {
    EXPECT_EQ(one.begin % 256, 0u);
    EXPECT_GE(one.begin, end);
    EXPECT_LT(one.begin, end + 256);  // nothing is wasted either
    end = one.begin + one.bytes;
  }
  EXPECT_LE(end, base + bytes);
  EXPECT_GE(p.logit_stride, config.vocabulary);
  EXPECT_EQ(std::size_t(p.logit_stride) * sizeof(Element) % 128, 0u);
}

TEST(cuda_places, pieces_lie_apart_and_aligned) {
  const gpt_config odd{"odd", 257, 5, 255, 5, 50};
  for (const auto& config : {odd, find_gpt("gpt-11m"), gpt_config{"one", 1, 1, 1, 1, 1}}) {
    for (const bool offload : {false, true}) {
      gpt_options options;
      options.batch = 3;
      expect_apart<float>(config, options);
      options.recompute = recomputation::block;
      options.offload = offload;
      expect_apart<bf16_t>(config, options);
    }
  }
}

TEST(cuda_places, recomputation_and_offload_take_less) {
  const gpt_config config = find_gpt("gpt2");
  gpt_options options = checked(config, {8, 0, recomputation::none, dtype::bf16, false});
  device_places<bf16_t> p;
  const std::size_t all = p.place(config, options, nullptr);
  options.recompute = recomputation::block;
  const std::size_t again = p.place(config, options, nullptr);
  options.offload = true;
  const std::size_t offloaded = p.place(config, options, nullptr);
  const std::size_t row = 8 * 1024 * 768 * 2;
  // A block keeps 15 C elements and 4 + H floats a row; 13 inputs become 3.
  EXPECT_EQ(all - again, 11 * (15 * row + (4 + 12) * std::size_t{8 * 1024} * 4));
  EXPECT_EQ(again - offloaded, 10 * row);
}

TEST(cuda_places, the_head_takes_rows_as_logits_have_room) {
  const gpt_config config = find_gpt("gpt2");
  const gpt_options options = checked(config, {128, 0, recomputation::none, dtype::bf16, false});
  device_places<bf16_t> p;
  p.place(config, options, nullptr);
  EXPECT_EQ(p.logit_stride, 50304);
  EXPECT_LT(p.head_rows, 128 * 1024);
  EXPECT_LE(std::size_t(p.head_rows) * 50304 * 2, most_logits);
  EXPECT_GT(std::size_t(p.head_rows + 1) * 50304 * 2, most_logits);
}

// ---- products ----------------------------------------------------------------------------------

// What cuBLASLt does, from its manual: column-major, D = alpha op(A) op(B) + beta D.
std::vector<float> column_major(const product& p, const std::vector<float>& a,
                                const std::vector<float>& b, std::vector<float> d) {
  const auto at = [](bool transposed, std::int64_t row, std::int64_t column, std::int64_t ld) {
    return std::size_t(transposed ? column + row * ld : row + column * ld);
  };
  for (std::int64_t i = 0; i < p.m; ++i) {
    for (std::int64_t j = 0; j < p.n; ++j) {
      float sum = p.adds ? d[at(false, i, j, p.ldd)] : 0.0f;
      for (std::int64_t k = 0; k < p.k; ++k) {
        sum += a.at(at(p.transpose_a, i, k, p.lda)) * b.at(at(p.transpose_b, k, j, p.ldb));
      }
      d.at(at(false, i, j, p.ldd)) = sum;
    }
  }
  return d;
}

std::vector<float> random_matrix(std::size_t count, std::uint32_t seed) {
  generator random(seed);
  std::vector<float> values(count);
  for (float& value : values) value = random();
  return values;
}

// expected[r, c] = sum over k of left(r, k) right(k, c), rows `stride` apart.
template <typename Left, typename Right>
void expect_product(const std::vector<float>& made, const std::vector<float>& before, int rows,
                    int columns, int inner, int stride, const Left& left, const Right& right) {
  for (int r = 0; r < rows; ++r) {
    for (int c = 0; c < columns; ++c) {
      double sum = before.empty() ? 0.0 : double{before[std::size_t(r * stride + c)]};
      for (int k = 0; k < inner; ++k) sum += double{left(r, k)} * double{right(k, c)};
      ASSERT_NEAR(made[std::size_t(r * stride + c)], sum, 1e-5);
    }
  }
}

TEST(cuda_product, row_major_products_are_column_major_ones) {
  const int rows = 5, in = 3, out = 7;
  const auto x = random_matrix(rows * in, 1), w = random_matrix(in * out, 2);
  const auto dy = random_matrix(rows * out, 3), before = random_matrix(in * out, 4);
  const auto X = [&](int r, int c) { return x[std::size_t(r * in + c)]; };
  const auto W = [&](int r, int c) { return w[std::size_t(r * out + c)]; };
  const auto G = [&](int r, int c) { return dy[std::size_t(r * out + c)]; };
  expect_product(column_major(forward_product(rows, in, out, dtype::fp32), w, x,
                              std::vector<float>(rows * out)),
                 {}, rows, out, in, out, X, W);
  expect_product(
      column_major(input_product(rows, in, out, dtype::fp32), w, dy, std::vector<float>(rows * in)),
      {}, rows, in, out, in, G, [&](int k, int c) { return W(c, k); });
  expect_product(
      column_major(weight_product(rows, in, out, dtype::fp32), dy, x, before), before, in, out,
      rows, out, [&](int r, int k) { return X(k, r); }, G);
}

TEST(cuda_product, the_heads_products_leave_the_padding_of_logits_alone) {
  const int rows = 4, c = 3, vocabulary = 5, stride = 8;
  const auto x = random_matrix(rows * c, 1), wte = random_matrix(vocabulary * c, 2);
  const auto slopes = random_matrix(rows * stride, 3), before = random_matrix(vocabulary * c, 4);
  const auto X = [&](int r, int k) { return x[std::size_t(r * c + k)]; };
  const auto E = [&](int r, int k) { return wte[std::size_t(r * c + k)]; };
  const auto S = [&](int r, int k) { return slopes[std::size_t(r * stride + k)]; };
  const auto logits = column_major(logits_product(rows, c, vocabulary, stride, dtype::fp32), wte, x,
                                   std::vector<float>(rows * stride, 9.0f));
  expect_product(logits, {}, rows, vocabulary, c, stride, X, [&](int k, int v) { return E(v, k); });
  for (int r = 0; r < rows; ++r) {
    for (int v = vocabulary; v < stride; ++v) EXPECT_EQ(logits[std::size_t(r * stride + v)], 9.0f);
  }
  expect_product(column_major(head_input_product(rows, c, vocabulary, stride, dtype::fp32), wte,
                              slopes, std::vector<float>(rows * c)),
                 {}, rows, c, vocabulary, c, S, E);
  expect_product(
      column_major(head_weight_product(rows, c, vocabulary, stride, dtype::fp32), x, slopes,
                   before),
      before, vocabulary, c, rows, c, [&](int v, int r) { return S(r, v); }, X);
}

TEST(cuda_product, alignment_follows_from_the_shape_alone) {
  EXPECT_TRUE(forward_product(3, 768, 2304, dtype::bf16).is_aligned());
  EXPECT_FALSE(forward_product(3, 255, 765, dtype::bf16).is_aligned());
  EXPECT_FALSE(forward_product(3, 252, 756, dtype::bf16).is_aligned());
  EXPECT_TRUE(forward_product(3, 252, 756, dtype::fp32).is_aligned());
  EXPECT_TRUE(logits_product(3, 768, 50257, 50304, dtype::bf16).is_aligned());
  EXPECT_EQ(weight_product(10, 20, 30, dtype::fp32).operations(), 12000.0);
}

TEST(cuda_product, a_step_needs_six_operations_for_each_element_and_token) {
  // By hand: 12 C^2 a block, C V of the head, and half of T^2 C twice over for attention, each
  // multiplied and added, once forward and twice backward.
  const gpt_config config{"by hand", 10, 2, 4, 1, 8};
  const double products = 8 * (2 * 12 * 16 + 4 * 10) * 6.0;
  const double seen = 8 * 9 / 2;
  EXPECT_EQ(operations_of_step(config, 1, 8), products + seen * 4 * 2 * 2 * 3 * 2);
  EXPECT_EQ(operations_of_step(config, 3, 8), 3 * operations_of_step(config, 1, 8));
}

// ---- the inputs of blocks ----------------------------------------------------------------------

// Streams of a device that works whenever it likes: what is queued runs later, in any order that
// the waits allow.
class lazy_device {
 public:
  class lane final : public stream, private completion_source {
   public:
    explicit lane(lazy_device& device) : device_(device) { device_.lanes_.push_back(this); }
    ~lane() override {
      device_.run_all();
      std::erase(device_.lanes_, this);
    }
    void push(std::function<void()> work) { work_.push_back({{}, std::move(work)}); }
    completion record() override {
      const std::uint64_t ticket = ++recorded_;
      push([this, ticket] { done_ = ticket; });
      return {*this, ticket};
    }

   private:
    friend class lazy_device;
    struct item {
      std::function<bool()> may;
      std::function<void()> run;
    };
    void wait(std::uint64_t ticket) override {
      while (done_ < ticket) device_.run_one();
    }
    bool ready(std::uint64_t ticket) const noexcept override { return done_ >= ticket; }
    void order(std::uint64_t ticket, stream& later) override {
      static_cast<lane&>(later).work_.push_back(
          {[this, ticket] { return done_ >= ticket; }, [] {}});
    }
    lazy_device& device_;
    std::deque<item> work_;
    std::uint64_t recorded_ = 0, done_ = 0;
  };

  explicit lazy_device(std::uint32_t seed) : random_(seed) {}

  void run_all() {
    while (run_one()) {
    }
  }

  bool run_one() {
    std::vector<lane*> able;
    for (lane* each : lanes_) {
      if (!each->work_.empty() && (!each->work_.front().may || each->work_.front().may())) {
        able.push_back(each);
      }
    }
    if (able.empty()) return false;
    lane& chosen = *able[random_() % able.size()];
    const auto item = std::move(chosen.work_.front());
    chosen.work_.pop_front();
    item.run();
    return true;
  }

 private:
  std::vector<lane*> lanes_;
  std::mt19937 random_;
};

// Forwards and backwards of a model whose stream i holds `100 * step + i`, as gpt_on_device makes
// them; true if every block saw its own input.
bool blocks_see_their_inputs(int layers, int places, std::uint32_t seed, bool sampling) {
  lazy_device device(seed);
  page_resource pages;
  bool right = true;
  std::vector<std::vector<int>> memory(std::size_t(places), std::vector<int>(4, -1));
  std::vector<void*> addresses;
  for (auto& place : memory) addresses.push_back(place.data());
  lazy_device::lane compute(device);
  {
    copy_lanes lanes{
        std::make_unique<lazy_device::lane>(device), std::make_unique<lazy_device::lane>(device),
        &pages, [](void* to, const void* from, std::size_t bytes, stream& lane) {
          static_cast<lazy_device::lane&>(lane).push([=] { std::memcpy(to, from, bytes); });
        }};
    stream_store store(compute, std::move(lanes), addresses, layers + 1, 4 * sizeof(int));
    EXPECT_EQ(store.host_bytes(), std::size_t(std::max(0, layers + 1 - places)) * 4 * sizeof(int));
    for (int step = 1; step <= 3; ++step) {
      const auto write = [&](int i) {
        auto* to = static_cast<int*>(store.to_write(i));
        compute.push([to, step, i] { std::fill(to, to + 4, 100 * step + i); });
      };
      const auto check = [&](int i) {
        const auto* from = static_cast<const int*>(store.to_read(i));
        compute.push([&right, from, step, i] {
          for (int k = 0; k < 4; ++k) right = right && from[k] == 100 * step + i;
        });
      };
      store.begin_forward(4 * sizeof(int));
      write(0);
      for (int layer = 0; layer < layers; ++layer) {
        check(layer);
        write(layer + 1);
        store.leave(layer);
      }
      check(layers);
      if (sampling && step == 2) continue;  // a forward alone
      check(layers);
      store.drop(layers);
      for (int layer = layers - 1; layer >= 0; --layer) {
        check(layer);
        check(layer);
        store.drop(layer);
      }
    }
  }
  device.run_all();
  return right;
}

TEST(cuda_stream_store, blocks_see_their_inputs_in_any_order_of_the_lanes) {
  for (const int layers : {1, 2, 3, 5, 12}) {
    for (const int places : {3, layers + 1}) {
      if (places > layers + 1) continue;
      for (std::uint32_t seed = 0; seed < 40; ++seed) {
        for (const bool sampling : {false, true}) {
          EXPECT_TRUE(blocks_see_their_inputs(layers, places, seed, sampling))
              << layers << " blocks, " << places << " places, seed " << seed;
        }
      }
    }
  }
}

}  // namespace
}  // namespace zero::trainer::cuda
