#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>
#include <zero/offload/link_rates.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

namespace zero::offload {
namespace {

using clock = std::chrono::steady_clock;

struct queued_move {
  std::uint64_t bytes;
  completion done;
};

// Waits until no memory is in use any more.
void give_up(const std::vector<completion>& under_way) {
  for (const completion& done : under_way) {
    try {
      done.wait();
    } catch (...) {  // the first error is the one that counts
    }
  }
}

// Queues move(i), which returns the bytes it moves and when they are there, for i = 0, 1, ... with
// as many under way as there are places, until a limit is reached; then waits for all.
template <typename Move>
link_rate measure(std::size_t places, const rate_limits& limits, const Move& move) {
  std::vector<completion> under_way(places);
  link_rate rate;
  const auto begin = clock::now();
  try {
    for (std::size_t i = 0; rate.bytes < limits.bytes && clock::now() - begin < limits.time; ++i) {
      completion& place = under_way[i % places];
      place.wait();
      const queued_move queued = move(i);
      place = queued.done;
      rate.bytes += queued.bytes;
    }
    for (const completion& done : under_way) done.wait();
  } catch (...) {
    give_up(under_way);
    throw;
  }
  rate.time = clock::now() - begin;
  return rate;
}

}  // namespace

store_rates measure_store(tier_store& scratch, void* memory, std::uint64_t bytes,
                          const rate_limits& limits) {
  std::vector<std::size_t> records;
  std::uint64_t largest = 0;
  for (std::size_t i = 0; i < scratch.records(); ++i) {
    if (scratch.stride(i) == 0) continue;
    records.push_back(i);
    largest = std::max(largest, scratch.stride(i));
  }
  if (records.empty()) return {};
  const std::uint64_t place = round_up(largest, scratch.alignment());
  const std::size_t places = std::min<std::uint64_t>(scratch.depth(), bytes / place);
  if (places == 0 || memory == nullptr) {
    throw invalid_argument("[offload.link_rates] memory of " + std::to_string(bytes) +
                           " bytes for records of " + std::to_string(largest));
  }
  const auto at = [&](std::size_t i) {
    return static_cast<std::byte*>(memory) + i % places * place;
  };
  store_rates rates;
  std::size_t written = 0;
  rates.write = measure(places, limits, [&](std::size_t i) -> queued_move {
    const std::size_t record = records[i % records.size()];
    written = std::max(written, i % records.size() + 1);
    return {scratch.stride(record), scratch.write(record, at(i))};
  });
  if (written == 0) return rates;
  rates.read = measure(places, limits, [&](std::size_t i) -> queued_move {
    const std::size_t record = records[i % written];
    return {scratch.stride(record), scratch.read(record, at(i))};
  });
  return rates;
}

copier_rates measure_copier(copier& copies, void* host, void* device, std::uint64_t bytes,
                            const rate_limits& limits) {
  if (bytes == 0) return {};
  if (host == nullptr || device == nullptr) {
    throw invalid_argument("[offload.link_rates] no memory to copy between");
  }
  constexpr std::size_t at_a_time = 4;  // one is copied, others wait for it to be done
  copier_rates rates;
  rates.up = measure(at_a_time, limits, [&](std::size_t) -> queued_move {
    return {bytes, copies.copy(host, device, bytes, copy_way::up)};
  });
  rates.down = measure(at_a_time, limits, [&](std::size_t) -> queued_move {
    return {bytes, copies.copy(device, host, bytes, copy_way::down)};
  });
  return rates;
}

}  // namespace zero::offload
