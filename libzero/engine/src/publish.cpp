// publish: updated shards reach everyone who keeps those parameters.

#include "state.hpp"
#include "verb_timer.hpp"

namespace zero {

// Where parameters rest cut like the optimizer the update's own cast is the publication; if it was
// made off the device, their coming up.
void sharded_optimizer::state::publish(std::size_t index) {
  bucket_storage& b = buckets[index];
  const auto among = plan.groups().gathers(b.plan->optimizer, b.plan->parameters);
  if (!b.shape->trainable) return;
  if (among == partition::rank_group::nobody) {
    b.published = b.risen;
    return;
  }
  const verb_timer timer(*this, phase::publish, b.shape->unit);
  b.published = groups.over(among).all_gather(
      parameters_over(index, b.plan->optimizer), parameters_over(index, b.plan->parameters),
      call_of(name_of(phase::publish), static_cast<int>(index), b.risen));
}

void sharded_optimizer::state::wait_published() {
  for (const bucket_storage& b : buckets) wait(b.published);
}

}  // namespace zero
