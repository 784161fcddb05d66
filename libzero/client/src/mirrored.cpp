// The mirrored form: the client has memory of its own. The engine keeps shards; what the client
// sees is copied from and to its slots, which are free again at once.

#include "client_form.hpp"
#include "kept_values.hpp"

#include <zero/base/error.hpp>
#include <zero/optim/elementwise.hpp>

#include <algorithm>
#include <string>

namespace zero::client {
namespace {

// A slice in the client's memory, at its place in the unit.
struct mirrored_slice {
  slice_place place;
  std::size_t index = 0;  // in the model
  typed_span parameter;
  typed_span gradient;    // no data where the client has none
  bool resident = false;  // its parameter is never given back
};

// What of a unit lies in one range.
struct range_part {
  client_range* range = nullptr;
  std::vector<extent> extents;
};

struct mirrored_unit {
  std::vector<mirrored_slice> slices;  // tied ones left out
  std::vector<range_part> parameters;
  std::vector<range_part> gradients;
  bool trainable = false;
};

std::vector<extent> coalesced(std::vector<extent> parts) {
  std::sort(parts.begin(), parts.end(),
            [](const extent& a, const extent& b) { return a.at < b.at; });
  std::vector<extent> runs;
  for (const extent& part : parts) {
    if (part.bytes == 0) continue;
    if (!runs.empty() && runs.back().at + runs.back().bytes == part.at) {
      runs.back().bytes += part.bytes;
    } else {
      runs.push_back(part);
    }
  }
  return runs;
}

std::vector<range_part> parts_of(const range_list& all, const std::vector<typed_span>& slices) {
  std::vector<range_part> parts;
  for (const auto& range : all) {
    std::vector<extent> inside;
    for (const typed_span& slice : slices) {
      if (slice.data == nullptr || !range->contains(slice.data, slice.bytes())) continue;
      const auto at = static_cast<std::byte*>(slice.data) - range->begin();
      inside.push_back({static_cast<std::size_t>(at), slice.bytes()});
    }
    inside = coalesced(std::move(inside));
    if (!inside.empty()) parts.push_back({range.get(), std::move(inside)});
  }
  return parts;
}

void take(const std::vector<range_part>& parts) {
  for (const range_part& part : parts) part.range->take(part.extents);
}

void give_back(const std::vector<range_part>& parts) {
  for (const range_part& part : parts) part.range->give_back(part.extents);
}

class mirrored final : public client_form {
 public:
  explicit mirrored(const form_parts& parts);

  void begin() override;
  void begin_micro_batch(pass kind) override;
  void make_whole(int unit) override;
  void release(int unit) override;
  void begin_gradients(int unit) override;
  void end_gradients(int unit, bool last) override;
  void gradient_bound(std::size_t segment) override;
  void stepped(bool changed) override;
  void full_begin(bool here) override;
  void full_end(bool here, bool keep) override;
  [[nodiscard]] void* parameter(const slice_place& of) override;
  [[nodiscard]] void* gradient(const slice_place& of) override;

 private:
  [[nodiscard]] mirrored_unit& at(int unit) { return units_[static_cast<std::size_t>(unit)]; }
  void find_gradient_parts(mirrored_unit& unit) const;
  void spread(int unit);
  void forget_gradients(mirrored_unit& unit);
  [[nodiscard]] kept_values collect();
  void copy_whole(int unit);
  void refresh_resident();
  void trim();

  form_parts parts_;
  bool parameters_stay_;  // in the client's memory between uses
  bool gradients_stay_;
  std::vector<mirrored_unit> units_;
  std::vector<int> order_;                  // every unit once, in the order of a forward
  std::vector<mirrored_slice> registered_;  // by index in the model; tied ones without memory
};

mirrored::mirrored(const form_parts& parts)
    : parts_(parts),
      parameters_stay_(parts.memory.parameters_stay()),
      gradients_stay_(parts.memory.gradients_stay()) {
  units_.resize(static_cast<std::size_t>(parts_.segments.units()));
  order_ = parts_.order;
  for (const slice_place& place : parts_.segments.places()) {
    const segment& s = parts_.segments.all()[place.segment];
    const std::size_t before = static_cast<std::size_t>(place.slice) * s.slice_bytes();
    mirrored_slice slice{place,
                         registered_.size(),
                         {nullptr, s.slice_count(), s.type},
                         {nullptr, s.slice_count(), s.type}};
    if (s.tied_to.empty() && s.count > 0) {
      slice.parameter.data = s.parameter + before;
      if (s.gradient != nullptr) slice.gradient.data = s.gradient + before;
      const partition::layout& layout = parts_.engine.layout();
      slice.resident = layout.buckets()[layout.parameters()[slice.index].bucket].resident;
      at(place.unit).slices.push_back(slice);
      at(place.unit).trainable = at(place.unit).trainable || s.trainable;
    }
    registered_.push_back(slice);
  }
  for (mirrored_unit& unit : units_) {
    std::vector<typed_span> slices;
    for (const mirrored_slice& slice : unit.slices) {
      if (!slice.resident) slices.push_back(slice.parameter);
    }
    unit.parameters = parts_of(parts_.memory.parameters, slices);
    find_gradient_parts(unit);
  }
}

void mirrored::find_gradient_parts(mirrored_unit& unit) const {
  std::vector<typed_span> slices;
  for (const mirrored_slice& slice : unit.slices) slices.push_back(slice.gradient);
  unit.gradients = parts_of(parts_.memory.gradients, slices);
}

// ---- the beginning ----

void mirrored::spread(int unit) {
  for (mirrored_slice& slice : at(unit).slices) spread_values(parts_, slice.parameter, unit);
}

// Values of rank 0, of which each rank keeps its own: a unit at a time, where the stage has no room
// for more.
kept_values mirrored::collect() {
  kept_values kept(
      runs_of(parts_.engine.layout(), parts_.engine.options().policy, parts_.ranks.rank()));
  for (const int unit : order_) {
    if (!parameters_stay_) take(at(unit).parameters);
    spread(unit);
    for (const mirrored_slice& slice : at(unit).slices) {
      kept.keep(slice.index, slice.parameter, parts_.staging);
    }
    if (!parameters_stay_) give_back(at(unit).parameters);
  }
  return kept;
}

void mirrored::begin() {
  if (parameters_stay_) {
    for (const int unit : order_) spread(unit);
    parts_.engine.initialize([this](std::size_t index, std::uint64_t offset, span<float> values) {
      parts_.staging.read(registered_[index].parameter.part(offset, values.size()),
                          [&](std::uint64_t at, const const_typed_span& part) {
                            optim::convert(part, {values.data() + at, part.count, dtype::fp32});
                          });
    });
  } else {
    const kept_values kept = collect();
    parts_.engine.initialize([&](std::size_t index, std::uint64_t offset, span<float> values) {
      kept.fill(index, offset, values);
    });
  }
  for (mirrored_unit& unit : units_) forget_gradients(unit);
  trim();
}

void mirrored::trim() {
  for (const auto& range : parts_.memory.parameters) range->trim();
  for (const auto& range : parts_.memory.gradients) range->trim();
}

// What was there before is no gradient of this model.
void mirrored::forget_gradients(mirrored_unit& unit) {
  if (!gradients_stay_) return give_back(unit.gradients);
  for (const mirrored_slice& slice : unit.slices) {
    if (slice.gradient.data != nullptr) parts_.work.clear(slice.gradient);
  }
}

// ---- parameters ----

void mirrored::begin_micro_batch(pass kind) {
  if (!parameters_stay_) parts_.engine.begin_micro_batch(kind);
}

void mirrored::copy_whole(int unit) {
  const gathered_unit gathered = parts_.engine.gather(unit);
  for (mirrored_slice& slice : at(unit).slices) {
    parts_.work.copy(gathered.parameter(slice.place.position), slice.parameter);
  }
}

void mirrored::make_whole(int unit) {
  if (parameters_stay_) return;
  take(at(unit).parameters);
  copy_whole(unit);
}

void mirrored::release(int unit) {
  if (!parameters_stay_) give_back(at(unit).parameters);
}

// What is never given back shall never be old.
void mirrored::refresh_resident() {
  for (mirrored_unit& unit : units_) {
    for (mirrored_slice& slice : unit.slices) {
      if (!slice.resident) continue;
      parts_.work.copy(parts_.engine.resident(slice.index), slice.parameter);
    }
  }
}

void mirrored::stepped(bool changed) {
  if (!changed) return;
  if (!parameters_stay_) return refresh_resident();
  parts_.engine.begin_micro_batch(pass::evaluate);  // each unit once
  for (const int unit : order_) copy_whole(unit);
}

// ---- gradients ----

void mirrored::begin_gradients(int unit) { take(at(unit).gradients); }

// Without a reduction in every micro-batch the client goes on adding where it is.
void mirrored::end_gradients(int unit, bool last) {
  mirrored_unit& of = at(unit);
  if (!of.trainable || !(last || parts_.every_micro_batch)) return;
  take(of.gradients);  // for those that never said they began
  const unit_gradients engine = parts_.engine.gradients(unit);
  for (mirrored_slice& slice : of.slices) {
    if (slice.gradient.data == nullptr) continue;
    parts_.work.copy(slice.gradient, engine.gradient(slice.place.position));
  }
  parts_.engine.reduce(unit);
  forget_gradients(of);
}

void mirrored::gradient_bound(std::size_t index) {
  const segment& s = parts_.segments.all()[index];
  for (mirrored_unit& unit : units_) {
    bool found = false;
    for (mirrored_slice& slice : unit.slices) {
      if (slice.place.segment != index) continue;
      slice.gradient.data =
          s.gradient + static_cast<std::size_t>(slice.place.slice) * s.slice_bytes();
      found = true;
    }
    if (found) find_gradient_parts(unit);
  }
}

// ---- all of it ----

void mirrored::full_begin(bool here) {
  if (parameters_stay_) return;
  parts_.engine.begin_micro_batch(pass::evaluate);  // each unit once
  for (const int unit : order_) {
    if (here) {
      make_whole(unit);
    } else {
      parts_.engine.gather(unit).release();
    }
  }
}

void mirrored::full_end(bool here, bool keep) {
  if (keep) {
    kept_values kept = collect();
    parts_.engine.visit(access::read,
                        [&](const state_range& range) { kept.prefer(range, parts_.staging); });
    parts_.engine.write_parameters([&](std::size_t index, std::uint64_t offset,
                                       span<float> values) { kept.fill(index, offset, values); });
  } else if (here && !parameters_stay_) {
    for (const int unit : order_) release(unit);
  }
  trim();
  parts_.engine.begin_micro_batch(pass::train);
}

void* mirrored::parameter(const slice_place& of) {
  const segment& s = parts_.segments.all()[of.segment];
  return s.parameter + static_cast<std::size_t>(of.slice) * s.slice_bytes();
}

void* mirrored::gradient(const slice_place& of) {
  const segment& s = parts_.segments.all()[of.segment];
  if (s.gradient != nullptr) {
    return s.gradient + static_cast<std::size_t>(of.slice) * s.slice_bytes();
  }
  throw invalid_argument("[client.gradient] the gradient of segment '" + s.name +
                         "' has no memory: zero_bind_gradient comes first");
}

}  // namespace

std::unique_ptr<client_form> make_mirrored(const form_parts& parts) {
  return std::make_unique<mirrored>(parts);
}

}  // namespace zero::client
