#pragma once
// How a pass over a flat range (flat_passes.hpp) becomes a launch.

#include "flat_range.hpp"
#include "kernels.hpp"

#include <algorithm>

namespace zero::optim::kernels {

// Resident at once on every multiprocessor, at least: 64 registers a thread.
inline constexpr unsigned blocks_a_multiprocessor = 4;

[[nodiscard]] inline unsigned blocks_for(const queue_of& queue, const detail::flat_cut& cut) {
  return static_cast<unsigned>(std::min<std::size_t>(cut.blocks(), queue.blocks_at_once));
}

__device__ inline detail::grid_place own_place() {
  return {blockIdx.x, gridDim.x, threadIdx.x, blockDim.x};
}

template <class Pass>
__global__ void __launch_bounds__(detail::threads_of_block, blocks_a_multiprocessor)
    run_pass(Pass pass, detail::flat_cut cut) {
  detail::run_thread(pass, cut, own_place());
}

template <class Pass>
void launch_pass(const queue_of& queue, const char* name, const Pass& pass,
                 const detail::flat_cut& cut) {
  cuda::launch(name, run_pass<Pass>, blocks_for(queue, cut), detail::threads_of_block, 0,
               queue.stream, pass, cut);
}

}  // namespace zero::optim::kernels
