// The fused update of every algorithm, against the bytes that it must move.
//
// Bytes of an element: 8 for the master and for each state, read and written, and once its size
// for the gradient and for the parameter copy. The ceiling reads and writes as many bytes in place:
// the fp32 arrays, and one more whose elements are half of gradient and copy together.
#include "cases.hpp"
#include "ceiling.hpp"

#include <zero/optim/update.hpp>

#include <optional>
#include <string>

namespace zero::bench {
namespace {

using optim::algorithm;

struct update_case {
  algorithm rule;
  dtype gradient;
  std::optional<dtype> copy;

  [[nodiscard]] std::size_t bytes() const {
    return 8 * (1 + static_cast<std::size_t>(optim::state_count(rule))) + streamed();
  }
  [[nodiscard]] std::size_t streamed() const {  // gradient in, copy out
    return size_of(gradient) + (copy ? size_of(*copy) : 0);
  }
  [[nodiscard]] std::string name() const {
    return std::string("update/") + optim::name_of(rule) + "/" + name_of(gradient) + "/" +
           (copy ? name_of(*copy) : "none");
  }
};

void update_range(arrays& a, const update_case& c, std::uint64_t step, std::size_t begin,
                  std::size_t end) {
  optim::update_spans spans;
  spans.count = end - begin;
  spans.master = a.master.data() + begin;
  spans.gradient = a.gradient(c.gradient).part(begin, spans.count);
  spans.state[0] = a.state0.data() + begin;
  spans.state[1] = a.state1.data() + begin;
  if (c.copy) {
    spans.parameter = typed_span{a.parameter.data(), a.count, *c.copy}.part(begin, end - begin);
  }
  optim::update(c.rule, optim::default_hyper(c.rule), {step, 0.5F}, spans);
}

void ceiling_range(arrays& a, const update_case& c, std::size_t begin, std::size_t end) {
  constexpr std::size_t block = 128;  // elements before the next array's turn
  std::vector<stream> streams;
  for (float* array : {a.master.data(), a.state0.data(), a.state1.data()}) {
    if (static_cast<int>(streams.size()) > optim::state_count(c.rule)) break;
    streams.push_back({array + begin, (end - begin) * 4, block * 4});
  }
  auto* half = reinterpret_cast<unsigned char*>(a.gradient32.data()) + begin * c.streamed() / 2;
  streams.push_back({half, (end - begin) * c.streamed() / 2, block * c.streamed() / 2});
  std::uint32_t mask = 0;  // unknown to the compiler, and leaves the values as they are
  benchmark::DoNotOptimize(mask);
  read_modify_write(streams.data(), static_cast<int>(streams.size()), mask);
}

void run_update(benchmark::State& state, arrays& a, const update_case& c) {
  std::uint64_t step = 100;
  measure(
      state, a.count, static_cast<double>(c.bytes()),
      [&](std::size_t begin, std::size_t end) { update_range(a, c, step, begin, end); },
      [&](std::size_t begin, std::size_t end) { ceiling_range(a, c, begin, end); });
}

}  // namespace

void register_updates(const settings& s, const shared_arrays& a) {
  for (const algorithm rule :
       {algorithm::adamw, algorithm::adam, algorithm::sgd, algorithm::lion, algorithm::adagrad}) {
    const update_case cases[] = {{rule, dtype::bf16, dtype::bf16},
                                 {rule, dtype::fp16, dtype::fp16},
                                 {rule, dtype::fp32, std::nullopt},
                                 {rule, dtype::fp32, dtype::bf16}};
    for (const update_case& c : cases) {
      on_threads(c.name(), s, [a, c](benchmark::State& state) { run_update(state, *a, c); });
    }
  }
}

}  // namespace zero::bench
