// clip: the global norm of all gradients, the same bits on every rank, and what it makes of them.

#include "state.hpp"

#include <zero/optim/elementwise.hpp>

#include <cmath>

namespace zero {

// Every rank sums its own shards bucket by bucket; the sums are added in rank order. The order
// does not depend on what is sharded, since shards are cut alike everywhere.
sharded_optimizer::state::clip_result sharded_optimizer::state::clip() {
  const verb_timer timer(*this, phase::clip, -1);
  double squares = 0.0;
  for (std::size_t index = 0; index < buckets.size(); ++index) {
    if (buckets[index].shape->trainable) squares += optim::sum_of_squares(reduced_shard(index));
  }
  if (!alone()) {
    auto* all = exchange.as<double>();
    all[ranks.rank()] = squares;
    collectives::call how;
    how.name = name_of(phase::clip);
    const auto count = static_cast<std::size_t>(ranks.size());
    wait(ranks.all_gather({all + ranks.rank(), sizeof(double), dtype::byte},
                          {all, sizeof(double) * count, dtype::byte}, how));
    squares = 0.0;
    for (std::size_t rank = 0; rank < count; ++rank) squares += all[rank];
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
