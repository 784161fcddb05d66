// The update of packed spans: a warp a block, as packed_warp.hpp shares it out. Runs travel as
// arguments of the launch; their scalars are computed once a thread block, from what the decision
// says in device memory.
#include "flat_launch.cuh"
#include "packed_warp.hpp"

#include <algorithm>

namespace zero::optim::kernels {
namespace {

constexpr unsigned threads = detail::threads_of_block;
constexpr unsigned warps = threads / detail::warp_lanes;
constexpr unsigned every_lane = 0xffffffffU;

template <class Rule>
__global__ void __launch_bounds__(threads)
    update_blocks(const __grid_constant__ packed_spans spans,
                  const __grid_constant__ detail::run_batch batch, algorithm a,
                  const step_decision* decision) {
  __shared__ detail::run_scalars runs[detail::most_runs];
  if (decision->applied == 0) return;  // alike in every thread
  const std::uint64_t step = decision->steps;
  for (unsigned r = threadIdx.x; r < batch.count; r += threads) {
    const update_run& run = batch.runs[r];
    runs[r].begin = run.offset;
    runs[r].end = run.offset + run.count;
    runs[r].k = detail::make_scalars(a, run.constants, {step, decision->gradient_scale});
  }
  __syncthreads();
  const unsigned lane = threadIdx.x % detail::warp_lanes;
  std::uint64_t block =
      batch.first_block + std::uint64_t{blockIdx.x} * warps + threadIdx.x / detail::warp_lanes;
  for (; block < batch.end_block; block += std::uint64_t{gridDim.x} * warps) {
    const auto own = detail::update_lane<Rule>(spans, a, runs, batch.count, block, lane);
    const std::uint32_t largest0 = __reduce_max_sync(every_lane, own.largest(0));
    const std::uint32_t largest1 = __reduce_max_sync(every_lane, own.largest(1));
    if (!__any_sync(every_lane, own.touched())) continue;
    detail::store_lane<Rule>(spans, a, step, own, largest0, largest1, block, lane);
  }
}

// Rare, and bound by memory: an element a thread.
__global__ void __launch_bounds__(threads)
    split_all(const float* values, std::size_t count, bf16_t* parameter, std::uint16_t* remainder) {
  const std::size_t stride = std::size_t{gridDim.x} * threads;
  for (std::size_t i = std::size_t{blockIdx.x} * threads + threadIdx.x; i < count; i += stride) {
    const detail::split_weight both = detail::split(values[i]);
    parameter[i] = both.parameter;
    remainder[i] = both.remainder;
  }
}

__global__ void __launch_bounds__(threads)
    join_all(const bf16_t* parameter, const std::uint16_t* remainder, std::size_t count,
             float* values) {
  const std::size_t stride = std::size_t{gridDim.x} * threads;
  for (std::size_t i = std::size_t{blockIdx.x} * threads + threadIdx.x; i < count; i += stride) {
    values[i] = detail::join(parameter[i], remainder[i]);
  }
}

// Thread blocks for `count` pieces of work, so many a thread block.
unsigned grid_for(const queue_of& queue, std::uint64_t count, std::uint64_t of_block) {
  return static_cast<unsigned>(
      std::min<std::uint64_t>((count + of_block - 1) / of_block, queue.blocks_at_once * 2));
}

// With fp32 everywhere each run is an update of its own.
void update_runs(const queue_of& queue, algorithm a, span<const update_run> runs,
                 const step_decision* decision, const packed_spans& spans) {
  for (const update_run& run : runs) {
    if (run.count == 0) continue;
    update_spans s;
    s.count = run.count;
    s.gradient = spans.gradient.part(run.offset, run.count);
    s.master = static_cast<float*>(spans.master) + run.offset;
    for (int i = 0; i < state_count(a); ++i) {
      s.state[i] = static_cast<float*>(spans.state[i]) + run.offset;
    }
    if (spans.parameter.data != nullptr) s.parameter = spans.parameter.part(run.offset, run.count);
    update(queue, a, run.constants, decision, s);
  }
}

}  // namespace

void update_packed(const queue_of& queue, algorithm a, span<const update_run> runs,
                   const step_decision* decision, const packed_spans& spans) {
  if (spans.formats.states == state_format::fp32 && spans.formats.master == master_format::fp32) {
    return update_runs(queue, a, runs, decision, spans);
  }
  std::size_t next = 0;
  std::uint64_t block = 0;
  detail::run_batch batch;
  detail::with_rule(a, [&]<class Rule>(Rule) {
    for (;;) {
      detail::next_batch(runs, next, block, batch);
      if (batch.count == 0) return;
      cuda::launch("update_blocks", update_blocks<Rule>,
                   grid_for(queue, batch.end_block - batch.first_block, warps), threads, 0,
                   queue.stream, spans, batch, a, decision);
    }
  });
}

void split(const queue_of& queue, const_typed_span values, const packed_spans& spans) {
  cuda::launch("split_all", split_all, grid_for(queue, spans.count, threads), threads, 0,
               queue.stream, static_cast<const float*>(values.data), spans.count,
               static_cast<bf16_t*>(spans.parameter.data),
               static_cast<std::uint16_t*>(spans.master));
}

void join(const queue_of& queue, const packed_spans& spans, typed_span values) {
  cuda::launch("join_all", join_all, grid_for(queue, spans.count, threads), threads, 0,
               queue.stream, static_cast<const bf16_t*>(spans.parameter.data),
               static_cast<const std::uint16_t*>(spans.master), spans.count,
               static_cast<float*>(values.data));
}

}  // namespace zero::optim::kernels
