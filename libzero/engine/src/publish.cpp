// publish: updated shards reach everyone who keeps the parameters whole.

#include "state.hpp"

namespace zero {

// Where parameters rest as shards the update's own cast is the publication.
void sharded_optimizer::state::publish(std::size_t index) {
  bucket_storage& b = buckets[index];
  if (!b.plan->optimizer_sharded || b.plan->parameter_sharded) return;
  const verb_timer timer(*this, phase::publish, b.shape->unit);
  b.published =
      ranks.all_gather(own_parameters(index), {b.parameter.data(), b.shape->padded, b.shape->type},
                       call_of(name_of(phase::publish), static_cast<int>(index)));
}

void sharded_optimizer::state::wait_published() {
  for (const bucket_storage& b : buckets) wait(b.published);
}

}  // namespace zero
