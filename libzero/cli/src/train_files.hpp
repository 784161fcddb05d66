#pragma once
// What rank 0 of a training run writes beside its results: the parameters and the trace.

#include "train_options.hpp"

#include <zero/base/trace.hpp>
#include <zero/collectives/communicator.hpp>
#include <zero/engine/sharded_optimizer.hpp>

#include <string>

namespace zero::cli {

// Writes the fp32 master weights as .safetensors with GPT-2's names, whole or not at all; also
// when it is interrupted. Collective. Throws io_error.
void export_parameters(sharded_optimizer& optimizer, const trainer::gpt_config& model,
                       const std::string& path, bool is_writer);

// Writes the events of all ranks as one Chrome trace: a process for each rank, a thread for each
// lane, microseconds. Collective; rank 0 writes. Throws io_error.
void write_trace(collectives::communicator& ranks, const trace_recorder& recorder,
                 const std::string& path);

}  // namespace zero::cli
