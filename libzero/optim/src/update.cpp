#include "compiled_targets.hpp"

#include <zero/optim/update.hpp>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "update.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h:
#include "update_rules-inl.hpp"

#include <zero/base/bytes.hpp>

HWY_BEFORE_NAMESPACE();
namespace zero::optim {
namespace HWY_NAMESPACE {

struct no_copy {};  // the master weights are the parameters

template <bool Streaming>
HWY_INLINE void store_pair(lanes, floats, floats, no_copy*) {}

// One range: Gradient is what gradients are stored as, Parameter what the copy is stored as.
template <class Rule, class Gradient, class Parameter>
struct update_pass {
  Rule rule;
  float* master;
  const Gradient* gradient;
  float* state0;
  float* state1;
  Parameter* parameter;

  template <bool Streaming>
  HWY_INLINE void pair(lanes d, std::size_t i) const {
    const std::size_t j = i + hn::Lanes(d);
    floats w0 = one(d, i), w1 = one(d, j);
    if constexpr (!std::is_same_v<Parameter, no_copy>) {
      store_pair<Streaming>(d, w0, w1, parameter + i);
    }
  }

  // Updates the vector at element i in place and returns its weights.
  HWY_INLINE floats one(lanes d, std::size_t i) const {
    const floats g = hn::Mul(load_lanes(d, gradient + i), hn::Set(d, rule.k.gradient_scale));
    floats w = hn::LoadU(d, master + i);
    floats s0 = hn::LoadU(d, state0 + i);
    floats s1 = hn::Zero(d);
    if constexpr (Rule::states == 2) s1 = hn::LoadU(d, state1 + i);
    rule(d, g, w, s0, s1);
    hn::StoreU(w, d, master + i);
    hn::StoreU(s0, d, state0 + i);
    if constexpr (Rule::states == 2) hn::StoreU(s1, d, state1 + i);
    return w;
  }

  HWY_NOINLINE void partial(lanes d, std::size_t i, std::size_t n) const {
    constexpr bool copies = !std::is_same_v<Parameter, no_copy>;
    padded_pair<float> w(master + i, n), s0(state0 + i, n);
    padded_pair<float> s1(state1 + (Rule::states == 2 ? i : 0), Rule::states == 2 ? n : 0);
    padded_pair<Gradient> g(gradient + i, n);
    padded_pair<Parameter> p(nullptr, 0);
    const update_pass padded{rule, w.elements, g.elements, s0.elements, s1.elements, p.elements};
    padded.template pair<false>(d, 0);
    w.copy_to(master + i, n);
    s0.copy_to(state0 + i, n);
    if constexpr (Rule::states == 2) s1.copy_to(state1 + i, n);
    if constexpr (copies) p.copy_to(parameter + i, n);
  }
};

template <class Rule, class Gradient>
void run(const Rule& rule, const Gradient* gradient, const update_spans& s, bool streaming) {
  const lanes d;
  const auto with = [&](auto* parameter) HWY_ATTR {
    using parameter_type = std::remove_pointer_t<decltype(parameter)>;
    const update_pass<Rule, Gradient, parameter_type> pass{rule,       s.master,   gradient,
                                                           s.state[0], s.state[1], parameter};
    if (streaming) return for_pairs<true>(d, pass, s.count, parameter);
    return for_pairs<false>(d, pass, s.count, parameter);
  };
  if (s.parameter.data == nullptr) {
    const update_pass<Rule, Gradient, no_copy> pass{rule,       s.master,   gradient,
                                                    s.state[0], s.state[1], nullptr};
    return for_pairs<false>(d, pass, s.count, static_cast<no_copy*>(nullptr));
  }
  if (s.parameter.type == dtype::bf16) return with(static_cast<bf16_t*>(s.parameter.data));
  with(static_cast<fp16_t*>(s.parameter.data));
}

template <class Rule>
void run_rule(const detail::update_scalars& k, const update_spans& spans, bool streaming) {
  detail::with_type(spans.gradient.type, spans.gradient.data,
                    [&](const auto* gradient) { run(Rule{k}, gradient, spans, streaming); });
}

void update_on_target(algorithm a, const detail::update_scalars& k, const update_spans& spans,
                      bool streaming) {
  switch (a) {
    case algorithm::adamw:
      return run_rule<adam_rule<decay::decoupled>>(k, spans, streaming);
    case algorithm::adam:
      return run_rule<adam_rule<decay::of_gradient>>(k, spans, streaming);
    case algorithm::sgd:
      return run_rule<sgd_rule>(k, spans, streaming);
    case algorithm::lion:
      return run_rule<lion_rule>(k, spans, streaming);
    case algorithm::adagrad:
      return run_rule<adagrad_rule>(k, spans, streaming);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace zero::optim
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace zero::optim {

HWY_EXPORT(update_on_target);

void update(algorithm a, const hyper& constants, const step_scalars& scalars,
            const update_spans& spans) {
  detail::check(a, scalars, spans);
  detail::update_range(a, detail::make_scalars(a, constants, scalars), spans);
}

void detail::update_range(algorithm a, const update_scalars& k, const update_spans& spans) {
  if (spans.count == 0) return;
  // A copy too large to stay in a cache anyway is written around it: its lines need not be read.
  const bool streaming = spans.parameter.data != nullptr && spans.parameter.bytes() >= 4_MiB;
  HWY_DYNAMIC_DISPATCH(update_on_target)(a, k, spans, streaming);
}

}  // namespace zero::optim
#endif  // HWY_ONCE
