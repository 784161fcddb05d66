#include "plan/measuring_ranks.hpp"

#include "plan/planned_run.hpp"
#include "ranks/rank_environment.hpp"
#include "ranks/result_channel.hpp"
#include "train/device_ranks.hpp"
#include "train/training_processes.hpp"
#include "trainer/blas.hpp"

#include <zero/base/error.hpp>
#include <zero/collectives/device_ranks.hpp>
#include <zero/collectives/one_device.hpp>
#include <zero/collectives/shared_memory.hpp>
#include <zero/collectives/single.hpp>
#include <zero/offload/swap_file.hpp>

#include <utility>

namespace zero::cli {
namespace {

train_options measured_options(const planner_options& o) {
  train_options options = o.run;
  std::string& folder = options.training.nvme_path;
  if (folder.empty()) folder = offload::default_swap_directory();
  return options;
}

machine_record record_of(const planner_options& o, const planned_model& model, rank_place& place) {
  const common_options& training = o.run.training;
  const bool on_device = training.device == compute_device::cuda;
  if (!on_device) trainer::check_blas();
  machine_record record;
  record.ranks = place.ranks->size();
  record.device = on_device ? "cuda" : "cpu";
  record.dtype = name_of(training.dtype);
  record.batch = batch_of_rank(o, model);
  record.recompute = training.recompute;
  record.model = chosen_model(training);
  record.measured = measure_machine(measured_options(o), place, record.batch);
  return record;
}

}  // namespace

machine_record measure_by_ranks(const planner_options& o, const planned_model& model,
                                const arguments& given) {
  if (!model.gpt) {
    throw invalid_argument(
        "--calibrate is not accepted with this model; expected one that zero train trains, or "
        "--ceilings of another's measurement");
  }
  require_device(o.run.training);
  if (o.run.training.device == compute_device::cuda) {
    auto world = collectives::one_device_world::create(1);
    collectives::device_rank joined = collectives::join_on_one(world, 0, 0);
    rank_place place{std::move(joined.device), nullptr, std::move(joined.ranks)};
    return record_of(o, model, place);
  }
  if (o.ranks == 1) {
    rank_place place{nullptr, nullptr, collectives::make_single()};
    return record_of(o, model, place);
  }
  machine_record record;
  arguments command = given;
  command.insert(command.begin(), "plan");
  signal_watch signals;
  bool told = false;
  const training_outcome outcome = run_training_processes(
      {this_program(), command, o.ranks, 0, deadline_of(o.run.training)},
      [&](const nlohmann::ordered_json& line) {
        record = parse_ceilings(line, "a rank");
        told = true;
      },
      signals);
  if (outcome.exit_code != 0) throw error(outcome.message, error_class(outcome.exit_code));
  if (!told) throw error("no rank said what it measured", error_class::failure);
  return record;
}

int measure_as_rank(const planner_options& o, const planned_model& model, result_channel& starter) {
  rank_place place;
  try {
    const auto identity = rank_from_environment();
    if (!identity || identity->arena < 0) throw invalid_argument("this is no rank");
    place.ranks =
        collectives::shared_memory_world::attach(identity->arena).join(identity->who.rank);
    const machine_record record = record_of(o, model, place);
    if (place.ranks->rank() == 0) starter.send(ceilings_json(record));
    // Nobody leaves while another still reads its memory.
    place.ranks->barrier().wait();
  } catch (const error& e) {
    if (place.ranks) place.ranks->abort(e.what());
    starter.send(error_line(static_cast<int>(e.kind()), e.what()));
    return static_cast<int>(e.kind());
  }
  return 0;
}

}  // namespace zero::cli
