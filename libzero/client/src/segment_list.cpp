#include "segment_list.hpp"

#include <zero/base/error.hpp>

#include <algorithm>
#include <cstring>

namespace zero::client {
namespace {

constexpr int most_units = 1 << 20;
constexpr std::uint64_t most_elements = std::uint64_t{1} << 61;
constexpr std::size_t longest_name = 4096;  // bytes

[[noreturn]] void refuse(const std::string& name, const std::string& why) {
  throw invalid_argument("[client.attach] segment '" + name + "' " + why);
}

// Names stand in messages of one line and in files.
void check_name(const std::string& name) {
  if (name.size() > longest_name) {
    throw invalid_argument("[client.attach] the name of a segment has " +
                           std::to_string(name.size()) + " bytes, more than " +
                           std::to_string(longest_name));
  }
  const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
  const auto at = std::find_if(name.begin(), name.end(), is_control);
  if (at == name.end()) return;
  throw invalid_argument("[client.attach] the name of a segment has a control character at byte " +
                         std::to_string(at - name.begin()) + ", behind '" +
                         std::string(name.begin(), at) + "'");
}

dtype dtype_of(const std::string& name, int code) {
  switch (code) {
    case ZERO_FP32:
      return dtype::fp32;
    case ZERO_BF16:
      return dtype::bf16;
    case ZERO_FP16:
      return dtype::fp16;
    default:
      refuse(name, "has dtype " + std::to_string(code) + ", which is none");
  }
}

void check_numbers(const zero_segment& s) {
  if (s.slices < 0) refuse(s.name, "has " + std::to_string(s.slices) + " slices");
  if (s.count > most_elements) refuse(s.name, "has " + std::to_string(s.count) + " elements");
  if (s.unit < 0 || s.unit >= most_units || s.slices > most_units - s.unit) {
    refuse(s.name, "is in unit " + std::to_string(s.unit) + " with " + std::to_string(s.slices) +
                       " slices; units are from 0 to " + std::to_string(most_units - 1));
  }
  if (s.slices > 1 && s.count % static_cast<std::uint64_t>(s.slices) != 0) {
    refuse(s.name, "has " + std::to_string(s.count) + " elements, which are not " +
                       std::to_string(s.slices) + " equal slices");
  }
  if (s.group < 0 || s.group >= most_units) {
    refuse(s.name, "is in group " + std::to_string(s.group));
  }
  if ((s.flags & ~static_cast<std::uint32_t>(ZERO_FROZEN)) != 0) {
    refuse(s.name, "has unknown flags " + std::to_string(s.flags));
  }
}

std::vector<std::uint64_t> shape_of(const zero_segment& s, std::uint64_t slice_count) {
  if (s.dimensions < 0) refuse(s.name, "has " + std::to_string(s.dimensions) + " dimensions");
  if (s.shape == nullptr) {
    if (s.dimensions != 0) refuse(s.name, "has dimensions and no shape");
    return {slice_count};
  }
  std::vector<std::uint64_t> shape(s.shape, s.shape + s.dimensions);
  if (partition::element_count(shape) != slice_count) {
    refuse(s.name, "has a shape of " + std::to_string(partition::element_count(shape)) +
                       " elements and " + std::to_string(slice_count) + " in a slice");
  }
  return shape;
}

segment read(const zero_segment& s) {
  if (s.name == nullptr || *s.name == '\0') {
    throw invalid_argument("[client.attach] a segment has no name");
  }
  check_name(s.name);
  check_numbers(s);
  segment out;
  out.name = s.name;
  out.parameter = static_cast<std::byte*>(s.parameter);
  out.gradient = static_cast<std::byte*>(s.gradient);
  out.count = s.count;
  out.type = dtype_of(out.name, s.dtype);
  out.unit = s.unit;
  out.slices = std::max(s.slices, 1);
  out.stacked = s.slices > 1;
  out.group = s.group;
  out.trainable = (s.flags & ZERO_FROZEN) == 0;
  if (s.tied_to != nullptr) out.tied_to = s.tied_to;
  out.shape = shape_of(s, out.slice_count());
  if (!out.trainable && out.gradient != nullptr) refuse(out.name, "is frozen and has a gradient");
  return out;
}

// `all` are those before it.
void check_tie(const std::vector<segment>& all, const segment& s) {
  if (s.stacked) refuse(s.name, "is a stack of slices and tied: tie what is not a stack");
  const auto owner = std::find_if(all.begin(), all.end(),
                                  [&](const segment& other) { return other.name == s.tied_to; });
  if (owner == all.end()) {
    refuse(s.name, "is tied to '" + s.tied_to + "', which has not been attached before it");
  }
  if (!owner->tied_to.empty()) {
    refuse(s.name, "is tied to '" + s.tied_to + "', which is tied itself");
  }
  if (owner->stacked || owner->count != s.count || owner->type != s.type) {
    refuse(s.name, "is tied to '" + s.tied_to + "' and is not as many elements of its dtype");
  }
  if (owner->unit > s.unit) {
    refuse(s.name, "is tied to '" + s.tied_to + "' of a later unit: tie the later to the earlier");
  }
  const bool same = (s.parameter == nullptr || s.parameter == owner->parameter) &&
                    (s.gradient == nullptr || s.gradient == owner->gradient);
  if (!same) refuse(s.name, "is tied to '" + s.tied_to + "' and is in other memory");
}

struct interval {
  std::uintptr_t begin;
  std::uintptr_t end;
  const segment* of;
  const char* what;
};

interval interval_of(const segment& s, const void* memory, const char* what) {
  const auto begin = reinterpret_cast<std::uintptr_t>(memory);
  if (s.bytes() > UINTPTR_MAX - begin) refuse(s.name, "reaches past the last address");
  return {begin, begin + s.bytes(), &s, what};
}

void check_overlaps(const std::vector<segment>& all) {
  std::vector<interval> used;
  for (const segment& s : all) {
    if (!s.tied_to.empty() || s.count == 0) continue;
    if (s.parameter != nullptr) used.push_back(interval_of(s, s.parameter, "parameter"));
    if (s.gradient != nullptr) used.push_back(interval_of(s, s.gradient, "gradient"));
  }
  std::stable_sort(used.begin(), used.end(),
                   [](const interval& a, const interval& b) { return a.begin < b.begin; });
  for (std::size_t i = 1; i < used.size(); ++i) {
    const interval& a = used[i - 1];
    const interval& b = used[i];
    if (b.begin >= a.end) continue;
    refuse(b.of->name, std::string("has a ") + b.what + " in memory that is the " + a.what +
                           " of '" + a.of->name + "' already: use tied_to for one tensor of two " +
                           "names");
  }
}

// Either all parameters are in the client's memory or none.
void check_one_form(const std::vector<segment>& all) {
  const segment* first = nullptr;
  for (const segment& s : all) {
    if (!s.tied_to.empty() || s.count == 0) continue;
    if (s.parameter == nullptr && s.gradient != nullptr) {
      refuse(s.name,
             "has a gradient and no parameter: where the library places parameters it "
             "places gradients");
    }
    if (first == nullptr) first = &s;
    if ((first->parameter == nullptr) == (s.parameter == nullptr)) continue;
    refuse(s.parameter == nullptr ? s.name : first->name,
           "has no parameter pointer, and '" + (s.parameter == nullptr ? first->name : s.name) +
               "' has one");
  }
}

}  // namespace

std::vector<segment> segment_list::checked(const zero_segment* segments, std::size_t count,
                                           std::size_t segment_size) const {
  if (segments == nullptr || count == 0) throw invalid_argument("[client.attach] no segments");
  // Up to there the struct has been since its first version.
  if (segment_size < offsetof(zero_segment, dimensions) || segment_size > sizeof(zero_segment)) {
    throw invalid_argument("[client.attach] a segment of " + std::to_string(segment_size) +
                           " bytes is of another version of the library");
  }
  std::vector<segment> all = segments_;
  for (std::size_t i = 0; i < count; ++i) {
    zero_segment one{};
    std::memcpy(&one, reinterpret_cast<const std::byte*>(segments) + i * segment_size,
                segment_size);
    segment s = read(one);
    const auto twin = std::find_if(all.begin(), all.end(),
                                   [&](const segment& other) { return other.name == s.name; });
    if (twin != all.end()) refuse(s.name, "is attached twice");
    if (!s.tied_to.empty()) check_tie(all, s);
    all.push_back(std::move(s));
  }
  check_overlaps(all);
  check_one_form(all);
  return all;
}

void segment_list::add(const zero_segment* segments, std::size_t count, std::size_t segment_size) {
  segments_ = checked(segments, count, segment_size);
}

void segment_list::bind_gradient(std::size_t index, void* gradient) {
  std::vector<segment> all = segments_;
  segment& s = all[index];
  if (gradient == nullptr) refuse(s.name, "is bound to a null pointer");
  if (!s.trainable) refuse(s.name, "is frozen and has no gradient");
  if (!s.tied_to.empty()) refuse(s.name, "is tied: bind the gradient of '" + s.tied_to + "'");
  if (s.parameter == nullptr && s.count > 0) {
    refuse(s.name, "is placed by the library, and so is its gradient");
  }
  if (s.gradient != nullptr) refuse(s.name, "has a gradient already");
  s.gradient = static_cast<std::byte*>(gradient);
  check_overlaps(all);
  segments_ = std::move(all);
}

std::size_t segment_list::find(const char* name, const char* call) const {
  const std::string wanted = name == nullptr ? "" : name;
  for (std::size_t i = 0; i < segments_.size(); ++i) {
    if (segments_[i].name == wanted) return i;
  }
  throw invalid_argument(std::string("[client.") + call + "] no segment is called '" + wanted +
                         "'");
}

std::size_t segment_list::owner(std::size_t index) const {
  const segment& s = segments_[index];
  return s.tied_to.empty() ? index : find(s.tied_to.c_str(), "attach");
}

bool segment_list::placed() const noexcept {
  return std::all_of(segments_.begin(), segments_.end(),
                     [](const segment& s) { return s.parameter == nullptr; });
}

int segment_list::units() const noexcept {
  int units = 0;
  for (const segment& s : segments_) units = std::max(units, s.unit + s.slices);
  return units;
}

int segment_list::groups() const noexcept {
  int groups = 1;
  for (const segment& s : segments_) groups = std::max(groups, s.group + 1);
  return groups;
}

std::vector<slice_place> segment_list::places() const {
  std::vector<std::size_t> positions(static_cast<std::size_t>(units()));
  std::vector<slice_place> all;
  for (std::size_t i = 0; i < segments_.size(); ++i) {
    for (int slice = 0; slice < segments_[i].slices; ++slice) {
      const int unit = segments_[i].unit + slice;
      all.push_back({i, slice, unit, positions[static_cast<std::size_t>(unit)]++});
    }
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const slice_place& a, const slice_place& b) { return a.unit < b.unit; });
  return all;
}

std::string segment_list::slice_name(std::size_t index, int slice) const {
  const segment& s = segments_[index];
  return s.stacked ? s.name + "[" + std::to_string(slice) + "]" : s.name;
}

partition::model_spec segment_list::model() const {
  partition::model_spec model;
  for (int unit = 0; unit < units(); ++unit) model.units.push_back({std::to_string(unit), {}});
  for (const slice_place& place : places()) {
    const segment& s = segments_[place.segment];
    partition::parameter_spec p;
    p.name = slice_name(place.segment, place.slice);
    p.shape = s.shape;
    p.type = s.type;
    p.trainable = s.trainable;
    p.group = s.group;
    p.tied_to = s.tied_to;
    if (s.stacked) {
      p.stacked_in = s.name;
      p.stacked_offset = static_cast<std::uint64_t>(place.slice) * s.slice_count();
    }
    model.units[static_cast<std::size_t>(place.unit)].parameters.push_back(std::move(p));
  }
  return model;
}

}  // namespace zero::client
