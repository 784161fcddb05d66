// set_blas_threads for a CBLAS that has no call for it.

#include "trainer/blas.hpp"

namespace zero::trainer {

bool set_blas_threads(int) noexcept { return false; }

}  // namespace zero::trainer
