#pragma once
// run_report: what a training run tells, as the JSON of the contract.
//
// Pure but for exchange(), which is collective.

#include "train/link_ceilings.hpp"
#include "train/train_options.hpp"
#include "trainer/corpus.hpp"
#include "trainer/training.hpp"

#include <zero/collectives/communicator.hpp>
#include <zero/engine/reports.hpp>
#include <zero/partition/communication_plan.hpp>
#include <zero/partition/tier_traffic.hpp>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace zero::cli {

// What every rank has of its own. Moved between ranks byte by byte.
struct rank_figures {
  memory_report memory;
  std::uint64_t activations = 0;            // bytes
  std::uint64_t offloaded_activations = 0;  // bytes of host memory
  std::uint64_t process_rss_peak = 0;       // bytes
  collectives::traffic traffic;             // of the steps alone
  partition::communication_volume planned;  // of one step
  std::uint64_t planned_crossing = 0;       // bytes of one step
  tier_report tiers;                        // of the steps alone
  partition::tier_bytes planned_tiers;      // of one step
  link_ceilings ceilings;
};

// All ranks' figures, on every rank. Collective; blocks.
[[nodiscard]] std::vector<rank_figures> exchange(collectives::communicator& ranks,
                                                 const rank_figures& own);

// Operations and bytes of `later` that `earlier` has not.
[[nodiscard]] collectives::traffic difference(const collectives::traffic& later,
                                              const collectives::traffic& earlier);

// What `later` moved between tiers and `earlier` had not.
[[nodiscard]] tier_report difference(const tier_report& later, const tier_report& earlier);

// Bytes of this process that were in memory at once, at most; 0 where the system does not tell.
[[nodiscard]] std::uint64_t peak_resident_bytes();

// Schema zero.note/1: a sentence for the user.
[[nodiscard]] nlohmann::ordered_json note_line(const std::string& note);

// Schema zero.step/1. `tokens` are those of a step.
[[nodiscard]] nlohmann::ordered_json step_line(const trainer::training_step& step,
                                               std::uint64_t tokens);

// The GPU that a run used.
struct device_figures {
  std::string name;
  int devices = 1;                    // that the ranks share or have one each of
  std::optional<double> matrix_rate;  // operations a second of one large product, each device
};

struct finished_run {
  const train_options* options;
  const trainer::corpus* text;
  std::vector<trainer::training_step> steps;
  std::vector<rank_figures> ranks;
  seconds_by_phase seconds{};
  schedule_report schedule;
  std::string parameters_digest;
  std::optional<device_figures> device;
};

// Schema zero.run/1.
[[nodiscard]] nlohmann::ordered_json run_line(const finished_run& run);

}  // namespace zero::cli
