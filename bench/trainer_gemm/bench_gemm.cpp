// The trainer's matrix products against cblas_sgemm called on the same shapes alone, in turns in
// one process, on one thread, in processor time.
//
// product/MODEL/MATRIX/DIRECTION: one product through blas.hpp; `fraction` is the time of the
// direct call over the trainer's. linear/...: the same with everything the trainer does around
// it (bias, weight gradient straight into the gradient, column sums), all three directions.
// block/MODEL/DTYPE: a whole block forward and backward; `fraction` is the time of its twelve
// weight products alone over it, so attention, LayerNorm, GELU and casts are what is missing.

#include "trainer/blas.hpp"
#include "trainer/gpt.hpp"
#include "trainer/linear.hpp"

#include <benchmark/benchmark.h>
#include <cblas.h>
#include <time.h>

#include <string>
#include <vector>

namespace zero::trainer {
namespace {

constexpr int tokens = 256;

// Processor time of this thread, which is all there is: a neighbour on the same core does not
// count.
double now() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

double seconds_of(const auto& work) {
  const double start = now();
  work();
  return now() - start;
}

// Runs both in turns, each first every other time; reports `ours` and the ratio of the sums.
void compare(benchmark::State& state, double flops, const auto& ours, const auto& alone) {
  double our_seconds = 0, alone_seconds = 0;
  bool first = false;
  ours();
  alone();
  for (auto _ : state) {
    first = !first;
    if (first) alone_seconds += seconds_of(alone);
    const double seconds = seconds_of(ours);
    if (!first) alone_seconds += seconds_of(alone);
    our_seconds += seconds;
    state.SetIterationTime(seconds);
  }
  const auto rounds = static_cast<double>(state.iterations());
  state.counters["fraction"] = alone_seconds / our_seconds;
  state.counters["GFLOPs"] = flops * rounds / our_seconds / 1e9;
  state.counters["GFLOPs_alone"] = flops * rounds / alone_seconds / 1e9;
}

std::vector<float> values(std::size_t count) {
  std::vector<float> filled(count);
  for (std::size_t i = 0; i < count; ++i) {
    filled[i] = static_cast<float>(i * 7 % 31) / 31 - 0.5f;
  }
  return filled;
}

// Memory of one linear layer, twice: the trainer's and that of the direct calls.
struct layer {
  explicit layer(const linear_shape& s)
      : shape(s),
        x(values(std::size_t(s.rows) * std::size_t(s.in))),
        y(values(std::size_t(s.rows) * std::size_t(s.out))),
        weight(values(std::size_t(s.in) * std::size_t(s.out))),
        bias(values(std::size_t(s.out))),
        weight_gradient(weight.size()),
        bias_gradient(bias.size()),
        room(4 * bias.size()) {}
  [[nodiscard]] double flops() const {
    return 2.0 * shape.rows * shape.in * static_cast<double>(shape.out);
  }
  linear_shape shape;
  std::vector<float> x, y, weight, bias, weight_gradient, bias_gradient, room;
};

enum class direction : unsigned char { forward, input_gradient, weight_gradient };

// y = x W, dx = dy W^T or dW += x^T dy.
void alone(layer& l, direction which) {
  const auto& [m, in, out] = l.shape;
  switch (which) {
    case direction::forward:
      return cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, out, in, 1, l.x.data(), in,
                         l.weight.data(), out, 0, l.y.data(), out);
    case direction::input_gradient:
      return cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, in, out, 1, l.y.data(), out,
                         l.weight.data(), out, 0, l.x.data(), in);
    case direction::weight_gradient:
      return cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, in, out, m, 1, l.x.data(), in,
                         l.y.data(), out, 1, l.weight_gradient.data(), out);
  }
}

void ours(layer& l, direction which) {
  const auto& [m, in, out] = l.shape;
  const auto plain = operand::plain, transposed = operand::transposed;
  switch (which) {
    case direction::forward:
      return matmul(plain, plain, m, out, in, 1, l.x.data(), in, l.weight.data(), out, 0,
                    l.y.data(), out);
    case direction::input_gradient:
      return matmul(plain, transposed, m, in, out, 1, l.y.data(), out, l.weight.data(), out, 0,
                    l.x.data(), in);
    case direction::weight_gradient:
      return matmul(transposed, plain, in, out, m, 1, l.x.data(), in, l.y.data(), out, 1,
                    l.weight_gradient.data(), out);
  }
}

constexpr direction directions[] = {direction::forward, direction::input_gradient,
                                    direction::weight_gradient};

void product(benchmark::State& state, const linear_shape& shape, direction which) {
  layer mine(shape), theirs(shape);
  compare(
      state, mine.flops(), [&] { ours(mine, which); }, [&] { alone(theirs, which); });
}

void linear(benchmark::State& state, const linear_shape& shape) {
  layer mine(shape), theirs(shape);
  const auto typed = [](std::vector<float>& v) { return typed_span{v.data(), v.size(), {}}; };
  std::vector<float> input_gradient(mine.x.size());
  const linear_room room{nullptr, mine.room.data()};
  compare(
      state, 3 * mine.flops(),
      [&] {
        linear_forward(shape, mine.x.data(), typed(mine.weight), typed(mine.bias), nullptr,
                       mine.y.data(), room);
        linear_backward(shape, mine.x.data(), typed(mine.weight), mine.y.data(),
                        input_gradient.data(), typed(mine.weight_gradient),
                        typed(mine.bias_gradient), room);
      },
      [&] {
        for (const direction which : directions) alone(theirs, which);
      });
}

// Shapes of a block's four weights, with `tokens` rows.
std::vector<std::pair<const char*, linear_shape>> weights_of(const gpt_config& config) {
  const int c = config.channels;
  return {{"c_attn", {tokens, c, 3 * c}},
          {"attn.c_proj", {tokens, c, c}},
          {"c_fc", {tokens, c, 4 * c}},
          {"mlp.c_proj", {tokens, 4 * c, c}}};
}

void block(benchmark::State& state, gpt_config config, dtype storage) {
  config.layers = 1;
  gpt model(config, {1, tokens, recomputation::none, storage});
  const std::vector<std::int32_t> input(tokens, 1);
  block_parameters parameters;
  block_gradients gradients;
  std::vector<std::vector<float>> memory;  // zeros in any dtype; room enough for fp32
  const auto zeros = [&](std::uint64_t count) {
    memory.emplace_back(count);
    return typed_span{memory.back().data(), count, storage};
  };
  const auto sizes = block_sizes(config);
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    parameters[i] = zeros(sizes[i]);
    gradients[i] = zeros(sizes[i]);
  }
  const auto c = std::uint64_t(config.channels);
  model.embed_forward(input, 1, zeros(std::uint64_t(config.vocabulary) * c),
                      zeros(std::uint64_t(config.context) * c));
  std::vector<layer> layers;
  double flops = 0;
  for (const auto& [name, shape] : weights_of(config)) {
    layers.emplace_back(shape);
    flops += 3 * layers.back().flops();
  }
  compare(
      state, flops,
      [&] {
        model.block_forward(0, parameters);
        model.block_backward(0, parameters, gradients);
      },
      [&] {
        for (layer& l : layers) {
          for (const direction which : directions) alone(l, which);
        }
      });
}

void register_all() {
  const auto add = [](const std::string& name, const auto& run) {
    benchmark::RegisterBenchmark(name.c_str(), run)->UseManualTime()->Unit(benchmark::kMicrosecond);
  };
  constexpr const char* names[] = {"forward", "input_gradient", "weight_gradient"};
  for (const char* model : {"gpt-11m", "gpt-85m"}) {
    const gpt_config config = find_gpt(model);
    for (const auto& [weight, shape] : weights_of(config)) {
      const std::string name = std::string(model) + "/" + weight;
      for (std::size_t i = 0; i < 3; ++i) {
        add("product/" + name + "/" + names[i],
            [shape = shape, i](benchmark::State& s) { product(s, shape, directions[i]); });
      }
      add("linear/" + name, [shape = shape](benchmark::State& s) { linear(s, shape); });
    }
    for (const dtype storage : {dtype::fp32, dtype::bf16}) {
      add(std::string("block/") + model + "/" + name_of(storage),
          [config, storage](benchmark::State& s) { block(s, config, storage); });
    }
  }
}

}  // namespace
}  // namespace zero::trainer

int main(int argc, char** argv) {
  zero::trainer::check_blas();
  zero::trainer::set_blas_threads(1);
  zero::trainer::register_all();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
