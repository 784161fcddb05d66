// Master weights: how they begin, and how they are read out without gathering the model anywhere.

#include "state.hpp"

#include <algorithm>

namespace zero {
namespace {

constexpr std::uint64_t chunk_elements = partition::staging_bytes / sizeof(float);

}  // namespace

void sharded_optimizer::state::initialize(const fill_function& fill) {
  expect_none_held("initialize");
  wait_published();
  parameter_slots.clear();
  for (std::size_t index = 0; index < buckets.size(); ++index) {
    const bucket_storage& b = buckets[index];
    const bool own_only =
        b.shape->trainable ? b.plan->optimizer_sharded : b.plan->parameter_sharded;
    const int first = own_only ? ranks.rank() : 0;
    const int last = own_only ? ranks.rank() : ranks.size() - 1;
    for (int rank = first; rank <= last; ++rank) {
      fill_pieces(index, rank, static_cast<std::uint64_t>(rank - first) * b.shape->shard, fill);
    }
    publish(index);
  }
  wait_published();
}

// base: where this rank's shard begins in the arrays, in elements.
void sharded_optimizer::state::fill_pieces(std::size_t index, int rank, std::uint64_t base,
                                           const fill_function& fill) {
  const bucket_storage& b = buckets[index];
  const bool own_only = b.shape->trainable ? b.plan->optimizer_sharded : b.plan->parameter_sharded;
  const typed_span parameter = own_only
                                   ? own_parameters(index)
                                   : typed_span{b.parameter.data(), b.shape->padded, b.shape->type};
  // Frozen 16-bit parameters have no fp32 place of their own.
  const bool passing = !b.shape->trainable && b.shape->type != dtype::fp32;
  float* const values = host_values();
  for (const partition::piece& p : layout.pieces(index, rank)) {
    for (std::uint64_t done = 0; done < p.count; done += chunk_elements) {
      const std::uint64_t count = std::min(chunk_elements, p.count - done);
      const std::uint64_t at = base + p.shard_offset + done;
      fill(p.parameter, p.parameter_offset + done, {values, count});
      float* const here = passing ? staging.as<float>() : master(index) + at;
      work.write(values, here, count * sizeof(float));
      if (b.plan->master || passing) {
        work.convert({here, count, dtype::fp32}, parameter.part(at, count));
      }
      queue.record().wait();  // the next chunk takes the same place
    }
  }
}

// The values of `count` elements from element `at` of the bucket, all within the shard of `owner`,
// on every rank, where the processor works: from this rank's own memory where it has them, else
// from the owner's.
const float* sharded_optimizer::state::read_master(std::size_t index, int owner, std::uint64_t at,
                                                   std::uint64_t count) {
  const bucket_storage& b = buckets[index];
  const bool apart = b.plan->master;  // else the parameters are the master weights
  const bool here = apart ? !b.plan->optimizer_sharded : !b.plan->parameter_sharded;
  const std::uint64_t in_shard = at - b.shape->shard * static_cast<std::uint64_t>(owner);
  auto* const staged = staging.as<float>();
  const typed_span resting{b.parameter.data(), b.shape->padded, b.shape->type};
  if (here) {
    if (apart) return master(index) + at;
    if (b.shape->type == dtype::fp32) return b.parameter.as<float>() + at;
    work.convert(resting.part(at, count), {staged, count, dtype::fp32});
    return staged;
  }
  if (owner == ranks.rank()) {
    const const_typed_span own =
        apart ? const_typed_span{master(index) + in_shard, count, dtype::fp32}
              : const_typed_span{resting.part(in_shard, count)};
    work.convert(own, {staged, count, dtype::fp32});
  }
  wait(ranks.broadcast({staged, count, dtype::fp32}, owner,
                       call_of("master", static_cast<int>(index))));
  return staged;
}

void sharded_optimizer::state::visit_master(const take_function& take) {
  wait_published();
  for (const partition::placement& p : layout.parameters()) {
    if (p.storage != p.index || p.bucket == partition::no_bucket) continue;
    const std::uint64_t shard = layout.buckets()[p.bucket].shard;
    for (std::uint64_t done = 0; done < p.count;) {
      const std::uint64_t at = p.offset + done;
      const std::uint64_t owner = at / shard;
      const std::uint64_t count =
          std::min({p.count - done, (owner + 1) * shard - at, chunk_elements});
      const float* values = read_master(p.bucket, static_cast<int>(owner), at, count);
      if (host_staging) {
        work.read(values, host_values(), count * sizeof(float));
        values = host_values();
      }
      queue.record().wait();
      take(p.index, done, {values, count});
      done += count;
    }
  }
}

}  // namespace zero
