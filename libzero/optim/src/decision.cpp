#include "decision_arithmetic.hpp"

namespace zero::optim {

void decide(const step_vote* votes, std::size_t count, const decision_rule& rule,
            step_decision* decision) noexcept {
  detail::decide(votes, count, rule, decision);
}

}  // namespace zero::optim
