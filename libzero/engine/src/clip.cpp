// clip: the global norm of all gradients, the same bits on every rank, and what it makes of them.

#include "state.hpp"
#include "verb_timer.hpp"

namespace zero {
namespace {

// No client's own exchange has these tags. Asking for the norm is no step: ranks of which one does
// the one and one the other are told at once.
constexpr int clip_tag = -2, norm_tag = -3;

static_assert(sizeof(optim::step_vote) == partition::exchange_bytes);
static_assert(sizeof(optim::step_decision) == partition::decision_bytes);

}  // namespace

optim::decision_rule sharded_optimizer::state::decision_rule() const noexcept {
  return {scale.value() * options.gradient_divisor, options.clip_norm,
          options.non_finite == zero::non_finite::apply};
}

// Every rank sums its own pieces bucket by bucket; the sums are added in the order of pieces. That
// does not depend on what is sharded, since buckets are cut alike everywhere.
void sharded_optimizer::state::exchange_votes(float learning_rate, int tag) {
  optim::step_vote vote{0.0, learning_rate, 0, groups_digest, leave_out ? 1U : 0U};
  for (const unit_progress& unit : units) vote.reductions += static_cast<std::uint32_t>(unit.calls);
  optim::step_vote* const all = votes();
  optim::step_vote* const own = all + groups.world().rank();
  work.set(vote, own);
  for (std::size_t index = 0; index < buckets.size(); ++index) {
    if (!buckets[index].shape->trainable) continue;
    if (buckets[index].plan->gradient_tier == partition::tier::device) {
      work.add_squares(reduced_piece(index), &own->squares);
    } else {
      collect_squares(index);
      work.add_in_order(squares_of(index), 1, &own->squares);
    }
  }
  const auto count = static_cast<std::size_t>(ranks.size());
  if (!alone()) {
    wait(groups.world().all_gather({own, sizeof *own, dtype::byte},
                                   {all, sizeof *own * count, dtype::byte},
                                   call_of(name_of(phase::clip), tag)));
  }
}

// What comes of it stays where the update runs, and is on its way back to the host.
void sharded_optimizer::state::clip(float learning_rate) {
  const verb_timer timer(*this, phase::clip, -1);
  exchange_votes(learning_rate, clip_tag);
  work.decide(votes(), static_cast<std::size_t>(ranks.size()), decision_rule(), decision_here());
  work.read(decision_here(), decision_read(), sizeof(optim::step_decision));
  decided = queue.record();
  undecided = true;
}

// Decided on the host, by the same arithmetic, so that the decision kept for steps stays as it is.
double sharded_optimizer::state::gradient_norm() {
  expect_whole();
  settle();
  finish_gradients();
  norm_taken = true;
  const verb_timer timer(*this, phase::clip, -1);
  exchange_votes(0.0F, norm_tag);
  optim::step_decision made;
  optim::decide(read_votes(), static_cast<std::size_t>(ranks.size()), decision_rule(), &made);
  if (made.dissenting != 0) std::rethrow_exception(dissent());
  return made.norm;
}

const optim::step_vote* sharded_optimizer::state::read_votes() {
  if (!host_staging) {
    queue.record().wait();
    return votes();
  }
  work.read(votes(), votes_read.data(), votes_read.size() * sizeof(optim::step_vote));
  queue.record().wait();
  return votes_read.data();
}

}  // namespace zero
