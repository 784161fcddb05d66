#pragma once
// sum_of_squares on a device, in the order of pairwise_sum.hpp: what each thread does between the
// barriers of two kernels. Tests on the host run every thread in turn.
//
// First kernel: 8 threads sum one block of elements, each 4 of the 32 partial sums; a thread block
// sums `blocks_a_group` blocks, which is a subtree, into one number. Second kernel: one thread
// block adds up to `groups_a_tree` such numbers. Longer ranges are cut into trees.

#include "flat_range.hpp"
#include "pairwise_sum.hpp"

#include <zero/base/float16.hpp>

namespace zero::optim::detail {

inline constexpr unsigned threads_a_sum = sum_partials / pack_size;                     // 8
inline constexpr unsigned blocks_a_group = threads_of_block / threads_a_sum;            // 32
inline constexpr std::size_t group_elements = std::size_t{blocks_a_group} * sum_block;  // 65536
inline constexpr std::size_t groups_a_tree = 65536;
inline constexpr std::size_t tree_elements = group_elements * groups_a_tree;  // 2^32
inline constexpr std::size_t most_trees = 1024;
inline constexpr unsigned threads_of_tree = 1024;
static_assert((blocks_a_group & (blocks_a_group - 1)) == 0, "a group is a subtree");

// What the threads of the first kernel share. One row a block; the odd length spreads its columns
// over the banks of shared memory.
struct group_memory {
  double partial[blocks_a_group][sum_partials + 1];
  double sums[blocks_a_group];
};

// The squares of elements of one block whose index is 4 * part to 4 * part + 3 mod 32. `Packed`:
// values is aligned to packs.
template <bool Packed, class T>
ZERO_HOST_DEVICE inline void sum_part(const T* values, std::size_t count, unsigned part,
                                      double* partial) {
  double sums[pack_size] = {};
  const auto add = [&sums](std::size_t j, T value) {
    const double wide = to_float(value);
    sums[j] += wide * wide;  // the product is exact: 2 * 24 bits fit in 53
  };
  const std::size_t whole = count / sum_partials * sum_partials;
  const std::size_t own = pack_size * part;
#ifdef __CUDA_ARCH__
#pragma unroll 8
#endif
  for (std::size_t i = own; i < whole; i += sum_partials) {
    if constexpr (Packed) {
      const pack<T> four = load_pack(values + i);
      for (std::size_t j = 0; j < pack_size; ++j) add(j, four.values[j]);
    } else {
      for (std::size_t j = 0; j < pack_size; ++j) add(j, values[i + j]);
    }
  }
  for (std::size_t j = 0; j < pack_size && whole + own + j < count; ++j) {
    add(j, values[whole + own + j]);
  }
  for (std::size_t j = 0; j < pack_size; ++j) partial[own + j] = sums[j];
}

// First kernel, before the first barrier.
template <bool Packed, class T>
ZERO_HOST_DEVICE void sum_parts(const T* values, std::size_t count, unsigned group, unsigned thread,
                                group_memory& shared) {
  const std::size_t block = std::size_t{group} * blocks_a_group + thread / threads_a_sum;
  const std::size_t begin = block * sum_block;
  const std::size_t left = begin < count ? count - begin : 0;
  sum_part<Packed>(values + (left > 0 ? begin : 0), left < sum_block ? left : sum_block,
                   thread % threads_a_sum, shared.partial[thread / threads_a_sum]);
}

// After it.
ZERO_HOST_DEVICE inline void fold_block(unsigned thread, group_memory& shared) {
  if (thread < blocks_a_group)
    shared.sums[thread] = fold_partials(shared.partial[thread], sum_partials);
}

// One level of the tree over sums[0, size), between two barriers: width 1, 2, 4, ... size / 2.
ZERO_HOST_DEVICE inline void fold_level(unsigned thread, unsigned width, unsigned size,
                                        double* sums) {
  const unsigned i = 2 * width * thread;
  if (i + width < size) sums[i] += sums[i + width];
}

// Second kernel, before the first barrier: this thread's subtree over values[0, count).
ZERO_HOST_DEVICE inline void fold_own(const double* values, std::size_t count, unsigned thread,
                                      double* sums) {
  std::size_t length = 1;  // of each thread's share: a power of two
  while (length * threads_of_tree < count) length *= 2;
  pairwise_sum own;
  for (std::size_t i = thread * length; i < (thread + 1) * length && i < count; ++i) {
    own.add(values[i]);
  }
  sums[thread] = own.total();
}

}  // namespace zero::optim::detail
