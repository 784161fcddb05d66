// AdamW with states and weights in fewer bits, turn by turn with the update of fp32 states and an
// fp32 master: bf16 gradients in, bf16 parameters out. `over_fp32`: how many times as fast;
// `bytes`: what an element moves, 28 in fp32.
#include "cases.hpp"

#include <zero/optim/packed.hpp>

#include <cstring>
#include <string>

namespace zero::bench {
namespace {

using optim::master_format;
using optim::optimizer_formats;
using optim::state_format;

double bytes_of(const optimizer_formats& f) {
  const double states = 2 * 2 * static_cast<double>(block_bytes(f.states)) / 128;
  const double weights = 2 * static_cast<double>(block_bytes(f.master)) / 128;
  const double parameter = f.master == master_format::fp32 ? 2 : 4;
  return states + weights + parameter + 2;
}

constexpr std::size_t half = element_count / 2;

// Elements of the first half of the arrays, or of the second.
void update_range(arrays& a, bool second, const optimizer_formats& formats, std::uint64_t step,
                  std::size_t begin, std::size_t end) {
  const std::size_t skipped = second ? half : 0;
  optim::packed_spans s;
  s.count = end - begin;
  s.formats = formats;
  s.gradient = a.gradient(dtype::bf16).part(skipped + begin, s.count);
  const auto at = [skipped, begin](float* array, std::uint32_t bytes) {
    return reinterpret_cast<std::byte*>(array + skipped) + begin / optim::format_block * bytes;
  };
  s.master = formats.master == master_format::none
                 ? nullptr
                 : at(a.master.data(), block_bytes(formats.master));
  s.state[0] = at(a.state0.data(), block_bytes(formats.states));
  s.state[1] = at(a.state1.data(), block_bytes(formats.states));
  s.parameter = {a.parameter.data() + skipped + begin, s.count, dtype::bf16};
  s.first_element = begin;
  const optim::update_run whole[] = {{0, s.count, {}}};
  optim::update_packed(optim::algorithm::adamw, whole, {step, 0.5F}, s);
}

void run_format(benchmark::State& state, arrays& a, const optimizer_formats& formats) {
  const int threads = static_cast<int>(state.range(0));
  std::memset(a.state0.data() + half, 0, half * sizeof(float));
  std::memset(a.state1.data() + half, 0, half * sizeof(float));
  for (std::size_t i = half; i < element_count; ++i) {
    a.parameter.data()[i] = to_bf16(a.master.data()[i - half]);
  }
  const std::size_t share =
      half / static_cast<std::size_t>(threads) / optim::format_block * optim::format_block;
  std::uint64_t step = 0;
  const auto seconds_in = [&](bool second, const optimizer_formats& f) {
    return seconds_of(threads, [&](std::size_t begin, std::size_t) {
      const std::size_t own = begin * static_cast<std::size_t>(threads) / element_count * share;
      update_range(a, second, f, step, own, own + share);
    });
  };
  std::vector<double> ratios, rates;
  for (auto _ : state) {
    ++step;
    const double full = seconds_in(false, {});
    const double seconds = seconds_in(true, formats);
    state.SetIterationTime(seconds);
    ratios.push_back(full / seconds);
    rates.push_back(bytes_of(formats) * static_cast<double>(half) * 1e-9 / seconds);
  }
  state.counters["bytes"] = bytes_of(formats);
  state.counters["GB/s"] = median(rates);
  state.counters["over_fp32"] = median(ratios);
}

}  // namespace

void register_formats(arrays& a) {
  for (const state_format states : {state_format::fp32, state_format::bf16, state_format::block8}) {
    for (const master_format master :
         {master_format::fp32, master_format::remainder, master_format::none}) {
      const optimizer_formats formats{states, master};
      const std::string name = std::string("formats/") + name_of(states) + "/" + name_of(master);
      configure(benchmark::RegisterBenchmark(
          name.c_str(), [&a, formats](benchmark::State& s) { run_format(s, a, formats); }));
    }
  }
}

}  // namespace zero::bench
