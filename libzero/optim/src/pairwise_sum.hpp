#pragma once
// The order in which sum_of_squares adds, for the host and for devices.
//
// Elements are summed in blocks of 2048. In a block, 32 partial sums run over the elements i mod
// 32, from the first on; then each of the first 16 takes the one 16 further, then 8, 4, 2, 1. The
// sums of the blocks are added in neighbouring pairs, the sums of the pairs again, until one is
// left; where one has no neighbour it goes up as it is, which is what adding +0 gives, since no sum
// of squares is -0. So any run of 2^k blocks that starts at a multiple of 2^k is a subtree that can
// be summed by itself.

#include <zero/base/host_device.hpp>

#include <cstddef>
#include <cstdint>

namespace zero::optim::detail {

inline constexpr std::size_t sum_partials = 32;
inline constexpr std::size_t sum_block = 2048;  // elements; a multiple of sum_partials

// The sum of a block from its partial sums, or of what is left of them after some halvings. They
// are used up.
[[nodiscard]] ZERO_HOST_DEVICE inline double fold_partials(double* partial,
                                                           std::size_t count) noexcept {
  for (std::size_t width = count / 2; width > 0; width /= 2) {
    for (std::size_t i = 0; i < width; ++i) partial[i] += partial[i + width];
  }
  return partial[0];
}

// Adds numbers, given from left to right, in neighbouring pairs. Keeps one number a level.
class pairwise_sum {
 public:
  ZERO_HOST_DEVICE void add(double value) noexcept {
    int level = 0;
    for (std::uint64_t full = count_; (full & 1) != 0; full >>= 1) {
      value = waiting_[level++] + value;
    }
    waiting_[level] = value;
    ++count_;
  }
  // 0 of nothing.
  [[nodiscard]] ZERO_HOST_DEVICE double total() const noexcept {
    bool any = false;
    double sum = 0.0;
    int level = 0;
    for (std::uint64_t full = count_; full != 0; full >>= 1, ++level) {
      if ((full & 1) == 0) continue;
      sum = any ? waiting_[level] + sum : waiting_[level];
      any = true;
    }
    return sum;
  }

 private:
  double waiting_[64];  // [l]: the sum of 2^l numbers that has no right neighbour yet
  std::uint64_t count_ = 0;
};

}  // namespace zero::optim::detail
