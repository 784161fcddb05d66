// reduce, in codes: a bucket's full gradient leaves as codes, is summed in fp32 and coded again in
// between where ranks are in groups, and lands in this rank's piece. As ZeRO++'s qgZ
// (arXiv:2306.10209, section 3.3): all_to_all within a group, then across groups.
//
// Two reductions are under way at most, each in codes of its own: when the next begins, the one
// before goes on across, and the one before that lands. So neither exchange is waited for at once.

#include "state.hpp"

#include <zero/base/quantized.hpp>

namespace zero {

using partition::rank_group;

// The full gradient is free again, in the order of the queue, when this returns.
void sharded_optimizer::state::queue_reduce_codes(std::size_t index, bool first, bool last) {
  coded_reduction& own = coded[next_coded];
  land_codes(own);
  send_across(coded[next_coded ^ 1U]);
  const bucket_storage& b = buckets[index];
  own.bucket = index;
  own.first = first;
  own.last = last;
  own.across = false;
  encode_pieces(own);
  const std::uint64_t bytes = quantized_bytes(b.shape->padded, b.plan->reduce_bits);
  const auto among = plan.reduces_in_levels() ? rank_group::within : rank_group::world;
  own.moved = groups.over(among).all_to_all(
      {own.sent, bytes, dtype::byte}, {own.received, bytes, dtype::byte},
      call_of(name_of(phase::reduce), static_cast<int>(index)));
  next_coded ^= 1U;
}

// Pieces in the order of who is sent them: by the place of their owner in its group, then by its
// group; those that are neighbours in the bucket too, at once.
void sharded_optimizer::state::encode_pieces(const coded_reduction& of) {
  const bucket_storage& b = buckets[of.bucket];
  const partition::group_map& map = plan.groups();
  const typed_span full = full_gradient(of.bucket);
  const int bits = b.plan->reduce_bits;
  std::byte* out = of.sent;
  if (!plan.reduces_in_levels()) return work.quantize(full, bits, out);
  const auto piece_at = [&](int position) {
    const int place = position / map.groups();
    return map.piece_of(position % map.groups() * map.group_size() + place);
  };
  for (int position = 0; position < map.world_size();) {
    const int piece = piece_at(position);
    int count = 1;
    while (position + count < map.world_size() && piece_at(position + count) == piece + count) {
      ++count;
    }
    const std::uint64_t elements = static_cast<std::uint64_t>(count) * b.shape->shard;
    work.quantize(full.part(static_cast<std::uint64_t>(piece) * b.shape->shard, elements), bits,
                  out);
    out += quantized_bytes(elements, bits);
    position += count;
  }
}

// What this rank's group has of the pieces of all ranks with its place in theirs.
void sharded_optimizer::state::send_across(coded_reduction& of) {
  if (of.bucket == no_bucket_staged || of.across || !plan.reduces_in_levels()) return;
  of.across = true;
  const bucket_storage& b = buckets[of.bucket];
  const partition::group_map& map = plan.groups();
  const int bits = b.plan->reduce_bits;
  const std::uint64_t elements = static_cast<std::uint64_t>(map.groups()) * b.shape->shard;
  const std::uint64_t bytes = quantized_bytes(elements, bits);
  wait(of.moved);
  // What was sent is read by nobody any more, and this is at most half as much.
  work.requantize(of.received, map.group_size(), elements, bits, of.sent);
  of.moved = groups.over(rank_group::across)
                 .all_to_all({of.sent, bytes, dtype::byte}, {of.sent + bytes, bytes, dtype::byte},
                             call_of(name_of(phase::reduce), static_cast<int>(of.bucket)));
}

void sharded_optimizer::state::land_codes(coded_reduction& of) {
  if (of.bucket == no_bucket_staged) return;
  send_across(of);
  const std::size_t index = of.bucket;
  const bucket_storage& b = buckets[index];
  const int bits = b.plan->reduce_bits;
  const bool levels = plan.reduces_in_levels();
  const bool spilled = b.plan->gradient_tier != partition::tier::device;
  if (spilled) take_staging(index, of.first);
  wait(of.moved);
  const std::byte* codes = levels ? of.sent + quantized_bytes(b.shape->shard, bits) *
                                                  static_cast<std::uint64_t>(plan.groups().groups())
                                  : of.received;
  work.dequantize(codes, levels ? plan.groups().groups() : ranks.size(), bits, reduced_piece(index),
                  of.first || spilled ? optim::store_mode::overwrite : optim::store_mode::add);
  of.bucket = no_bucket_staged;
  if (spilled) spill_later(index);
  if (of.last) queue_exchange(index);
}

}  // namespace zero
