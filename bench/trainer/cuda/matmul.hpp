#pragma once
// matmul: matrix products by cuBLASLt on one stream. What cuBLASLt finds best for a shape is asked
// for once and kept; workspace is the caller's. fp32 accumulation always; fp32 products are not cut
// to TF32.
//
// Shape and alignment class alone choose the algorithm, split sums are added in fp32 in a fixed
// order: the same inputs give the same bits. One object, one thread; memory is taken only for a
// shape that is new.

#include "trainer/cuda/product.hpp"

#include <zero/base/stream.hpp>

#include <cstddef>
#include <memory>

namespace zero::trainer::cuda {

// Bytes of workspace that products go fast with.
inline constexpr std::size_t matmul_workspace = std::size_t{32} << 20;

struct product_operands {
  const void* a = nullptr;
  const void* b = nullptr;
  const void* c = nullptr;  // what is added to where product::adds; may be d
  void* d = nullptr;
  float alpha = 1.0F;
  const void* bias = nullptr;  // of the epilogue
  void* aside = nullptr;       // what gelu_bias writes and gelu_slope reads
};

class matmul {
 public:
  // `workspace` of matmul_workspace bytes on the device of `queue`; both must outlive this. Throws
  // cuda_error.
  matmul(stream& queue, void* workspace);
  ~matmul();
  matmul(const matmul&) = delete;
  matmul& operator=(const matmul&) = delete;

  // Whether cuBLASLt has the product with its epilogue. Where it has not, and for shapes that are
  // not aligned, the caller does without one.
  [[nodiscard]] bool has(const product& shape);

  // Queues the product; nothing where m, n or k is 0. Throws cuda_error, also if cuBLASLt has no
  // algorithm for it; invalid_argument for operands that are less aligned than their shape says.
  void run(const product& shape, const product_operands& operands);

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace zero::trainer::cuda
