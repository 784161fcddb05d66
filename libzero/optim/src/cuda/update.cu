// The fused update: one launch a range. The step's scalars are computed from what the decision says
// in device memory, once a thread block, in fp64, by the function the host uses.
#include "flat_launch.cuh"
#include "flat_passes.hpp"

namespace zero::optim::kernels {
namespace {

template <class Pass>
__global__ void __launch_bounds__(detail::threads_of_block, blocks_a_multiprocessor)
    run_update(Pass pass, detail::flat_cut cut, algorithm a, hyper constants,
               const step_decision* decision) {
  __shared__ detail::update_scalars scalars;
  if (decision->applied == 0) return;  // alike in every thread
  if (threadIdx.x == 0) {
    scalars = detail::make_scalars(a, constants, {decision->steps, decision->gradient_scale});
  }
  __syncthreads();
  pass.k = scalars;
  detail::run_thread(pass, cut, own_place());
}

template <class Rule, class Gradient, class Parameter>
void launch_update(const queue_of& queue, algorithm a, const hyper& constants,
                   const step_decision* decision, const update_spans& spans,
                   const Gradient* gradient, Parameter* parameter) {
  using pass_type = detail::element_update<Rule, Gradient, Parameter>;
  pass_type pass{};
  pass.master = spans.master;
  pass.gradient = gradient;
  pass.state0 = spans.state[0];
  pass.state1 = pass_type::two_states ? spans.state[1] : nullptr;
  pass.parameter = parameter;
  detail::flat_cutter cutter(spans.count);
  cutter.align(pass.master, sizeof(float));
  cutter.align(pass.state0, sizeof(float));
  cutter.align(pass.state1, sizeof(float));
  cutter.align(gradient, sizeof(Gradient));
  cutter.align(parameter, pass_type::copies ? sizeof(Parameter) : 1);
  const detail::flat_cut cut = cutter.cut();
  cuda::launch("update", run_update<pass_type>, blocks_for(queue, cut), detail::threads_of_block, 0,
               queue.stream, pass, cut, a, constants, decision);
}

}  // namespace

void update(const queue_of& queue, algorithm a, const hyper& constants,
            const step_decision* decision, const update_spans& spans) {
  detail::with_rule(a, [&]<class Rule>(Rule) {
    detail::with_type(spans.gradient.type, spans.gradient.data, [&](const auto* gradient) {
      const auto with = [&](auto* parameter) {
        launch_update<Rule>(queue, a, constants, decision, spans, gradient, parameter);
      };
      void* const copy = spans.parameter.data;
      if (copy == nullptr) return with(static_cast<detail::no_copy*>(nullptr));
      if (spans.parameter.type == dtype::bf16) return with(static_cast<bf16_t*>(copy));
      with(static_cast<fp16_t*>(copy));
    });
  });
}

}  // namespace zero::optim::kernels
