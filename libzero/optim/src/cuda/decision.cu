// The decision and the sum of squares it is made from.
#include "block_sums.hpp"
#include "decision_arithmetic.hpp"
#include "kernels.hpp"
#include "typed_elements.hpp"

#include <algorithm>

namespace zero::optim::kernels {
namespace {

// Each thread block sums one group. What the thread's own sum is written to, or, if that is all
// there is, added to: a first number is a sum already.
template <bool Packed, class T>
__global__ void __launch_bounds__(detail::threads_of_block)
    sum_groups(const T* values, std::size_t count, double* groups, double* sum) {
  __shared__ detail::group_memory shared;
  detail::sum_parts<Packed>(values, count, blockIdx.x, threadIdx.x, shared);
  __syncthreads();
  detail::fold_block(threadIdx.x, shared);
  for (unsigned width = 1; width < detail::blocks_a_group; width *= 2) {
    __syncthreads();
    detail::fold_level(threadIdx.x, width, detail::blocks_a_group, shared.sums);
  }
  if (threadIdx.x != 0) return;  // whose own writes these are
  if (sum != nullptr) {
    *sum += shared.sums[0];
  } else {
    groups[blockIdx.x] = shared.sums[0];
  }
}

// One thread block: *out = the tree over values[0, count), or added to it.
__global__ void __launch_bounds__(detail::threads_of_tree)
    sum_tree(const double* values, std::size_t count, double* out, bool add) {
  __shared__ double sums[detail::threads_of_tree];
  detail::fold_own(values, count, threadIdx.x, sums);
  for (unsigned width = 1; width < detail::threads_of_tree; width *= 2) {
    __syncthreads();
    detail::fold_level(threadIdx.x, width, detail::threads_of_tree, sums);
  }
  if (threadIdx.x == 0) *out = add ? *out + sums[0] : sums[0];
}

__global__ void set_vote(step_vote vote, step_vote* out) { *out = vote; }

__global__ void decide_alone(const step_vote* votes, std::size_t count, decision_rule rule,
                             step_decision* decision) {
  detail::decide(votes, count, rule, decision);
}

__global__ void add_one_by_one(const double* values, std::size_t count, double* sum) {
  double total = *sum;
  for (std::size_t i = 0; i < count; ++i) total += values[i];
  *sum = total;
}

template <class T>
void launch_groups(cudaStream_t stream, const T* values, std::size_t count, std::size_t groups,
                   double* out, double* sum) {
  const bool packed =
      reinterpret_cast<std::uintptr_t>(values) % (sizeof(T) * detail::pack_size) == 0;
  cuda::launch("sum_groups", packed ? sum_groups<true, T> : sum_groups<false, T>,
               static_cast<unsigned>(groups), detail::threads_of_block, 0, stream, values, count,
               out, sum);
}

void launch_tree(cudaStream_t stream, const double* values, std::size_t count, double* out,
                 bool add) {
  cuda::launch("sum_tree", sum_tree, 1, detail::threads_of_tree, 0, stream, values, count, out,
               add);
}

}  // namespace

std::size_t scratch_of_squares() noexcept { return detail::groups_a_tree + detail::most_trees; }
std::size_t most_squares() noexcept { return detail::tree_elements * detail::most_trees; }

void add_squares(const queue_of& queue, const_typed_span values, double* scratch, double* sum) {
  double* const tree_sums = scratch + detail::groups_a_tree;
  const std::size_t trees = (values.count + detail::tree_elements - 1) / detail::tree_elements;
  detail::with_type(values.type, values.data, [&](const auto* elements) {
    for (std::size_t tree = 0; tree < trees; ++tree) {
      const std::size_t begin = tree * detail::tree_elements;
      const std::size_t count = std::min(values.count - begin, detail::tree_elements);
      const std::size_t groups = (count + detail::group_elements - 1) / detail::group_elements;
      const bool only_group = trees == 1 && groups == 1;
      launch_groups(queue.stream, elements + begin, count, groups, scratch,
                    only_group ? sum : nullptr);
      if (only_group) return;
      launch_tree(queue.stream, scratch, groups, trees == 1 ? sum : tree_sums + tree, trees == 1);
    }
    if (trees > 1) launch_tree(queue.stream, tree_sums, trees, sum, true);
  });
}

void add_in_order(const queue_of& queue, const double* values, std::size_t count, double* sum) {
  cuda::launch("add_one_by_one", add_one_by_one, 1, 1, 0, queue.stream, values, count, sum);
}

void set(const queue_of& queue, const step_vote& vote, step_vote* out) {
  cuda::launch("set_vote", set_vote, 1, 1, 0, queue.stream, vote, out);
}

void decide(const queue_of& queue, const step_vote* votes, std::size_t count,
            const decision_rule& rule, step_decision* decision) {
  cuda::launch("decide_alone", decide_alone, 1, 1, 0, queue.stream, votes, count, rule, decision);
}

}  // namespace zero::optim::kernels
