#pragma once
// The ceilings: the plainest vector code that moves as many bytes, measured in the same process.
// And the one pass of a peer that the library has no use for.

#include <cstddef>
#include <cstdint>

namespace zero::bench {

// One array of a read-modify-write: `bytes` (a multiple of `step`) go by, `step` of them at a time
// before the next array's turn.
struct stream {
  void* data;
  std::size_t bytes;
  std::size_t step;  // a multiple of 64
};

// Exclusive-ors every byte with `mask`, in place, all streams abreast as an update does it.
void read_modify_write(const stream* streams, int count, std::uint32_t mask);

// The exclusive or of all 32-bit words.
[[nodiscard]] std::uint32_t read_all(const void* data, std::size_t bytes);

// values[i] *= factor.
void scale(float* values, std::size_t count, float factor);

}  // namespace zero::bench
