#include "shard_fill.hpp"
#include "text.hpp"
#include "validation.hpp"

#include <zero/base/error.hpp>
#include <zero/partition/layout.hpp>

#include <algorithm>
#include <cassert>
#include <utility>

namespace zero::partition {

layout::layout(model_spec model, const layout_options& options)
    : model_(std::move(model)), options_(options) {
  validate(options_);
  validate(model_);
  register_parameters();
  for (placement& p : parameters_) {
    const parameter_spec& spec = parameter(p.index);
    if (!spec.tied_to.empty()) {
      const std::size_t index = p.index;
      p = parameters_[find(spec.tied_to)];
      p.index = index;
    } else if (p.count > 0) {
      p.bucket = bucket_for(p.unit, spec, p.count);
      bucket_parameters_[p.bucket].push_back(p.index);
    }
  }
  std::uint64_t total = 0;
  for (std::size_t b = 0; b < buckets_.size(); ++b) {
    fill(b);
    if (buckets_[b].padded > max_elements - total) {
      throw invalid_argument("unit " + quoted(unit_name(buckets_[b].unit)) +
                             ": with it the padded model has over 2^62 elements");
    }
    total += buckets_[b].padded;
  }
  // Only now do storages know their offsets.
  for (placement& p : parameters_) p.offset = parameters_[p.storage].offset;
}

void layout::register_parameters() {
  for (std::size_t u = 0; u < model_.units.size(); ++u) {
    const unit_spec& unit = model_.units[u];
    for (std::size_t i = 0; i < unit.parameters.size(); ++i) {
      placement p;
      p.index = parameters_.size();
      p.unit = static_cast<int>(u);
      p.bucket = no_bucket;
      p.count = element_count(unit.parameters[i].shape);
      p.storage = p.index;
      parameters_.push_back(p);
      registrations_.push_back({u, i});
      by_name_.push_back(p.index);
    }
  }
  unit_buckets_.resize(model_.units.size());
  std::sort(by_name_.begin(), by_name_.end(),
            [this](std::size_t a, std::size_t b) { return parameter(a).name < parameter(b).name; });
}

std::size_t layout::bucket_for(int unit, const parameter_spec& spec, std::uint64_t count) {
  const bool resident = count <= options_.resident_bytes / size_of(spec.type);
  std::vector<std::size_t>& of_unit = unit_buckets_[static_cast<std::size_t>(unit)];
  for (const std::size_t b : of_unit) {
    const zero::partition::bucket& candidate = buckets_[b];
    if (candidate.type == spec.type && candidate.trainable == spec.trainable &&
        candidate.resident == resident) {
      return b;
    }
  }
  zero::partition::bucket fresh;
  fresh.unit = unit;
  fresh.type = spec.type;
  fresh.trainable = spec.trainable;
  fresh.resident = resident;
  of_unit.push_back(buckets_.size());
  buckets_.push_back(fresh);
  bucket_parameters_.emplace_back();
  return buckets_.size() - 1;
}

void layout::fill(std::size_t b) {
  std::vector<std::size_t>& members = bucket_parameters_[b];
  std::vector<std::uint64_t> counts;
  counts.reserve(members.size());
  for (const std::size_t index : members) counts.push_back(parameters_[index].count);
  shard_fill filled;
  try {
    filled = fill_shards(counts, options_);
  } catch (const invalid_argument& too_large) {
    throw invalid_argument("unit " + quoted(unit_name(buckets_[b].unit)) + ": " + too_large.what());
  }
  buckets_[b].payload = filled.payload;
  buckets_[b].shard = filled.shard;
  buckets_[b].padded = filled.shard * static_cast<std::uint64_t>(options_.world_size);
  for (std::size_t i = 0; i < members.size(); ++i) {
    parameters_[members[i]].offset = filled.offsets[i];
  }
  std::sort(members.begin(), members.end(), [this](std::size_t x, std::size_t y) {
    return parameters_[x].offset < parameters_[y].offset;
  });
}

const std::string& layout::unit_name(int unit) const noexcept {
  return model_.units[static_cast<std::size_t>(unit)].name;
}

const parameter_spec& layout::parameter(std::size_t index) const noexcept {
  assert(index < registrations_.size());
  const registration& at = registrations_[index];
  return model_.units[at.unit].parameters[at.position];
}

std::size_t layout::find(const std::string& name) const {
  const auto at = std::lower_bound(
      by_name_.begin(), by_name_.end(), name,
      [this](std::size_t index, const std::string& n) { return parameter(index).name < n; });
  if (at == by_name_.end() || parameter(*at).name != name) {
    throw invalid_argument("parameter " + quoted(name) + ": there is none of this name");
  }
  return *at;
}

span<const std::size_t> layout::buckets_of(int unit) const noexcept {
  const auto u = static_cast<std::size_t>(unit);
  if (unit < 0 || u >= unit_buckets_.size()) return {};
  return unit_buckets_[u];
}

std::vector<piece> layout::pieces(std::size_t bucket, int rank) const {
  if (bucket >= buckets_.size()) {
    throw invalid_argument("bucket " + std::to_string(bucket) + ": there are " +
                           std::to_string(buckets_.size()));
  }
  if (rank < 0 || rank >= options_.world_size) {
    throw invalid_argument("rank " + std::to_string(rank) + ": there are " +
                           std::to_string(options_.world_size));
  }
  const std::uint64_t begin = buckets_[bucket].shard * static_cast<std::uint64_t>(rank);
  const std::uint64_t end = begin + buckets_[bucket].shard;
  const std::vector<std::size_t>& members = bucket_parameters_[bucket];
  auto member = std::partition_point(members.begin(), members.end(), [&](std::size_t index) {
    return parameters_[index].offset + parameters_[index].count <= begin;
  });
  std::vector<piece> found;
  for (; member != members.end() && parameters_[*member].offset < end; ++member) {
    const placement& p = parameters_[*member];
    const std::uint64_t first = std::max(p.offset, begin);
    const std::uint64_t last = std::min(p.offset + p.count, end);
    found.push_back({p.index, first - p.offset, first - begin, last - first});
  }
  return found;
}

std::uint64_t layout::payload() const noexcept {
  std::uint64_t total = 0;
  for (const auto& b : buckets_) total += b.payload;
  return total;
}

std::uint64_t layout::padded() const noexcept {
  std::uint64_t total = 0;
  for (const auto& b : buckets_) total += b.padded;
  return total;
}

}  // namespace zero::partition
