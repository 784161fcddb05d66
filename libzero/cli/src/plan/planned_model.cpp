#include "plan/planned_model.hpp"

#include "plan/model_file.hpp"
#include "trainer/gpt_model.hpp"

#include <zero/base/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace zero::cli {
namespace {

// More than these are no model but a mistake, and their names alone would fill a memory.
constexpr int most_layers = 1 << 14;

std::string dimension_given(const common_options& o, bool also_size) {
  if (o.heads) return "--heads";
  if (o.vocabulary) return "--vocabulary";
  if (o.context) return "--context";
  if (also_size && o.layers) return "--layers";
  return also_size && o.channels ? "--channels" : "";
}

double matrix_elements(const partition::unit_spec& unit) {
  double sum = 0;
  for (const partition::parameter_spec& p : unit.parameters) {
    if (p.shape.size() == 2) sum += static_cast<double>(partition::element_count(p.shape));
  }
  return sum;
}

// The uses of a GPT whose units are an embedding, blocks and a norm: the embedding is looked up
// first and is the head at the end.
std::vector<use_of_unit> uses_of_gpt(const partition::model_spec& spec, double head,
                                     double channels) {
  const int last = static_cast<int>(spec.units.size()) - 1;
  std::vector<use_of_unit> uses{{0, 0, 0}};
  for (int unit = 1; unit < last; ++unit) {
    uses.push_back({unit, matrix_elements(spec.units[static_cast<std::size_t>(unit)]), channels});
  }
  uses.push_back({last, 0, 0});
  uses.push_back({0, head, 0});
  return uses;
}

planned_model gpt_of(const trainer::gpt_config& config, dtype type) {
  planned_model model;
  model.name = config.name;
  model.spec = trainer::model_of(config, type);
  const double channels = config.channels;
  model.forward = uses_of_gpt(model.spec, channels * config.vocabulary, channels);
  model.context = config.context;
  model.gpt = config;
  return model;
}

planned_model opaque_of(std::uint64_t parameters, dtype type) {
  planned_model model;
  model.name = fmt::format("{} parameters", parameters);
  partition::parameter_spec all;
  all.name = "all";
  all.shape = {parameters};
  all.type = type;
  model.spec.units = {{"model", {all}}};
  model.forward = {{0, static_cast<double>(parameters), 0}};
  model.opaque = true;
  return model;
}

// Blocks of GPT-2, and one embedding of what is left.
planned_model blocks_of(std::uint64_t parameters, const common_options& o) {
  const auto channels = static_cast<std::uint64_t>(*o.channels);
  trainer::gpt_config one{"custom", 1, *o.layers, *o.channels, 1, 1};
  planned_model model;
  model.name = fmt::format("{} parameters in {} blocks", parameters, *o.layers);
  model.spec = trainer::model_of(one, o.dtype);
  partition::unit_spec& embedding = model.spec.units.front();
  embedding.parameters.clear();
  const std::uint64_t blocks = partition::element_count(model.spec);
  if (parameters < blocks + channels) {
    throw invalid_argument(fmt::format(
        "--parameters {} is not accepted with --layers {} and --channels {}; their blocks alone "
        "have {}",
        parameters, *o.layers, *o.channels, blocks));
  }
  partition::parameter_spec rest;
  rest.name = "wte.weight";
  rest.shape = {parameters - blocks};
  rest.type = o.dtype;
  embedding.parameters.push_back(rest);
  model.forward = uses_of_gpt(model.spec, static_cast<double>(parameters - blocks),
                              static_cast<double>(channels));
  return model;
}

planned_model shaped(const planner_options& o) {
  const common_options& training = o.run.training;
  if (!o.model_file.empty()) {
    const std::string other = !training.model.empty() ? "--model"
                              : o.parameters          ? "--parameters"
                                                      : dimension_given(training, true);
    if (!other.empty()) {
      throw invalid_argument(fmt::format(
          "--model-file '{}' and {} exclude each other; give one of them", o.model_file, other));
    }
    return read_model_file(o.model_file, training.dtype);
  }
  if (!o.parameters) return gpt_of(chosen_model(training), training.dtype);
  if (!training.model.empty()) {
    throw invalid_argument(fmt::format(
        "--model {} and --parameters exclude each other; give one of them", training.model));
  }
  if (dimension_given(training, true).empty()) return opaque_of(*o.parameters, training.dtype);
  if (dimension_given(training, false).empty() && training.layers && training.channels) {
    return blocks_of(*o.parameters, training);
  }
  planned_model model = gpt_of(chosen_model(training), training.dtype);
  if (partition::element_count(model.spec) == *o.parameters) return model;
  throw invalid_argument(
      fmt::format("--parameters {} is not accepted with these dimensions, which make {}",
                  *o.parameters, partition::element_count(model.spec)));
}

// A rank would hold nothing but padding, which nobody means to ask for.
void refuse_more_shards_than_elements(const planner_options& o, std::uint64_t elements) {
  for (const std::string& stage : o.stages) {
    if (stage == "0") continue;
    const bool in_groups = stage == "hybrid" || stage == "mics";
    const int shards = in_groups ? o.run.training.shard_group.value_or(o.ranks) : o.ranks;
    if (static_cast<std::uint64_t>(shards) <= elements) continue;
    throw invalid_argument(
        fmt::format("--{} {} is not accepted at stage {}: more shards than the {} elements of the "
                    "model; expected at most {}",
                    in_groups ? "shard-group" : "ranks", shards, stage, elements, elements));
  }
}

}  // namespace

planned_model model_of(const planner_options& o) {
  const common_options& training = o.run.training;
  if (training.layers.value_or(1) > most_layers) {
    throw invalid_argument(fmt::format("--layers {} is not accepted; expected at most {}",
                                       *training.layers, most_layers));
  }
  planned_model model = shaped(o);
  model.parameters = partition::element_count(model.spec);
  if (model.parameters > most_elements) {
    throw invalid_argument(
        fmt::format("a model of {} elements is not accepted; expected at most {}", model.parameters,
                    most_elements));
  }
  refuse_more_shards_than_elements(o, model.parameters);
  if (training.sequence && model.gpt && *training.sequence > model.context) {
    throw invalid_argument(
        fmt::format("--sequence {} is not accepted; expected at most {}, the context of the model",
                    *training.sequence, model.context));
  }
  return model;
}

std::vector<int> order_of(const planned_model& model) {
  std::vector<int> order;
  for (const use_of_unit& use : model.forward) order.push_back(use.unit);
  return order;
}

double operations_of(const use_of_unit& use, double tokens, int length) noexcept {
  // Scores and sums of values: 2 a channel each for every key seen, (length + 1) / 2 on average.
  return tokens * (2.0 * use.matrix_elements + 2.0 * use.attention_channels * (length + 1.0));
}

nlohmann::ordered_json describe(const planned_model& model) {
  nlohmann::ordered_json json{{"name", model.name}, {"parameters", model.parameters}};
  if (model.gpt) {
    json["layers"] = model.gpt->layers;
    json["channels"] = model.gpt->channels;
    json["heads"] = model.gpt->heads;
    json["vocabulary"] = model.gpt->vocabulary;
    json["context"] = model.gpt->context;
  }
  json["units"] =
      model.opaque ? nlohmann::ordered_json() : nlohmann::ordered_json(model.spec.units.size());
  return json;
}

}  // namespace zero::cli
