#include "manifest_rules.hpp"

#include "text.hpp"

#include <zero/engine/own_rule.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <string_view>
#include <utility>

namespace zero::checkpoint {
namespace {

void require(bool holds, const std::string& rule) {
  if (!holds) throw broken_rule(rule);
}

// By sorting: whoever chooses the names can make every hash of them the same.
void check_distinct(std::vector<std::string_view> names, const std::string& whose) {
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) {
    throw broken_rule(whose + " '" + std::string(*twice) + "' is there twice");
  }
}

// What no training comes to: an engine would refuse to go on from it.
void check_progress(const training_progress& p) {
  require(std::isfinite(p.loss_scale.value), "the loss scale is not finite");
  require(p.loss_scale.value > 0.0F, "the loss scale is not positive");
  require(p.updates <= p.steps, "there are more updates than steps");
  require(p.steps <= most_steps, "there are more steps than can be");
}

void check_id(const manifest& m) {
  require(m.id.step <= most_steps, "a step has at most 12 digits");
  require(m.id.epoch >= 1, "epochs are counted from 1");
  require(is_hex(m.id.nonce, 32), "a nonce is 32 lower-case hex digits");
  require(is_name(m.written_by, 1, 100), "the version of the library is no name");
  require(is_name(m.algorithm, 1, 100), "the algorithm is no name");
  check_progress(m.progress);
}

void check_states(const manifest& m) {
  require(m.states.size() <= 2 * most_own_states, "more states than any rule has");
  std::vector<std::string_view> names = {"weights", "client"};  // taken, as folders of tensors
  for (const std::string& state : m.states) {
    require(is_name(state, 1, state_name_limit) && state.find('/') == std::string::npos,
            "a state's name is 1 to 100 bytes of UTF-8 without '/' or control characters");
    names.emplace_back(state);
  }
  check_distinct(std::move(names), "state");
}

void check_settings(const manifest& m) {
  std::vector<std::string_view> names;
  for (const auto& [name, value] : m.settings) {
    require(is_name(name, 1, 200) && is_utf8(value), "a setting is not UTF-8");
    names.emplace_back(name);
  }
  check_distinct(std::move(names), "setting");
}

void check_groups(const manifest& m) {
  for (const saved_group& group : m.groups) {
    std::vector<std::string_view> names;
    for (const auto& [name, value] : group.constants) {
      require(is_name(name, 1, 100), "a constant's name is 1 to 100 bytes of UTF-8");
      require(std::isfinite(value), "constant '" + name + "' is not finite");
      names.emplace_back(name);
    }
    check_distinct(std::move(names), "constant");
  }
}

void check_shape(const saved_parameter& p) {
  require(p.shape.size() <= most_dimensions, "'" + p.name + "' has more than 64 dimensions");
  std::uint64_t bytes = sizeof(float);
  const bool empty = std::find(p.shape.begin(), p.shape.end(), 0U) != p.shape.end();
  for (const std::uint64_t dimension : p.shape) {
    require(empty || (!__builtin_mul_overflow(bytes, dimension, &bytes) && bytes <= most_bytes),
            "'" + p.name + "' has more elements than can be");
  }
}

void check_parameters(const manifest& m) {
  require(m.parameters.size() <= most_parameters, "more than a million parameters");
  std::vector<std::string_view> names;
  std::map<std::string_view, const saved_parameter*> owners;  // before the one at hand
  for (const saved_parameter& p : m.parameters) {
    require(is_name(p.name, 1, parameter_name_limit),
            "a parameter's name is 1 to 3900 bytes of UTF-8 without control characters");
    check_shape(p);
    require(p.type != dtype::byte, "'" + p.name + "' is of bytes");
    require(p.group >= 0 &&
                static_cast<std::size_t>(p.group) < std::max<std::size_t>(m.groups.size(), 1),
            "'" + p.name + "' is of a group that is not there");
    names.emplace_back(p.name);
    if (p.tied_to.empty()) {
      owners.emplace(p.name, &p);
      continue;
    }
    const auto owner = owners.find(p.tied_to);
    require(owner != owners.end(),
            "'" + p.name + "' is tied to what is no earlier parameter with storage");
    const saved_parameter& o = *owner->second;
    require(
        o.shape == p.shape && o.type == p.type && o.group == p.group && o.trainable == p.trainable,
        "'" + p.name + "' is tied to '" + o.name + "' and unlike it");
  }
  check_distinct(std::move(names), "parameter");
}

void check_file(const manifest& m, std::size_t rank) {
  const saved_file& file = m.files[rank];
  require(file.name == file_name(rank, m.files.size()),
          "file " + std::to_string(rank) + " is not called " + file_name(rank, m.files.size()));
  require(file.bytes <= most_bytes && file.header_bytes <= file.bytes,
          "sizes of '" + file.name + "' cannot be");
  for (const shard_extent& extent : file.extents) {
    require(extent.parameter < m.parameters.size(), "an extent of no parameter");
    const saved_parameter& p = m.parameters[extent.parameter];
    const std::uint64_t elements = elements_of(p);
    require(p.tied_to.empty(), "an extent of '" + p.name + "', which has no storage");
    require(
        extent.count > 0 && extent.offset < elements && extent.count <= elements - extent.offset,
        "an extent leaves '" + p.name + "'");
  }
  require(rank == 0 || file.attachments.empty(), "attachments are rank 0's");
  std::vector<std::string_view> names;
  for (const auto& [name, bytes] : file.attachments) {
    require(is_name(name, 1, attachment_name_limit),
            "an attachment's name is 1 to 200 bytes of UTF-8 without control characters");
    require(bytes <= most_bytes, "attachment '" + name + "' is larger than can be");
    names.emplace_back(name);
  }
  check_distinct(std::move(names), "attachment");
}

}  // namespace

void check_rules(const manifest& m) {
  check_id(m);
  check_states(m);
  check_settings(m);
  check_groups(m);
  check_parameters(m);
  require(!m.files.empty() && m.files.size() <= most_files, "there are 1 to 99999 files");
  for (std::size_t rank = 0; rank < m.files.size(); ++rank) check_file(m, rank);
}

std::string file_name(std::size_t rank, std::size_t ranks) {
  const auto five = [](std::size_t number) {
    const std::string digits = std::to_string(number);
    return std::string(5 - std::min<std::size_t>(5, digits.size()), '0') + digits;
  };
  return "rank-" + five(rank) + "-of-" + five(ranks) + ".safetensors";
}

std::uint64_t elements_of(const saved_parameter& parameter) noexcept {
  const auto& shape = parameter.shape;
  if (std::find(shape.begin(), shape.end(), 0U) != shape.end()) return 0;
  std::uint64_t elements = 1;
  for (const std::uint64_t dimension : shape) elements *= dimension;
  return elements;
}

std::size_t arrays_of(const manifest& m, const saved_parameter& parameter) noexcept {
  return parameter.trainable ? 1 + m.states.size() : 1;
}

dtype type_of(const saved_parameter& parameter) noexcept {
  return parameter.trainable ? dtype::fp32 : parameter.type;
}

}  // namespace zero::checkpoint
