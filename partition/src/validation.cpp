#include "validation.hpp"

#include "text.hpp"

#include <zero/base/error.hpp>

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

namespace zero::partition {
namespace {

using names = std::unordered_map<std::string_view, const parameter_spec*>;

[[noreturn]] void refuse(const parameter_spec& parameter, const std::string& why) {
  throw invalid_argument("parameter " + quoted(parameter.name) + ": " + why);
}

void check_names(const model_spec& model) {
  std::unordered_set<std::string_view> units;
  std::unordered_set<std::string_view> parameters;
  for (std::size_t u = 0; u < model.units.size(); ++u) {
    const unit_spec& unit = model.units[u];
    if (unit.name.empty()) {
      throw invalid_argument("unit " + std::to_string(u) + ": its name is empty");
    }
    if (!units.insert(unit.name).second) {
      throw invalid_argument("unit " + quoted(unit.name) + ": registered twice");
    }
    for (std::size_t i = 0; i < unit.parameters.size(); ++i) {
      const parameter_spec& parameter = unit.parameters[i];
      if (parameter.name.empty()) {
        throw invalid_argument("unit " + quoted(unit.name) + ": the name of its parameter " +
                               std::to_string(i) + " is empty");
      }
      if (!parameters.insert(parameter.name).second) refuse(parameter, "registered twice");
    }
  }
}

// `earlier` holds what was registered before `parameter`.
void check_tie(const parameter_spec& parameter, const names& earlier) {
  const std::string tie = "tied to " + quoted(parameter.tied_to);
  const auto found = earlier.find(parameter.tied_to);
  if (found == earlier.end()) refuse(parameter, tie + ", which is not registered before it");
  const parameter_spec& storage = *found->second;
  if (!storage.tied_to.empty()) {
    refuse(parameter, tie + ", which is itself tied to " + quoted(storage.tied_to));
  }
  if (parameter.shape != storage.shape) {
    refuse(parameter, tie + " but of shape " + format_shape(parameter.shape) + ", not " +
                          format_shape(storage.shape));
  }
  if (parameter.type != storage.type) {
    refuse(parameter, tie + " but " + name_of(parameter.type) + ", not " + name_of(storage.type));
  }
  // One storage has one update, so there is no right answer when these differ.
  if (parameter.trainable != storage.trainable) {
    refuse(parameter, tie + " but only one of them is trainable");
  }
  if (parameter.group != storage.group) {
    refuse(parameter, tie + " but in group " + std::to_string(parameter.group) + ", not " +
                          std::to_string(storage.group));
  }
}

// Elements of an own storage; `total` are those before it.
std::uint64_t checked_count(const parameter_spec& parameter, std::uint64_t total) {
  std::uint64_t count = 0;
  try {
    count = element_count(parameter.shape);
  } catch (const invalid_argument& too_many) {
    refuse(parameter, too_many.what());
  }
  if (count > max_elements - total) refuse(parameter, "with it the model has over 2^62 elements");
  return count;
}

struct slice {
  const parameter_spec* parameter;
  std::uint64_t count;
};

// Two parameters that claim the same elements of one tensor would be updated twice.
void check_slices(std::vector<slice> slices) {
  std::sort(slices.begin(), slices.end(), [](const slice& a, const slice& b) {
    const int order = a.parameter->stacked_in.compare(b.parameter->stacked_in);
    return order != 0 ? order < 0 : a.parameter->stacked_offset < b.parameter->stacked_offset;
  });
  for (std::size_t i = 1; i < slices.size(); ++i) {
    const parameter_spec& before = *slices[i - 1].parameter;
    const parameter_spec& after = *slices[i].parameter;
    if (before.stacked_in == after.stacked_in &&
        after.stacked_offset - before.stacked_offset < slices[i - 1].count) {
      refuse(after, "its slice of " + quoted(after.stacked_in) + " overlaps that of " +
                        quoted(before.name));
    }
  }
}

}  // namespace

void validate(const layout_options& options) {
  constexpr int max_world = 1 << 20;
  if (options.world_size < 1 || options.world_size > max_world) {
    throw invalid_argument("world_size " + std::to_string(options.world_size) +
                           ": accepted are 1 to " + std::to_string(max_world));
  }
  if (options.alignment < 1 || options.alignment > max_elements) {
    throw invalid_argument("alignment " + std::to_string(options.alignment) +
                           ": accepted are 1 to 2^62 elements");
  }
  if (options.kind != layout_kind::flat && options.kind != layout_kind::whole) {
    throw invalid_argument("layout_kind " + std::to_string(static_cast<int>(options.kind)) +
                           ": accepted are flat and whole");
  }
}

void validate(const model_spec& model) {
  check_names(model);
  names earlier;
  std::vector<slice> slices;
  std::uint64_t total = 0;
  for (const unit_spec& unit : model.units) {
    for (const parameter_spec& parameter : unit.parameters) {
      if (parameter.type != dtype::fp32 && parameter.type != dtype::bf16 &&
          parameter.type != dtype::fp16) {
        refuse(parameter, std::string("dtype ") + name_of(parameter.type) +
                              ": accepted are fp32, bf16 and fp16");
      }
      if (!parameter.tied_to.empty()) {
        check_tie(parameter, earlier);
      } else {
        const std::uint64_t count = checked_count(parameter, total);
        total += count;
        if (!parameter.stacked_in.empty() && count > 0) slices.push_back({&parameter, count});
      }
      earlier.emplace(parameter.name, &parameter);
    }
  }
  check_slices(std::move(slices));
}

}  // namespace zero::partition
