#include <zero/optim/decision.hpp>

#include <cmath>

namespace zero::optim {

void decide(const step_vote* votes, std::size_t count, const decision_rule& rule,
            step_decision* decision) noexcept {
  double squares = 0.0;
  std::uint32_t dissenting = 0;
  for (std::size_t i = 0; i < count; ++i) {
    squares += votes[i].squares;
    const bool same = votes[i].learning_rate == votes[0].learning_rate &&
                      votes[i].reductions == votes[0].reductions;
    if (!same && dissenting == 0) dissenting = static_cast<std::uint32_t>(i);
  }
  const double unscale = 1.0 / rule.loss_scale;
  decision->norm = std::sqrt(squares) * unscale;
  decision->finite = std::isfinite(squares) ? 1 : 0;
  decision->dissenting = dissenting;
  decision->applied = decision->finite != 0 && dissenting == 0 ? 1 : 0;
  const double factor = rule.clip_norm > 0 && decision->norm > rule.clip_norm
                            ? rule.clip_norm / (decision->norm + 1e-6)
                            : 1.0;
  decision->gradient_scale = static_cast<float>(unscale * factor);
  decision->steps += decision->applied;
}

}  // namespace zero::optim
