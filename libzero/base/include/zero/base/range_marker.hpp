#pragma once
// range_marker: names what a thread does while the object lives, for profilers (NVTX ranges of the
// domain "libzero"). Nothing where the library was built without CUDA.
//
// Objects of one thread end in the order opposite to that in which they began. Allocates nothing.

#pragma GCC visibility push(default)
namespace zero {

class range_marker {
 public:
  // `name`: static storage, a verb.
  explicit range_marker(const char* name) noexcept;
  range_marker(const range_marker&) = delete;
  range_marker& operator=(const range_marker&) = delete;
  ~range_marker();
};

}  // namespace zero
#pragma GCC visibility pop
