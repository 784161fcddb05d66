#pragma once
// How the threads of a device share a flat range: index arithmetic alone, the same on the host,
// where tests run every thread in turn.
//
// A range is cut into a head, packs of 4 elements whose arrays all start at a multiple of the
// pack's bytes, and a tail. Threads next to each other take packs next to each other; each thread
// reads several packs before it writes the first. Head and tail go element by element; a range
// whose arrays are not aligned alike is all head.

#include <zero/base/host_device.hpp>

#include <cstddef>
#include <cstdint>

namespace zero::optim::detail {

inline constexpr std::size_t pack_size = 4;        // elements
inline constexpr unsigned packs_in_flight = 2;     // that a thread reads at once
inline constexpr unsigned threads_of_block = 256;  // of every kernel on flat ranges

// 4 elements that one access reads or writes: 16 bytes of fp32, 8 of a 16-bit type.
template <class T>
struct alignas(pack_size * sizeof(T)) pack {
  T values[pack_size];
};

template <class T>
[[nodiscard]] ZERO_HOST_DEVICE inline pack<T> load_pack(const T* from) noexcept {
  return *reinterpret_cast<const pack<T>*>(from);
}
template <class T>
ZERO_HOST_DEVICE inline void store_pack(const pack<T>& pack_of, T* to) noexcept {
#ifdef __CUDA_ARCH__  // said outright, or nvcc may store element by element
  const T(&v)[pack_size] = pack_of.values;
  if constexpr (sizeof(T) == 4) {
    __stwb(reinterpret_cast<float4*>(to), make_float4(v[0], v[1], v[2], v[3]));
  } else {
    const auto word = [&v](int i) {
      return std::uint32_t{v[i].bits} | std::uint32_t{v[i + 1].bits} << 16;
    };
    __stwb(reinterpret_cast<uint2*>(to), make_uint2(word(0), word(2)));
  }
#else
  *reinterpret_cast<pack<T>*>(to) = pack_of;
#endif
}

// One thread of a launch.
struct grid_place {
  unsigned block, blocks, thread, threads;
};

struct flat_cut {
  std::size_t head = 0;   // elements
  std::size_t packs = 0;  // of pack_size elements
  std::size_t tail = 0;   // elements

  // Thread blocks that have work, each thread once: what a launch needs at most.
  [[nodiscard]] constexpr std::size_t blocks() const noexcept {
    const std::size_t of_packs = threads_of_block * packs_in_flight;
    const std::size_t edge = head > tail ? head : tail;
    const std::size_t a = (packs + of_packs - 1) / of_packs;
    const std::size_t b = (edge + threads_of_block - 1) / threads_of_block;
    return a > b ? a : b;
  }
};

// Cuts a range of arrays one by one: align() takes every array of the range, of() gives the cut.
class flat_cutter {
 public:
  explicit flat_cutter(std::size_t count) noexcept : count_(count) {}

  // An array of elements of `size` bytes. Null: not there.
  void align(const void* array, std::size_t size) noexcept {
    if (array == nullptr) return;
    const auto address = reinterpret_cast<std::uintptr_t>(array);
    const std::size_t elements = address / size % pack_size;  // beyond the last boundary
    const std::size_t head = (pack_size - elements) % pack_size;
    if (address % size != 0 || (known_ && head != head_)) alike_ = false;
    head_ = head;
    known_ = true;
  }
  [[nodiscard]] flat_cut cut() const noexcept {
    if (!alike_ || count_ < head_ + pack_size) return {count_, 0, 0};
    const std::size_t packs = (count_ - head_) / pack_size;
    return {head_, packs, count_ - head_ - packs * pack_size};
  }

 private:
  std::size_t count_;
  std::size_t head_ = 0;
  bool known_ = false;
  bool alike_ = true;
};

// What one thread does: pass.load(i) and pass.finish(i, loaded) for packs that start at element i,
// pass.element(i) for single elements. Whatever the grid, each element is done once.
template <class Pass>
ZERO_HOST_DEVICE void run_thread(const Pass& pass, const flat_cut& cut, const grid_place& at) {
  const std::size_t tile = std::size_t{at.threads} * packs_in_flight;
  for (std::size_t first = at.block * tile; first < cut.packs; first += at.blocks * tile) {
    typename Pass::loaded values[packs_in_flight];
#ifdef __CUDA_ARCH__
#pragma unroll
#endif
    for (unsigned u = 0; u < packs_in_flight; ++u) {
      // Past the end the last pack is read in vain: no access waits for a comparison.
      const std::size_t p = first + std::size_t{u} * at.threads + at.thread;
      values[u] = pass.load(cut.head + (p < cut.packs ? p : cut.packs - 1) * pack_size);
    }
#ifdef __CUDA_ARCH__
#pragma unroll
#endif
    for (unsigned u = 0; u < packs_in_flight; ++u) {
      const std::size_t p = first + std::size_t{u} * at.threads + at.thread;
      if (p < cut.packs) pass.finish(cut.head + p * pack_size, values[u]);
    }
  }
  const std::size_t stride = std::size_t{at.blocks} * at.threads;
  const std::size_t own = std::size_t{at.block} * at.threads + at.thread;
  for (std::size_t i = own; i < cut.head; i += stride) pass.element(i);
  const std::size_t tail = cut.head + cut.packs * pack_size;
  for (std::size_t i = own; i < cut.tail; i += stride) pass.element(tail + i);
}

}  // namespace zero::optim::detail
