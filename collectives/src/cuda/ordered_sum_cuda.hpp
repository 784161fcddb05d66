#pragma once
// Queues the kernel of ordered_sum.hpp.

#include <zero/base/dtype.hpp>
#include <zero/base/native_cuda.hpp>
#include <zero/collectives/communicator.hpp>

#include <cstddef>

namespace zero::collectives {

// sum() of sum.hpp on `queue`, whose device is current, by at most `blocks_at_once` blocks. Throws
// cuda_error.
void sum_on(cudaStream_t queue, unsigned blocks_at_once, const void* const* from,
            std::size_t sources, dtype in, void* out, dtype out_type, std::size_t count,
            write_mode mode);

}  // namespace zero::collectives
