#pragma once
// What rank 0 of a training run writes beside its results: the parameters and the trace.

#include "train/train_options.hpp"

#include <zero/base/trace.hpp>
#include <zero/collectives/communicator.hpp>
#include <zero/engine/sharded_optimizer.hpp>

#include <string>

namespace zero::cli {

// Writes the fp32 master weights as .safetensors with GPT-2's names, whole or not at all; also
// when it is interrupted. Collective. Throws io_error.
void export_parameters(sharded_optimizer& optimizer, const trainer::gpt_config& model,
                       const std::string& path, bool is_writer);

// Writes the events of all ranks as one Chrome trace, microseconds from the first: a process for
// each rank, a thread for each lane (several where what it does overlaps), a slice for what a verb
// does to a unit, counters for the memory of each account (`held` all the time) and for the slots
// in use. Collective; rank 0 writes. Throws io_error.
void write_trace(collectives::communicator& ranks, const trace_recorder& recorder,
                 const partition::layout& layout, const memory_by_account& held,
                 const std::string& path);

}  // namespace zero::cli
