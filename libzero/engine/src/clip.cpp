// clip: the global norm of all gradients, the same bits on every rank, and what it makes of them.

#include "state.hpp"

#include <zero/base/error.hpp>
#include <zero/optim/elementwise.hpp>

#include <cmath>
#include <string>
#include <vector>

namespace zero {
namespace {

// What a rank tells the others before anybody updates.
struct told {
  double squares;  // of its own reduced shards
  float learning_rate;
  std::uint32_t calls;  // of reduce since the last step, over all units
};
static_assert(sizeof(told) == partition::exchange_bytes);

// No client's own exchange has this tag.
constexpr int clip_tag = -2;

bool same_plan(const told& a, const told& b) {
  return a.learning_rate == b.learning_rate && a.calls == b.calls;
}

void expect_one_plan(const told* all, std::size_t ranks) {
  std::vector<int> others;
  for (std::size_t rank = 1; rank < ranks; ++rank) {
    if (!same_plan(all[rank], all[0])) others.push_back(static_cast<int>(rank));
  }
  if (others.empty()) return;
  const told& other = all[static_cast<std::size_t>(others.front())];
  throw desync("[engine.step] rank " + format_ranks(others) +
                   " steps otherwise than rank 0: learning rate " +
                   std::to_string(other.learning_rate) + " after " + std::to_string(other.calls) +
                   " reductions, not " + std::to_string(all[0].learning_rate) + " after " +
                   std::to_string(all[0].calls),
               others);
}

}  // namespace

// Every rank sums its own shards bucket by bucket; the sums are added in rank order. The order
// does not depend on what is sharded, since shards are cut alike everywhere.
sharded_optimizer::state::clip_result sharded_optimizer::state::clip(float learning_rate) {
  const verb_timer timer(*this, phase::clip, -1);
  double squares = 0.0;
  for (std::size_t index = 0; index < buckets.size(); ++index) {
    if (buckets[index].shape->trainable) squares += optim::sum_of_squares(reduced_shard(index));
  }
  if (!alone()) {
    auto* all = exchange.as<told>();
    told& own = all[ranks.rank()];
    own = {squares, learning_rate, 0};
    for (const unit_progress& unit : units) own.calls += static_cast<std::uint32_t>(unit.calls);
    collectives::call how;
    how.name = name_of(phase::clip);
    how.tag = clip_tag;
    const auto count = static_cast<std::size_t>(ranks.size());
    wait(ranks.all_gather({&own, sizeof own, dtype::byte}, {all, sizeof own * count, dtype::byte},
                          how));
    expect_one_plan(all, count);
    squares = 0.0;
    for (std::size_t rank = 0; rank < count; ++rank) squares += all[rank].squares;
  }
  clip_result result;
  const double unscale = 1.0 / static_cast<double>(scale.value());
  result.norm = std::sqrt(squares) * unscale;
  result.finite = std::isfinite(squares);
  // As torch.nn.utils.clip_grad_norm_: max_norm / (norm + 1e-6), at most 1.
  const double factor = options.clip_norm > 0 && result.norm > options.clip_norm
                            ? options.clip_norm / (result.norm + 1e-6)
                            : 1.0;
  result.gradient_scale = static_cast<float>(unscale * factor);
  return result;
}

}  // namespace zero
