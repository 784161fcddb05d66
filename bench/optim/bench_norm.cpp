// bench_norm: the sum of squares against plain reading. --bytes is of an array of fp32.
#include "cases.hpp"
#include "ceiling.hpp"

#include <zero/optim/elementwise.hpp>

namespace zero::bench {
namespace {

void run_norm(benchmark::State& state, const gradient_arrays& a, dtype type) {
  const const_typed_span values = a.gradient(type);
  measure(
      state, a.count, static_cast<double>(size_of(type)),
      [&](std::size_t begin, std::size_t end) {
        benchmark::DoNotOptimize(optim::sum_of_squares(values.part(begin, end - begin)));
      },
      [&](std::size_t begin, std::size_t end) {
        const const_typed_span part = values.part(begin, end - begin);
        benchmark::DoNotOptimize(read_all(part.data, part.bytes()));
      });
}

void register_cases(const settings& s) {
  const auto a = std::make_shared<gradient_arrays>(elements_of(s.bytes));
  for (const dtype type : {dtype::fp32, dtype::bf16, dtype::fp16}) {
    on_threads(std::string("norm/") + name_of(type), s,
               [a, type](benchmark::State& state) { run_norm(state, *a, type); });
  }
}

}  // namespace
}  // namespace zero::bench

int main(int argc, char** argv) {
  return zero::bench::run(argc, argv, {15, 128 << 20, "/var/tmp"}, zero::bench::register_cases);
}
