#pragma once
// What decide computes, for the host and for devices. See decision.hpp.

#include "exact.hpp"

#include <zero/optim/decision.hpp>

namespace zero::optim::detail {

ZERO_HOST_DEVICE inline void decide(const step_vote* votes, std::size_t count,
                                    const decision_rule& rule, step_decision* decision) noexcept {
  double squares = 0.0;
  std::uint32_t dissenting = 0;
  bool left_out = false;
  for (std::size_t i = 0; i < count; ++i) {
    squares += votes[i].squares;
    const bool same = votes[i].learning_rate == votes[0].learning_rate &&
                      votes[i].reductions == votes[0].reductions &&
                      votes[i].constants == votes[0].constants;
    left_out = left_out || votes[i].leave_out != 0;
    if (!same && dissenting == 0) dissenting = static_cast<std::uint32_t>(i);
  }
  const double unscale = quotient(1.0, rule.loss_scale);
  decision->norm = square_root(squares) * unscale;
  decision->finite = is_finite(squares) ? 1 : 0;
  decision->dissenting = dissenting;
  const bool may = decision->finite != 0 || rule.apply_non_finite;
  decision->applied = may && dissenting == 0 && !left_out ? 1 : 0;
  const double factor = rule.clip_norm > 0 && decision->norm > rule.clip_norm
                            ? quotient(rule.clip_norm, decision->norm + 1e-6)
                            : 1.0;
  decision->gradient_scale = static_cast<float>(unscale * factor);
  decision->steps += decision->applied;
}

}  // namespace zero::optim::detail
