#include "typed_elements.hpp"
#include "update_rules.hpp"

#include <zero/base/float16.hpp>

namespace zero::optim {

void update_reference(algorithm a, const hyper& constants, const step_scalars& scalars,
                      const update_spans& spans) {
  detail::check(a, scalars, spans);
  detail::update_range_reference(a, detail::make_scalars(a, constants, scalars), spans);
}

void detail::update_range_reference(algorithm a, const update_scalars& k,
                                    const update_spans& spans) {
  float unused = 0.0F;
  detail::with_rule(a, [&]<class Rule>(Rule) {
    for (std::size_t i = 0; i < spans.count; ++i) {
      const float g = detail::load(spans.gradient, i) * k.gradient_scale;
      float& s1 = spans.state[1] != nullptr ? spans.state[1][i] : unused;
      spans.master[i] = Rule::next(k, g, spans.master[i], spans.state[0][i], s1);
      if (spans.parameter.data != nullptr) detail::store(spans.parameter, i, spans.master[i]);
    }
  });
}

}  // namespace zero::optim
