#pragma once
// train_rank: one rank of `zero train`, from its options to its results.

#include "train_options.hpp"

#include <zero/base/cuda.hpp>
#include <zero/collectives/communicator.hpp>
#include <zero/engine/options.hpp>

#include <nlohmann/json.hpp>

#include <functional>
#include <memory>

namespace zero::cli {

// Where rank 0's lines go: zero.note/1 for what the user should know, zero.step/1 for each step,
// zero.run/1 at the end. And every rank's zero.error/1, which is thrown as well.
using result_sink = std::function<void(const nlohmann::ordered_json& line)>;

// Where a rank computes and whom it talks to.
struct rank_place {
  std::unique_ptr<cuda_device> device;               // null: on the host
  std::unique_ptr<collectives::communicator> peers;  // what `ranks` was started over, or null
  std::unique_ptr<collectives::communicator> ranks;
};

// Trains. Collective over `place.ranks`; only rank 0 writes files and, but for an
// error, calls `sink`. Blocks. Throws what reading, training and writing throw; --text, --tokens
// and
// --init-from that cannot be read are invalid_argument. Options must have been checked.
void run_training_rank(const train_options& options, rank_place place, const result_sink& sink);

// The engine's part of the options.
[[nodiscard]] engine_options engine_options_of(const train_options& options);

}  // namespace zero::cli
