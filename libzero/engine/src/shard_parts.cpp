#include "shard_parts.hpp"

#include <algorithm>
#include <utility>

namespace zero {
namespace {

using partition::sharded_over;

// Elements of a shard, from its beginning.
struct stretch {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

// Whose shard a rank keeps weights of; of frozen parameters, all that rests here.
sharded_over kept_over(const bucket_storage& b) noexcept {
  return b.shape->trainable ? b.plan->optimizer : b.plan->parameters;
}

// Of this rank's shard: all of it, or the piece it owns, which every policy has it hold.
stretch stretch_of(const sharded_optimizer::state& s, std::size_t bucket, shard_use use) {
  const bucket_storage& b = s.buckets[bucket];
  const sharded_over over = kept_over(b);
  if (use == shard_use::kept) return {0, s.plan.elements(*b.shape, over)};
  const int before = s.plan.groups().piece_of(s.ranks.rank()) - s.held(over).first;
  const std::uint64_t begin = static_cast<std::uint64_t>(before) * b.shape->shard;
  return {begin, begin + b.shape->shard};
}

// What of [begin, begin + count) of the shard is in `of`, cut into parts.
void cut(const sharded_optimizer::state& s, std::size_t bucket, std::size_t cell,
         std::uint64_t begin, std::uint64_t count, const stretch& of,
         std::vector<shard_part>& parts) {
  const std::uint64_t end = std::min(begin + count, of.end);
  for (std::uint64_t at = std::max(begin, of.begin); at < end; at += part_elements) {
    shard_part part;
    part.bucket = bucket;
    part.cell = cell;
    part.at = at - begin;
    part.count = std::min(part_elements, end - at);
    part.runs = parts_between(s, bucket, kept_over(s.buckets[bucket]), at, at + part.count);
    parts.push_back(std::move(part));
  }
}

}  // namespace

std::vector<parameter_run> parts_between(const sharded_optimizer::state& s, std::size_t index,
                                         sharded_over over, std::uint64_t from, std::uint64_t to) {
  const bucket_storage& b = s.buckets[index];
  std::vector<parameter_run> parts;
  const partition::piece_run own = s.held(over);
  for (int piece = own.first; piece < own.first + own.count; ++piece) {
    const std::uint64_t base = static_cast<std::uint64_t>(piece - own.first) * b.shape->shard;
    if (base >= to || base + b.shape->shard <= from) continue;
    for (const partition::piece& p : s.layout.pieces(index, piece)) {
      const std::uint64_t begin = std::max(base + p.shard_offset, from);
      const std::uint64_t end = std::min(base + p.shard_offset + p.count, to);
      if (begin >= end) continue;
      const std::uint64_t in_parameter = p.parameter_offset + (begin - base - p.shard_offset);
      if (!parts.empty() && parts.back().parameter == p.parameter &&
          parts.back().offset + parts.back().count == begin - from &&
          parts.back().parameter_offset + parts.back().count == in_parameter) {
        parts.back().count += end - begin;
      } else {
        parts.push_back({begin - from, end - begin, p.parameter, in_parameter});
      }
    }
  }
  return parts;
}

bool walked(const sharded_optimizer::state& s, const partition::cell& c, errand why) {
  if (!s.buckets[c.bucket].shape->trainable) return false;
  if (why != errand::save) return true;
  const stretch own = stretch_of(s, c.bucket, shard_use::saved);
  return c.begin < own.end && c.begin + c.count > own.begin;
}

std::vector<shard_part> parts_of(const sharded_optimizer::state& s, shard_use use) {
  std::vector<shard_part> parts;
  const span<const partition::cell> cells = s.plan.cells();
  for (const bool trainable : {true, false}) {
    for (std::size_t index = 0; index < s.buckets.size(); ++index) {
      const bucket_storage& b = s.buckets[index];
      if (b.shape->trainable != trainable) continue;
      const stretch wanted = stretch_of(s, index, use);
      if (b.plan->cells == 0) {
        cut(s, index, partition::no_record, 0, wanted.end, wanted, parts);
        continue;
      }
      for (std::size_t cell = b.plan->first_cell; cell < b.plan->first_cell + b.plan->cells;
           ++cell) {
        cut(s, index, cell, cells[cell].begin, cells[cell].count, wanted, parts);
      }
    }
  }
  return parts;
}

std::vector<shard_extent> extents_of(const std::vector<shard_part>& parts) {
  std::vector<shard_extent> extents;
  for (const shard_part& part : parts) {
    for (const parameter_run& run : part.runs) {
      extents.push_back({run.parameter, run.parameter_offset, run.count});
    }
  }
  return extents;
}

}  // namespace zero
