// A whole step of the host: the norm, then unscale, clip, AdamW and cast as one pass, bf16
// gradients in and bf16 parameters out. Beside it the same step as separate passes over whole
// arrays, and a ceiling for the bytes it must move, all of them turn by turn.
//
// Bytes that must move, of an element: 2 for the norm, and 2 + 4 + 4 + 4 read and 4 + 4 + 4 + 2
// written by the update. Gradients count twice: the clip factor is not known before the last of
// them has been read, and by then the first have left the caches. The ceiling reads 2 bytes, then
// reads and writes 14 in place in four arrays.
#include "cases.hpp"
#include "ceiling.hpp"

#include <zero/optim/elementwise.hpp>
#include <zero/optim/update.hpp>

#include <algorithm>
#include <cmath>

namespace zero::bench {
namespace {

constexpr double bytes_of_element = 2 + (2 + 4 + 4 + 4) + (4 + 4 + 4 + 2);
constexpr double loss_scale = 1024.0;

// Adds up what the threads' ranges come to; the sum serves as the norm of a step.
class sum_of_ranges {
 public:
  sum_of_ranges(int threads, std::size_t count) : threads_(threads), count_(count) {}
  template <typename Work>
  double seconds(double* sum, const Work& work) const {
    std::vector<double> parts(static_cast<std::size_t>(threads_), 0.0);
    const std::size_t share = count_ / static_cast<std::size_t>(threads_) / 128 * 128;
    const double taken = seconds_of(threads_, count_, [&](std::size_t begin, std::size_t end) {
      parts[std::min(begin / share, parts.size() - 1)] = work(begin, end);
    });
    for (const double part : parts) *sum += part;
    return taken;
  }

 private:
  int threads_;
  std::size_t count_;
};

float factor_of(double squares) {
  const double norm = std::sqrt(squares) / loss_scale;
  return static_cast<float>(std::min(1.0, 0.5 / (norm + 1e-6)) / loss_scale);
}

void update(arrays& a, const_typed_span gradient, bool copies, float factor, std::size_t begin,
            std::size_t end) {
  optim::update_spans spans;
  spans.count = end - begin;
  spans.master = a.master.data() + begin;
  spans.gradient = gradient.part(begin, spans.count);
  spans.state[0] = a.state0.data() + begin;
  spans.state[1] = a.state1.data() + begin;
  if (copies) spans.parameter = {a.parameter.data() + begin, spans.count, dtype::bf16};
  const auto rule = optim::algorithm::adamw;
  optim::update(rule, optim::default_hyper(rule), {100, factor}, spans);
}

// The norm, and everything else in one pass.
double seconds_together(arrays& a, int threads) {
  const const_typed_span gradient = a.gradient(dtype::bf16);
  double squares = 0.0;
  const double of_norm =
      sum_of_ranges(threads, a.count).seconds(&squares, [&](std::size_t begin, std::size_t end) {
        return optim::sum_of_squares(gradient.part(begin, end - begin));
      });
  const float factor = factor_of(squares);
  return of_norm + seconds_of(threads, a.count, [&](std::size_t begin, std::size_t end) {
           update(a, gradient, true, factor, begin, end);
         });
}

// Widen, norm, scale, update, narrow: each over whole arrays, each as fast as the library does it.
// The norm is taken of the 16-bit gradients, half the bytes of the widened ones.
double seconds_apart(arrays& a, int threads) {
  const const_typed_span gradient = a.gradient(dtype::bf16);
  const typed_span wide{a.gradient32.data(), a.count, dtype::fp32};
  const typed_span master{a.master.data(), a.count, dtype::fp32};
  const typed_span parameter{a.parameter.data(), a.count, dtype::bf16};
  double squares = 0.0;
  double seconds = seconds_of(threads, a.count, [&](std::size_t begin, std::size_t end) {
    optim::convert(gradient.part(begin, end - begin), wide.part(begin, end - begin));
  });
  seconds +=
      sum_of_ranges(threads, a.count).seconds(&squares, [&](std::size_t begin, std::size_t end) {
        return optim::sum_of_squares(gradient.part(begin, end - begin));
      });
  const float factor = factor_of(squares);
  seconds += seconds_of(threads, a.count, [&](std::size_t begin, std::size_t end) {
    scale(a.gradient32.data() + begin, end - begin, factor);
  });
  seconds += seconds_of(threads, a.count, [&](std::size_t begin, std::size_t end) {
    update(a, wide, false, 1.0F, begin, end);
  });
  return seconds + seconds_of(threads, a.count, [&](std::size_t begin, std::size_t end) {
           optim::convert(master.part(begin, end - begin), parameter.part(begin, end - begin));
         });
}

// Reads 2 bytes an element; then reads and writes 4, 4, 4 and 2, abreast.
double seconds_of_ceiling(arrays& a, int threads) {
  constexpr std::size_t block = 128;  // elements before the next array's turn
  const double reading = seconds_of(threads, a.count, [&](std::size_t begin, std::size_t end) {
    benchmark::DoNotOptimize(read_all(a.gradient_bf16.data() + begin, (end - begin) * 2));
  });
  return reading + seconds_of(threads, a.count, [&](std::size_t begin, std::size_t end) {
           const std::size_t count = end - begin;
           const stream streams[] = {{a.master.data() + begin, count * 4, block * 4},
                                     {a.state0.data() + begin, count * 4, block * 4},
                                     {a.state1.data() + begin, count * 4, block * 4},
                                     {a.parameter.data() + begin, count * 2, block * 2}};
           std::uint32_t mask = 0;  // unknown to the compiler, and leaves the values as they are
           benchmark::DoNotOptimize(mask);
           read_modify_write(streams, 4, mask);
         });
}

void run_step(benchmark::State& state, arrays& a) {
  const int threads = static_cast<int>(state.range(0));
  std::vector<double> ratios;
  take_turns(
      state, bytes_of_element * static_cast<double>(a.count),
      [&] {
        const double apart = seconds_apart(a, threads);
        const double seconds = seconds_together(a, threads);
        ratios.push_back(apart / seconds);
        return seconds;
      },
      [&] { return seconds_of_ceiling(a, threads); });
  state.counters["over_separate"] = median(ratios);
}

}  // namespace

void register_steps(const settings& s, const shared_arrays& a) {
  on_threads("step/adamw/bf16/bf16", s, [a](benchmark::State& state) { run_step(state, *a); });
}

}  // namespace zero::bench
