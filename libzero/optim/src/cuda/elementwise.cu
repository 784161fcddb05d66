// Casts, sums and takings-over of two flat ranges.
#include "flat_launch.cuh"
#include "flat_passes.hpp"

#include <thrust/system/cuda/execution_policy.h>
#include <thrust/system_error.h>
#include <thrust/transform.h>

namespace zero::optim::kernels {
namespace {

// Calls f(in, out) with pointers to the types of the spans' elements.
template <typename F>
void with_types(const_typed_span in, typed_span out, const F& f) {
  detail::with_type(in.type, in.data, [&](const auto* from) {
    detail::with_type(out.type, out.data, [&](auto* to) { f(from, to); });
  });
}

template <class In, class Out>
detail::flat_cut cut_of(std::size_t count, const In* in, const Out* out) {
  detail::flat_cutter cutter(count);
  cutter.align(in, sizeof(In));
  cutter.align(out, sizeof(Out));
  return cutter.cut();
}

template <class T>
__global__ void __launch_bounds__(detail::threads_of_block, blocks_a_multiprocessor)
    run_scale(T* values, detail::flat_cut cut, const step_decision* decision) {
  const float factor = decision->gradient_scale;
  if (decision->applied == 0 || factor == 1.0F) return;  // alike in every thread
  detail::run_thread(detail::element_scale<T>{values, factor}, cut, own_place());
}

}  // namespace

void scale(const queue_of& queue, typed_span values, const step_decision* decision) {
  detail::with_type(values.type, values.data, [&]<class T>(T* elements) {
    detail::flat_cutter cutter(values.count);
    cutter.align(elements, sizeof(T));
    const detail::flat_cut cut = cutter.cut();
    cuda::launch("scale", run_scale<T>, blocks_for(queue, cut), detail::threads_of_block, 0,
                 queue.stream, elements, cut, decision);
  });
}

void convert(const queue_of& queue, const_typed_span in, typed_span out) {
  with_types(in, out, [&]<class In, class Out>(const In* from, Out* to) {
    launch_pass(queue, "convert", detail::element_convert<In, Out>{from, to},
                cut_of(in.count, from, to));
  });
}

void accumulate(const queue_of& queue, const_typed_span in, typed_span out) {
  with_types(in, out, [&]<class In, class Out>(const In* from, Out* to) {
    launch_pass(queue, "accumulate", detail::element_accumulate<In, Out>{from, to},
                cut_of(in.count, from, to));
  });
}

// Rare, and bound by memory alone: Thrust's own cut of the range is as good as any.
void adopt(const queue_of& queue, const_typed_span in, float* master) {
  detail::with_type(in.type, in.data, [&]<class In>(const In* from) {
    try {
      thrust::transform(thrust::cuda::par_nosync.on(queue.stream), from, from + in.count, master,
                        master, detail::element_adopt<In>{});
    } catch (const thrust::system_error& e) {
      throw cuda_error("thrust::transform", e.code().value(), e.what());
    }
  });
}

}  // namespace zero::optim::kernels
