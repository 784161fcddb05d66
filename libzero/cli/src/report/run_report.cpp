#include "report/run_report.hpp"

#include "report/link_report.hpp"
#include "train/state_bytes.hpp"
#include "train/tier_choice.hpp"
#include "trainer/gpt_model.hpp"

#include <zero/base/memory_statistics.hpp>

#include <algorithm>
#include <array>
#include <fstream>
#include <string>
#include <type_traits>

namespace zero::cli {
namespace {

using json = nlohmann::ordered_json;

static_assert(std::is_trivially_copyable_v<rank_figures>);

json model_json(const trainer::gpt_config& model) {
  return {{"name", model.name},      {"parameters", trainer::parameter_count(model)},
          {"layers", model.layers},  {"channels", model.channels},
          {"heads", model.heads},    {"vocabulary", model.vocabulary},
          {"context", model.context}};
}

json text_json(const trainer::corpus& text) {
  return {{"bytes", text.byte_count()},
          {"sha256", text.digest()},
          {"tokens", text.token_count()},
          {"files", text.files()}};
}

json accounts(const memory_by_account& bytes, std::uint64_t peak) {
  json result;
  for (std::size_t i = 0; i < memory_account_count; ++i) {
    result[name_of(static_cast<memory_account>(i))] = bytes[i];
  }
  result["peak"] = peak;
  return result;
}

// Bytes and seconds of a step.
json offload_json(std::size_t rank, const rank_figures& own, std::uint64_t steps) {
  const auto a_step = [steps](std::uint64_t all) { return (all + steps / 2) / steps; };
  const auto seconds = [steps](double all) { return all / static_cast<double>(steps); };
  const partition::tier_bytes& planned = own.planned_tiers;
  return {{"rank", rank},
          {"host_to_device", a_step(own.tiers.host_to_device)},
          {"device_to_host", a_step(own.tiers.device_to_host)},
          {"disk_read", a_step(own.tiers.disk_read)},
          {"disk_written", a_step(own.tiers.disk_written)},
          {"disk_reading_seconds", seconds(own.tiers.disk_reading)},
          {"disk_writing_seconds", seconds(own.tiers.disk_writing)},
          {"exposed_seconds", seconds(own.tiers.exposed)},
          {"predicted",
           {{"host_to_device", planned.host_to_device},
            {"device_to_host", planned.device_to_host},
            {"disk_read", planned.disk_read},
            {"disk_written", planned.disk_written}}}};
}

void add_figures(json& line, const std::vector<rank_figures>& ranks, std::uint64_t done) {
  const std::uint64_t steps = std::max<std::uint64_t>(done, 1);  // of none nothing was moved
  const auto a_step = [steps](std::uint64_t all) { return (all + steps / 2) / steps; };
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    const rank_figures& own = ranks[rank];
    json measured = accounts(own.memory.measured, own.memory.measured_peak);
    measured["activations"] = own.activations;
    if (own.offloaded_activations > 0) {
      measured["offloaded_activations"] = own.offloaded_activations;
    }
    measured["process_rss_peak"] = own.process_rss_peak;
    line["memory"].push_back(
        {{"rank", rank},
         {"predicted", accounts(own.memory.predicted, own.memory.predicted_peak)},
         {"measured", std::move(measured)}});
    line["communication"].push_back({{"rank", rank},
                                     {"all_gather", a_step(own.traffic.all_gather)},
                                     {"reduce_scatter", a_step(own.traffic.reduce_scatter)},
                                     {"all_reduce", a_step(own.traffic.all_reduce)},
                                     {"broadcast", a_step(own.traffic.broadcast)},
                                     {"all_to_all", a_step(own.traffic.all_to_all)},
                                     {"crossed", a_step(own.traffic.crossed)},
                                     {"calls", a_step(own.traffic.calls)},
                                     {"staged", a_step(own.traffic.staged)},
                                     {"predicted",
                                      {{"all_gather", own.planned.all_gather},
                                       {"reduce_scatter", own.planned.reduce_scatter},
                                       {"all_to_all", own.planned.all_to_all},
                                       {"crossed", own.planned_crossing},
                                       {"calls", own.planned.calls}}}});
    line["offload_io"].push_back(offload_json(rank, own, steps));
  }
}

// All ranks' writes, at the pace of this run: what a drive's endurance is told in.
void add_wear(json& line, const finished_run& run) {
  constexpr double seconds_of_day = 86400.0;
  std::uint64_t written = 0;
  for (const rank_figures& own : run.ranks) written += own.tiers.disk_written;
  double a_day = 0;
  if (!run.steps.empty()) {
    written /= run.steps.size();
    a_day = static_cast<double>(written) * seconds_of_day /
            line.at("step_seconds").at("median").get<double>();
  }
  const std::uint64_t endurance = run.options->training.nvme_endurance;
  line["disk_wear"] = {
      {"written_per_step", written},
      {"written_per_day", a_day},
      {"endurance", endurance},
      {"days", written > 0 ? json(static_cast<double>(endurance) / a_day) : json()}};
}

// Every option by its name as it would be given, so that a run can be repeated from its report.
void add_options_given(json& line, const train_options& options) {
  train_options copy = options;
  option_set set("", "", "");
  add_options(set, copy);
  line["options"] = set.to_arguments();
}

void add_steps(json& line, const std::vector<trainer::training_step>& steps, std::uint64_t tokens) {
  std::vector<double> seconds;
  line["losses"] = json::array();
  line["gradient_norms"] = json::array();
  std::uint64_t skipped = 0;
  for (const trainer::training_step& step : steps) {
    line["losses"].push_back(step.loss);
    line["gradient_norms"].push_back(step.gradient_norm);
    seconds.push_back(step.seconds);
    skipped += step.skipped ? 1 : 0;
  }
  line["skipped_steps"] = skipped;
  std::sort(seconds.begin(), seconds.end());
  if (seconds.empty()) {  // all of them were done before
    line["step_seconds"] = {{"median", nullptr}, {"min", nullptr}, {"max", nullptr}};
    line["tokens_per_second"] = nullptr;
    return;
  }
  const std::size_t middle = seconds.size() / 2;
  const double median =
      seconds.size() % 2 == 1 ? seconds[middle] : (seconds[middle - 1] + seconds[middle]) / 2;
  line["step_seconds"] = {{"median", median}, {"min", seconds.front()}, {"max", seconds.back()}};
  line["tokens_per_second"] = static_cast<double>(tokens) / median;
}

// A step of rank 0 in parts that do not overlap, means over all steps: what the trainer computed;
// the verbs' own work, updates above all; waiting for peers; fetching and spilling.
void add_parts(json& line, const finished_run& run) {
  const auto steps = static_cast<double>(run.steps.size());
  const auto of = [&](phase p) { return run.seconds[static_cast<std::size_t>(p)] / steps; };
  double all = 0;
  for (std::size_t i = 0; i < phase_count; ++i) all += of(static_cast<phase>(i));
  const double waiting = of(phase::exposed_communication);  // is in the others as well
  all -= waiting;
  const double moving = of(phase::fetch) + of(phase::spill);
  line["seconds_of_step"] = {
      {"compute", of(phase::compute)},
      {"own_work", std::max(0.0, all - of(phase::compute) - waiting - moving)},
      {"exposed_communication", waiting},
      {"exposed_io", moving},
      {"all", all}};
}

// What the device did of what it can do. Operations are those a step needs, whatever is computed
// twice.
void add_device(json& line, const finished_run& run) {
  if (!run.device || run.steps.empty()) return;
  const common_options& o = run.options->training;
  const trainer::gpt_config model = chosen_model(o);
  const double operations = trainer::operations_of_step(model, o.batch, sequence_of(o, model));
  const double rate = operations / line.at("step_seconds").at("median").get<double>();
  json device{{"name", run.device->name},
              {"devices", run.device->devices},
              {"operations_per_step", operations},
              {"operations_per_second", rate}};
  if (run.device->matrix_rate) {
    device["matrix_operations_per_second"] = *run.device->matrix_rate;
    device["fraction_of_matrix_rate"] = rate / (*run.device->matrix_rate * run.device->devices);
  }
  line["device"] = std::move(device);
}

}  // namespace

std::vector<rank_figures> exchange(collectives::communicator& ranks, const rank_figures& own) {
  std::vector<rank_figures> all(static_cast<std::size_t>(ranks.size()));
  collectives::call how;
  how.name = "figures";
  ranks
      .all_gather({&own, sizeof own, dtype::byte},
                  {all.data(), all.size() * sizeof own, dtype::byte}, how)
      .wait();
  return all;
}

collectives::traffic difference(const collectives::traffic& later,
                                const collectives::traffic& earlier) {
  collectives::traffic more = later;
  more.all_gather -= earlier.all_gather;
  more.reduce_scatter -= earlier.reduce_scatter;
  more.all_reduce -= earlier.all_reduce;
  more.broadcast -= earlier.broadcast;
  more.all_to_all -= earlier.all_to_all;
  more.calls -= earlier.calls;
  more.staged -= earlier.staged;
  more.crossed -= earlier.crossed;
  return more;
}

tier_report difference(const tier_report& later, const tier_report& earlier) {
  tier_report more = later;
  more.host_to_device -= earlier.host_to_device;
  more.device_to_host -= earlier.device_to_host;
  more.disk_read -= earlier.disk_read;
  more.disk_written -= earlier.disk_written;
  more.disk_reading -= earlier.disk_reading;
  more.disk_writing -= earlier.disk_writing;
  more.host_to_device_reached -= earlier.host_to_device_reached;
  more.device_to_host_reached -= earlier.device_to_host_reached;
  more.copying_up -= earlier.copying_up;
  more.copying_down -= earlier.copying_down;
  more.moving -= earlier.moving;
  more.exposed -= earlier.exposed;
  return more;
}

std::uint64_t peak_resident_bytes() {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("VmHWM:", 0) == 0) return std::stoull(line.substr(6)) << 10;
  }
  return 0;
}

json note_line(const std::string& note) { return {{"schema", "zero.note/1"}, {"note", note}}; }

json step_line(const trainer::training_step& step, std::uint64_t tokens) {
  return {{"schema", "zero.step/1"},
          {"step", step.step},
          {"loss", step.loss},
          {"gradient_norm", step.gradient_norm},
          {"learning_rate", step.learning_rate},
          {"skipped", step.skipped},
          {"seconds", step.seconds},
          {"tokens_per_second", static_cast<double>(tokens) / step.seconds}};
}

json run_line(const finished_run& run) {
  const common_options& o = run.options->training;
  const trainer::gpt_config model = chosen_model(o);
  const int sequence = sequence_of(o, model);
  const partition::sharding_policy policy =
      partition::policy_of_name(run.options->stage, o.shard_group.value_or(0));
  const int world = static_cast<int>(run.ranks.size());
  const bool gathers = world > 1 && is_sharded(partition::resolved(policy, world).parameters);
  json line{{"schema", "zero.run/1"},
            {"model", model_json(model)},
            {"text", text_json(*run.text)},
            {"stage", partition::stage_of(policy)},
            {"policy", run.options->stage},
            {"shard_group", has_groups(policy) ? json(policy.group_size) : json()}};
  report_tiers(line, *run.options, world);
  line["ranks"] = run.ranks.size();
  line["dtype"] = name_of(o.dtype);
  line["gradient_dtype"] = o.gradient_dtype == gradient_storage::fp32 ? "fp32" : "same";
  line["quantize_gather"] = gathers ? o.quantize_gather : 0;
  line["quantize_reduce"] = world > 1 ? o.quantize_reduce : 0;
  line["optimizer"] = name_of(o.optimizer);
  line["optimizer_states"] = name_of(o.formats.states);
  line["master"] = name_of(o.formats.master);
  line["bytes_per_parameter"] = bytes_per_parameter(o);
  line["accumulate"] = o.accumulate;
  line["batch"] = o.batch;
  line["sequence"] = sequence;
  add_options_given(line, *run.options);
  add_steps(line, run.steps,
            static_cast<std::uint64_t>(o.batch) * static_cast<std::uint64_t>(sequence));
  add_device(line, run);
  line["parameters_digest"] = run.parameters_digest;
  add_figures(line, run.ranks, run.steps.size());
  add_wear(line, run);
  double seconds = 0;
  for (const trainer::training_step& step : run.steps) seconds += step.seconds;
  line["links"] = run.steps.empty() ? json() : links_json(run.ranks, run.steps.size(), seconds);
  for (std::size_t i = 0; i < phase_count; ++i) {
    line["seconds_by_phase"][name_of(static_cast<phase>(i))] = run.seconds[i];
  }
  add_parts(line, run);
  line["schedule"] = {{"gathers", run.schedule.gathers},
                      {"prefetched", run.schedule.prefetched},
                      {"on_demand", run.schedule.on_demand},
                      {"early", run.schedule.early}};
  return line;
}

}  // namespace zero::cli
