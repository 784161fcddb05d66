// What makes two layouts the same: the digest, and the first difference in words. Both walk the
// same fields; a field added to one belongs in the other.

#include "text.hpp"

#include <zero/partition/layout.hpp>

#include <algorithm>

namespace zero::partition {
namespace {

// Of the description that is hashed, and of the rules that place parameters: two builds that lay
// out differently must not agree.
constexpr const char* format_version = "zero.layout/1";

void update(hash128& hash, const parameter_spec& parameter) {
  hash.update(parameter.name);
  hash.update(static_cast<std::uint64_t>(parameter.shape.size()));
  for (const std::uint64_t extent : parameter.shape) hash.update(extent);
  hash.update(std::string(name_of(parameter.type)));
  hash.update(static_cast<std::uint64_t>(parameter.trainable));
  hash.update(static_cast<std::uint64_t>(parameter.group));
  hash.update(parameter.tied_to);
  hash.update(parameter.stacked_in);
  hash.update(parameter.stacked_offset);
}

// A parameter with the unit it is registered in.
struct registered {
  const parameter_spec& parameter;
  std::size_t unit;
  const std::string& unit_name;
};

bool same(const registered& a, const registered& b) {
  const parameter_spec& p = a.parameter;
  const parameter_spec& q = b.parameter;
  return a.unit == b.unit && a.unit_name == b.unit_name && p.name == q.name && p.shape == q.shape &&
         p.type == q.type && p.trainable == q.trainable && p.group == q.group &&
         p.tied_to == q.tied_to && p.stacked_in == q.stacked_in &&
         p.stacked_offset == q.stacked_offset;
}

std::string describe(const parameter_spec& parameter) {
  return quoted(parameter.name) + " " + format_shape(parameter.shape) + " " +
         name_of(parameter.type);
}

// What is less often looked at is said only where it differs from `other`.
std::string describe(const registered& one, const registered& other) {
  const parameter_spec& p = one.parameter;
  const parameter_spec& q = other.parameter;
  std::string text = describe(p);
  if (p.trainable != q.trainable) text += p.trainable ? " trainable" : " frozen";
  if (p.group != q.group) text += " group " + std::to_string(p.group);
  if (p.tied_to != q.tied_to) {
    text += p.tied_to.empty() ? std::string(" not tied") : " tied to " + quoted(p.tied_to);
  }
  if (p.stacked_in != q.stacked_in || p.stacked_offset != q.stacked_offset) {
    text +=
        p.stacked_in.empty() ? std::string(" not stacked") : " stacked in " + quoted(p.stacked_in);
    text += " at " + std::to_string(p.stacked_offset);
  }
  if (one.unit != other.unit || one.unit_name != other.unit_name) {
    text += " in unit " + std::to_string(one.unit) + " " + quoted(one.unit_name);
  }
  return text;
}

std::string both(const std::string& what, const std::string& here, const std::string& there) {
  return what + " " + here + " here, " + there + " there";
}

std::string difference_of(const layout_options& here, const layout_options& there) {
  const auto number = [](std::uint64_t n) { return std::to_string(n); };
  const auto kind = [](layout_kind k) { return k == layout_kind::whole ? "whole" : "flat"; };
  if (here.world_size != there.world_size) {
    return both("option world_size:", std::to_string(here.world_size),
                std::to_string(there.world_size));
  }
  if (here.kind != there.kind) return both("option kind:", kind(here.kind), kind(there.kind));
  if (here.alignment != there.alignment) {
    return both("option alignment:", number(here.alignment), number(there.alignment));
  }
  if (here.resident_bytes != there.resident_bytes) {
    return both("option resident_bytes:", number(here.resident_bytes),
                number(there.resident_bytes));
  }
  return {};
}

// Units by themselves; what their parameters say about them is compared before.
std::string difference_of(const std::vector<unit_spec>& here, const std::vector<unit_spec>& there) {
  for (std::size_t u = 0; u < std::max(here.size(), there.size()); ++u) {
    const std::string left = u < here.size() ? quoted(here[u].name) : "none";
    const std::string right = u < there.size() ? quoted(there[u].name) : "none";
    if (left != right) return both("unit " + std::to_string(u) + ":", left, right);
  }
  return {};
}

}  // namespace

digest128 layout::digest() const {
  hash128 hash;
  hash.update(std::string(format_version));
  hash.update(static_cast<std::uint64_t>(options_.world_size));
  hash.update(static_cast<std::uint64_t>(options_.kind));
  hash.update(options_.alignment);
  hash.update(options_.resident_bytes);
  hash.update(static_cast<std::uint64_t>(model_.units.size()));
  for (const unit_spec& unit : model_.units) {
    hash.update(unit.name);
    hash.update(static_cast<std::uint64_t>(unit.parameters.size()));
    for (const parameter_spec& parameter : unit.parameters) update(hash, parameter);
  }
  return hash.digest();
}

std::string layout::difference(const layout& other) const {
  if (std::string text = difference_of(options_, other.options_); !text.empty()) return text;
  const std::size_t here = parameters_.size();
  const std::size_t there = other.parameters_.size();
  const auto at = [](const layout& l, std::size_t index) {
    const std::size_t unit = l.registrations_[index].unit;
    return registered{l.parameter(index), unit, l.model_.units[unit].name};
  };
  for (std::size_t i = 0; i < std::min(here, there); ++i) {
    const registered left = at(*this, i);
    const registered right = at(other, i);
    if (!same(left, right)) {
      return both("parameter " + std::to_string(i) + ":", describe(left, right),
                  describe(right, left));
    }
  }
  if (here != there) {
    const std::size_t i = std::min(here, there);
    return both("parameter " + std::to_string(i) + ":", here > i ? describe(parameter(i)) : "none",
                there > i ? describe(other.parameter(i)) : "none") +
           " (" + std::to_string(here) + " and " + std::to_string(there) + " parameters)";
  }
  return difference_of(model_.units, other.model_.units);
}

}  // namespace zero::partition
