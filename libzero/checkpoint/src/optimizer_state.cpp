// A sharded_optimizer as what is saved and as what is loaded into.

#include <zero/base/error.hpp>
#include <zero/checkpoint/store.hpp>

#include <cstdio>
#include <string>
#include <utility>

namespace zero::checkpoint {
namespace {

using constants = std::vector<std::pair<std::string, double>>;

constants constants_of(const parameter_group& group) {
  const optim::hyper& h = group.constants;
  return {{"weight_decay", h.weight_decay},
          {"beta1", h.beta1},
          {"beta2", h.beta2},
          {"epsilon", h.epsilon},
          {"momentum", h.momentum},
          {"nesterov", h.nesterov ? 1.0 : 0.0},
          {"learning_rate_factor", group.learning_rate_factor}};
}

// Nothing where there is no such constant.
bool set_constant(parameter_group& group, const std::string& name, double value) {
  optim::hyper& h = group.constants;
  const std::pair<const char*, float*> known[] = {
      {"weight_decay", &h.weight_decay},
      {"beta1", &h.beta1},
      {"beta2", &h.beta2},
      {"epsilon", &h.epsilon},
      {"momentum", &h.momentum},
      {"learning_rate_factor", &group.learning_rate_factor}};
  for (const auto& [known_name, member] : known) {
    if (name != known_name) continue;
    *member = static_cast<float>(value);
    return true;
  }
  if (name != "nesterov") return false;
  h.nesterov = value != 0.0;
  return true;
}

std::string algorithm_of(const engine_options& o) {
  return o.own_states >= 0 ? "own" : optim::name_of(o.algorithm);
}

std::string exact(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.17g", value);
  return text;
}

std::vector<std::pair<std::string, std::string>> settings_of(const sharded_optimizer& of) {
  const engine_options& o = of.options();
  return {{"world_size", std::to_string(of.layout().world_size())},
          {"parameters_sharded_over", partition::name_of(o.policy.parameters)},
          {"gradients_sharded_over", partition::name_of(o.policy.gradients)},
          {"optimizer_sharded_over", partition::name_of(o.policy.optimizer)},
          {"group_size", std::to_string(o.policy.group_size)},
          {"layout", o.layout == partition::layout_kind::whole ? "whole" : "flat"},
          {"optimizer_on", partition::name_of(o.tiers.optimizer)},
          {"parameters_on", partition::name_of(o.tiers.parameters)},
          {"states_in", optim::name_of(o.formats.states)},
          {"master_weights_in", optim::name_of(o.formats.master)},
          {"rounding_seed", std::to_string(o.rounding_seed)},
          {"clip_norm", exact(o.clip_norm)},
          {"accumulate", std::to_string(o.accumulate)},
          {"dynamic_loss_scale", o.loss_scale.dynamic ? "yes" : "no"}};
}

std::vector<saved_parameter> parameters_of(const partition::layout& layout) {
  std::vector<saved_parameter> parameters;
  for (const partition::unit_spec& unit : layout.model().units) {
    for (const partition::parameter_spec& p : unit.parameters) {
      saved_parameter saved;
      saved.name = p.name;
      saved.shape = p.shape;
      saved.type = p.type;
      saved.trainable = p.trainable;
      saved.group = p.group;
      saved.tied_to = p.tied_to;
      parameters.push_back(std::move(saved));
    }
  }
  return parameters;
}

class optimizer_source final : public source {
 public:
  explicit optimizer_source(sharded_optimizer& of) noexcept : of_(of) {}

  [[nodiscard]] manifest describe() const override {
    manifest m;
    m.algorithm = algorithm_of(of_.options());
    m.states = of_.state_names();
    m.parameters = parameters_of(of_.layout());
    for (const parameter_group& group : of_.options().groups) {
      m.groups.push_back({constants_of(group)});
    }
    m.progress = of_.progress();
    m.settings = settings_of(of_);
    return m;
  }
  [[nodiscard]] std::vector<shard_extent> extents() const override { return of_.saved_extents(); }
  void read(const read_shard_function& see) override { of_.read_shards(see); }

 private:
  sharded_optimizer& of_;
};

// ---- what a target has in common with what was saved ----

[[noreturn]] void refuse(const std::string& what) {
  throw invalid_argument("[checkpoint] the checkpoint is of another model: " + what);
}

std::string text_of(const std::vector<std::uint64_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  }
  return text + "]";
}

std::string text_of(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text.empty() ? "none" : text;
}

void expect_parameter(std::size_t index, const saved_parameter& there,
                      const saved_parameter& here) {
  if (there.name != here.name) {
    refuse("parameter " + std::to_string(index) + " is '" + there.name + "' there and '" +
           here.name + "' here");
  }
  const auto differ = [&](const std::string& theirs, const std::string& ours) {
    refuse("parameter '" + here.name + "' is " + theirs + " there and " + ours + " here");
  };
  const auto tied = [](const saved_parameter& p) {
    return p.tied_to.empty() ? std::string("not tied") : "tied to '" + p.tied_to + "'";
  };
  if (there.shape != here.shape) differ(text_of(there.shape), text_of(here.shape));
  if (there.trainable != here.trainable) {
    differ(there.trainable ? "trainable" : "frozen", here.trainable ? "trainable" : "frozen");
  }
  if (there.tied_to != here.tied_to) differ(tied(there), tied(here));
  if (there.group != here.group) {
    differ("in group " + std::to_string(there.group), "in group " + std::to_string(here.group));
  }
  // Of the others fp32 weights are kept, whatever they are gathered in.
  if (!here.trainable && there.type != here.type) differ(name_of(there.type), name_of(here.type));
}

void expect_parameters(const std::vector<saved_parameter>& there,
                       const std::vector<saved_parameter>& here) {
  for (std::size_t i = 0; i < there.size() && i < here.size(); ++i) {
    expect_parameter(i, there[i], here[i]);
  }
  if (there.size() > here.size()) {
    refuse("it has '" + there[here.size()].name + "', parameter " + std::to_string(here.size()) +
           " of " + std::to_string(there.size()) + ", which is not here");
  }
  if (there.size() < here.size()) {
    refuse("it has " + std::to_string(there.size()) + " parameters, '" + here[there.size()].name +
           "' not among them");
  }
}

class optimizer_target final : public target {
 public:
  explicit optimizer_target(sharded_optimizer& of) noexcept : of_(of) {}

  void expect(const manifest& saved) const override {
    expect_parameters(saved.parameters, parameters_of(of_.layout()));
    const std::string algorithm = algorithm_of(of_.options());
    if (saved.algorithm != algorithm) {
      refuse("it was trained by " + saved.algorithm + " and is to be by " + algorithm);
    }
    const std::vector<std::string> states = of_.state_names();
    if (saved.states != states) {
      refuse("its states are " + text_of(saved.states) + "; those here " + text_of(states));
    }
    const std::size_t groups = of_.options().groups.size();
    if (saved.groups.size() != groups) {
      refuse("it has " + std::to_string(saved.groups.size()) + " groups, not " +
             std::to_string(groups));
    }
    static_cast<void>(groups_of(saved));
  }
  [[nodiscard]] std::vector<shard_extent> extents() const override { return of_.kept_extents(); }
  void write(const write_shard_function& fill) override { of_.write_shards(fill); }

  void resume(const manifest& saved) override {
    of_.resume(saved.progress);
    const std::vector<parameter_group> groups = groups_of(saved);
    for (std::size_t i = 0; i < groups.size(); ++i) {
      of_.set_group(static_cast<int>(i), groups[i]);
    }
  }

 private:
  // As they are here, with the constants that were saved.
  [[nodiscard]] std::vector<parameter_group> groups_of(const manifest& saved) const {
    std::vector<parameter_group> groups = of_.options().groups;
    for (std::size_t i = 0; i < groups.size() && i < saved.groups.size(); ++i) {
      for (const auto& [name, value] : saved.groups[i].constants) {
        if (set_constant(groups[i], name, value)) continue;
        refuse("group " + std::to_string(i) + " has a constant '" + name + "'");
      }
    }
    return groups;
  }

  sharded_optimizer& of_;
};

}  // namespace

std::unique_ptr<source> source_of(sharded_optimizer& optimizer) {
  return std::make_unique<optimizer_source>(optimizer);
}

std::unique_ptr<target> target_of(sharded_optimizer& optimizer) {
  return std::make_unique<optimizer_target>(optimizer);
}

}  // namespace zero::checkpoint
