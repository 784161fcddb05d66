#include "cuda/ordered_sum.hpp"
#include "cuda/ordered_sum_cuda.hpp"

#include <algorithm>

namespace zero::collectives {
namespace {

template <class In, class Out>
__global__ void __launch_bounds__(detail::threads_of_block)
    sum_kernel(const __grid_constant__ detail::summands s) {
  detail::sum_thread<In, Out>(s, std::size_t{blockIdx.x} * blockDim.x + threadIdx.x,
                              std::size_t{gridDim.x} * blockDim.x);
}

template <class In, class Out>
void launch(cudaStream_t queue, unsigned blocks_at_once, detail::summands s) {
  detail::cut<In, Out>(s);
  const std::size_t blocks = std::min<std::size_t>(detail::blocks_of<In>(s), blocks_at_once);
  cuda::launch("ordered_sum", sum_kernel<In, Out>, static_cast<unsigned>(blocks),
               detail::threads_of_block, 0, queue, s);
}

}  // namespace

void sum_on(cudaStream_t queue, unsigned blocks_at_once, const void* const* from,
            std::size_t sources, dtype in, void* out, dtype out_type, std::size_t count,
            write_mode mode) {
  if (count == 0) return;
  if (sources < 1 || sources > detail::most_summed) {
    throw invalid_argument("[collectives.cuda] a sum over " + std::to_string(sources) +
                           " sources: accepted are 1 to " + std::to_string(detail::most_summed));
  }
  detail::summands s{};
  std::copy(from, from + sources, s.from);
  s.out = out;
  s.count = count;
  s.sources = static_cast<unsigned>(sources);
  s.accumulates = mode == write_mode::accumulate;
  if (in == dtype::fp32) return launch<float, float>(queue, blocks_at_once, s);
  if (in == dtype::bf16) {
    return out_type == dtype::bf16 ? launch<bf16_t, bf16_t>(queue, blocks_at_once, s)
                                   : launch<bf16_t, float>(queue, blocks_at_once, s);
  }
  return out_type == dtype::fp16 ? launch<fp16_t, fp16_t>(queue, blocks_at_once, s)
                                 : launch<fp16_t, float>(queue, blocks_at_once, s);
}

}  // namespace zero::collectives
