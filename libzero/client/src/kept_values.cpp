#include "kept_values.hpp"

#include <zero/base/error.hpp>
#include <zero/optim/elementwise.hpp>
#include <zero/partition/memory_plan.hpp>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

namespace zero::client {

std::vector<std::vector<kept_run>> runs_of(const partition::layout& layout,
                                           const partition::sharding_policy& policy, int rank) {
  partition::plan_options options;
  options.policy = policy;
  const partition::memory_plan plan(layout, options);
  std::vector<std::vector<kept_run>> runs(layout.parameters().size());
  for (std::size_t b = 0; b < layout.buckets().size(); ++b) {
    const partition::bucket_plan& of = plan.buckets()[b];
    const auto over = layout.buckets()[b].trainable ? of.optimizer : of.parameters;
    const partition::piece_run held = plan.groups().held(over, rank);
    for (int piece = held.first; piece < held.first + held.count; ++piece) {
      for (const partition::piece& p : layout.pieces(b, piece)) {
        std::vector<kept_run>& own = runs[p.parameter];
        if (!own.empty() && own.back().offset + own.back().count == p.parameter_offset) {
          own.back().count += p.count;
        } else {
          own.push_back({p.parameter_offset, p.count});
        }
      }
    }
  }
  return runs;
}

kept_values::kept_values(std::vector<std::vector<kept_run>> runs) : runs_(std::move(runs)) {
  std::size_t count = 0;
  for (const auto& own : runs_) {
    begins_.push_back(count);
    for (const kept_run& run : own) count += run.count;
  }
  values_.resize(count);
}

void kept_values::keep(std::size_t parameter, const const_typed_span& all, value_staging& staging) {
  float* to = values_.data() + begins_[parameter];
  for (const kept_run& run : runs_[parameter]) {
    staging.read(all.part(run.offset, run.count),
                 [&](std::uint64_t offset, const const_typed_span& part) {
                   optim::convert(part, {to + offset, part.count, dtype::fp32});
                 });
    to += run.count;
  }
}

std::size_t kept_values::find(std::size_t parameter, std::uint64_t offset,
                              std::uint64_t count) const {
  std::size_t at = begins_[parameter];
  for (const kept_run& run : runs_[parameter]) {
    if (offset >= run.offset && offset + count <= run.offset + run.count) {
      return at + (offset - run.offset);
    }
    at += run.count;
  }
  throw error("[client] elements " + std::to_string(offset) + " to " +
              std::to_string(offset + count) + " of parameter " + std::to_string(parameter) +
              " are not this rank's");
}

void kept_values::prefer(const state_range& range, value_staging& staging) {
  if (range.parameters.type == dtype::fp32) return;  // there are no others
  const std::size_t begin = find(range.parameter, range.offset, range.count);
  const const_typed_span master{range.master, range.count, dtype::fp32};
  if (!range.on_device) return prefer(begin, master, range.parameters.type);
  staging.read(master, [&](std::uint64_t offset, const const_typed_span& part) {
    prefer(begin + offset, part, range.parameters.type);
  });
}

void kept_values::prefer(std::size_t at, const const_typed_span& master, dtype written_in) {
  float* const kept = values_.data() + at;
  // What was written, as narrow as it was, against what is there.
  std::vector<std::uint16_t> narrow(master.count);
  const typed_span written{narrow.data(), master.count, written_in};
  optim::convert({kept, master.count, dtype::fp32}, written);
  std::memcpy(kept, master.data, master.bytes());
  optim::adopt(written, kept);
}

void kept_values::fill(std::size_t parameter, std::uint64_t offset, span<float> values) const {
  const float* const kept = values_.data() + find(parameter, offset, values.size());
  std::memcpy(values.data(), kept, values.size_bytes());
}

}  // namespace zero::client
