// set_blas_threads for OpenBLAS.

#include "trainer/blas.hpp"

extern "C" void openblas_set_num_threads(int);

namespace zero::trainer {

bool set_blas_threads(int threads) noexcept {
  openblas_set_num_threads(threads);
  return true;
}

}  // namespace zero::trainer
