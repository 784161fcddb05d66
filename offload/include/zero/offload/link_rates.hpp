#pragma once
// How fast bytes can go down and up a tier, measured in a moment: what the use of a link is held
// against in reports.

#include <zero/base/copier.hpp>
#include <zero/offload/tier_store.hpp>

#include <chrono>
#include <cstdint>

#pragma GCC visibility push(default)
namespace zero::offload {

struct link_rate {
  std::uint64_t bytes = 0;  // that were moved
  std::chrono::nanoseconds time{0};

  // Bytes a second; 0 where nothing was moved.
  [[nodiscard]] double rate() const noexcept {
    return time.count() > 0 ? static_cast<double>(bytes) * 1e9 / static_cast<double>(time.count())
                            : 0.0;
  }
};

// Of one direction: it ends with whatever comes first. Nothing is begun after that, and what is
// under way is waited for.
struct rate_limits {
  std::chrono::milliseconds time{300};
  std::uint64_t bytes = std::uint64_t{256} << 20;
};

struct store_rates {
  link_rate read;
  link_rate write;
};

// Writes the records of `scratch` in turn, over and over, as many at a time as its depth and the
// memory allow, and then reads those it has written. They hold anything afterwards: a store of
// one's own for this. `memory`: `bytes` of host memory aligned as the store says, which transfers
// use and overwrite. Bytes are counted as transferred, whole strides; a store of empty records
// has no rates. Blocks. Throws what the store throws, invalid_argument where the memory does not
// hold the largest record.
[[nodiscard]] store_rates measure_store(tier_store& scratch, void* memory, std::uint64_t bytes,
                                        const rate_limits& limits = {});

struct copier_rates {
  link_rate up;
  link_rate down;
};

// Copies `bytes` between memory of the host and of a device over and over, a few at a time: up,
// then down. `device` is overwritten, `host` gets back what it held. Blocks. Throws what the
// copier throws, invalid_argument for memory that is none.
[[nodiscard]] copier_rates measure_copier(copier& copies, void* host, void* device,
                                          std::uint64_t bytes, const rate_limits& limits = {});

}  // namespace zero::offload
#pragma GCC visibility pop
