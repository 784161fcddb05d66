// AdamW with states and weights in fewer bits, turn by turn with the update of fp32 states and an
// fp32 master: bf16 gradients in, bf16 parameters out. `over_fp32`: how many times as fast;
// `bytes`: what an element moves, 28 in fp32. The ceiling reads and writes as many in place.
#include "cases.hpp"
#include "ceiling.hpp"

#include <zero/optim/packed.hpp>

#include <algorithm>
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

// Elements of the first half of the arrays, or of the second.
void update_range(arrays& a, bool second, const optimizer_formats& formats, std::uint64_t step,
                  std::size_t begin, std::size_t end) {
  const std::size_t skipped = second ? a.count / 2 : 0;
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

// Makes the second half what a run in other formats begins with.
void reset_second_half(arrays& a) {
  const std::size_t half = a.count / 2;
  std::memset(a.state0.data() + half, 0, half * sizeof(float));
  std::memset(a.state1.data() + half, 0, half * sizeof(float));
  for (std::size_t i = half; i < a.count; ++i) {
    a.parameter.data()[i] = to_bf16(a.master.data()[i - half]);
  }
}

// Half of `bytes` an element of [begin, end), read and written: four bytes of each array in turn.
void ceiling_range(arrays& a, double bytes, std::size_t begin, std::size_t end) {
  constexpr std::size_t block = 128;  // elements before the next array's turn
  auto left = static_cast<std::size_t>(bytes / 2 * block);
  std::vector<stream> streams;
  for (float* const array :
       {a.master.data(), a.state0.data(), a.state1.data(), a.gradient32.data()}) {
    const std::size_t step = std::min(left, 4 * block) / 64 * 64;
    left -= step;
    if (step == 0) break;
    auto* const at = reinterpret_cast<std::byte*>(array) + begin / block * step;
    streams.push_back({at, (end - begin) / block * step, step});
  }
  std::uint32_t mask = 0;
  benchmark::DoNotOptimize(mask);
  read_modify_write(streams.data(), static_cast<int>(streams.size()), mask);
}

void run_format(benchmark::State& state, arrays& a, const optimizer_formats& formats) {
  const int threads = static_cast<int>(state.range(0));
  const std::size_t half = a.count / 2;
  reset_second_half(a);
  std::uint64_t step = 0;
  std::vector<double> ratios;
  const auto seconds_in = [&](bool second, const optimizer_formats& f) {
    return seconds_of(threads, half, [&](std::size_t begin, std::size_t end) {
      update_range(a, second, f, step, begin, end);
    });
  };
  take_turns(
      state, bytes_of(formats) * static_cast<double>(half),
      [&] {
        ++step;
        const double full = seconds_in(false, {});
        const double seconds = seconds_in(true, formats);
        ratios.push_back(full / seconds);
        return seconds;
      },
      [&] {
        return seconds_of(threads, half, [&](std::size_t begin, std::size_t end) {
          ceiling_range(a, bytes_of(formats), begin, end);
        });
      });
  state.counters["bytes"] = bytes_of(formats);
  state.counters["over_fp32"] = median(ratios);
}

}  // namespace

void register_formats(const settings& s, const shared_arrays& a) {
  for (const state_format states : {state_format::fp32, state_format::bf16, state_format::block8}) {
    for (const master_format master :
         {master_format::fp32, master_format::remainder, master_format::none}) {
      const optimizer_formats formats{states, master};
      const std::string name = std::string("formats/") + name_of(states) + "/" + name_of(master);
      on_threads(name, s,
                 [a, formats](benchmark::State& state) { run_format(state, *a, formats); });
    }
  }
}

}  // namespace zero::bench
