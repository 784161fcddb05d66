// Master weights: how they begin, and how they are read out without gathering the model anywhere.

#include "state.hpp"

#include <algorithm>

namespace zero {

using partition::sharded_over;

namespace {

constexpr std::uint64_t chunk_elements = partition::staging_bytes / sizeof(float);

// Whose shard a rank keeps master weights of; of frozen parameters, all that rests here.
sharded_over kept_over(const bucket_storage& b) noexcept {
  return b.shape->trainable ? b.plan->optimizer : b.plan->parameters;
}

}  // namespace

void sharded_optimizer::state::initialize(const fill_function& fill) {
  expect_none_held("initialize");
  wait_gathered();
  wait_published();
  forget_gathered();
  for (std::size_t index = 0; index < buckets.size(); ++index) {
    const partition::piece_run own = held(kept_over(buckets[index]));
    for (int piece = own.first; piece < own.first + own.count; ++piece) {
      fill_piece(index, piece, fill);
    }
    publish(index);
  }
  wait_published();
}

void sharded_optimizer::state::fill_piece(std::size_t index, int piece, const fill_function& fill) {
  const bucket_storage& b = buckets[index];
  const sharded_over over = kept_over(b);
  const typed_span parameter = parameters_over(index, over);
  const std::uint64_t base = static_cast<std::uint64_t>(piece - held(over).first) * b.shape->shard;
  // Frozen 16-bit parameters have no fp32 place of their own.
  const bool passing = !b.shape->trainable && b.shape->type != dtype::fp32;
  float* const values = host_values();
  for (const partition::piece& p : layout.pieces(index, piece)) {
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

// The values of `count` elements from element `at` of the bucket, all within one piece, on every
// rank, where the processor works: from this rank's own memory where all have them, else from one
// that holds them.
const float* sharded_optimizer::state::read_master(std::size_t index, int piece, std::uint64_t at,
                                                   std::uint64_t count) {
  const bucket_storage& b = buckets[index];
  const bool apart = b.plan->master;  // else the parameters are the master weights
  const sharded_over over = apart ? b.plan->optimizer : b.plan->parameters;
  const int holder = piece / plan.groups().pieces_of(over);  // by its number among them
  const std::uint64_t in_shard =
      at - plan.elements(*b.shape, over) * static_cast<std::uint64_t>(holder);
  auto* const staged = staging.as<float>();
  const auto here = [&] {
    if (apart) return const_typed_span{master(index) + in_shard, count, dtype::fp32};
    return const_typed_span{parameters_over(index, over).part(in_shard, count)};
  };
  if (!is_sharded(over)) {
    const const_typed_span values = here();
    if (values.type == dtype::fp32) return static_cast<const float*>(values.data);
    work.convert(values, {staged, count, dtype::fp32});
    return staged;
  }
  collectives::communicator& among = groups.over(plan.groups().gathers(over, sharded_over::nobody));
  if (holder == among.rank()) work.convert(here(), {staged, count, dtype::fp32});
  wait(among.broadcast({staged, count, dtype::fp32}, holder,
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
      const std::uint64_t piece = at / shard;
      const std::uint64_t count =
          std::min({p.count - done, (piece + 1) * shard - at, chunk_elements});
      const float* values = read_master(p.bucket, static_cast<int>(piece), at, count);
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
