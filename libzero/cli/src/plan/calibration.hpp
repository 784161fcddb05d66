#pragma once
// calibration: what this machine does, measured for a moment by all ranks at once, since they share
// it: what `zero plan --calibrate` measures.

#include "train/train_rank.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>

namespace zero::cli {

// Seconds of one micro-batch in the parts of a GPT: the embedding looked up, one block, the last
// norm, and the head for one entry of the vocabulary.
struct pass_seconds {
  double embedding = 0;
  double block = 0;
  double norm = 0;
  double head_entry = 0;
};

// Bytes, operations and calls a second of one rank; 0: not measured. Moved between ranks byte by
// byte.
struct measured_machine {
  double memory_copy = 0;    // bytes read and written
  double memory_update = 0;  // of an AdamW update in the dtypes of the options, as plans count them
  double host_update = 0;    // the same of states in host memory
  double matrix = 0;         // operations of a large matrix product
  double all_gather = 0;     // bus bandwidth
  double reduce_scatter = 0;
  double call_seconds = 0;
  double host_to_device = 0;
  double device_to_host = 0;
  double disk_read = 0;
  double disk_written = 0;
  double disk_both = 0;
  pass_seconds forward;  // of ranks that meet once a step
  pass_seconds backward;
  // How many times as long passes take of ranks that meet at every unit, since it is gathered then,
  // or one unit ahead: where cores are not shared evenly some ranks wait for others.
  double gathered_on_demand = 0;
  double gathered_ahead = 0;
};

// Sequences and tokens of the passes that are measured.
struct measured_batch {
  int sequences = 1;
  int length = 1;
};

// Measures with what `options` say: dtype, model, recomputation, folder of swap files. Collective
// over place.ranks; blocks for a few seconds. All ranks together take about 100 MiB of memory, or
// the state of an embedding and one block where that is more, and on the host each the activations
// of up to eight blocks; of the disk as much as of memory; and give them back. The mean over all
// ranks, on every rank. A disk without room has rates of 0.
[[nodiscard]] measured_machine measure_machine(const train_options& options, rank_place& place,
                                               const measured_batch& batch);

}  // namespace zero::cli
