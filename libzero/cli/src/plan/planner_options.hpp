#pragma once
// planner_options: what `zero plan` is told: a model, ranks, what there is of memory, and what the
// machine can do.
//
// Plain values; see train_options.hpp.

#include "train/train_options.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace zero::cli {

struct planner_options {
  train_options run;  // of it, what bears on memory and time; stage and tiers are each plan's own

  // ---- the model, unless run.training names one ----
  std::optional<std::uint64_t> parameters;
  std::string model_file;  // a config.json or a .safetensors; empty: none

  // ---- ranks ----
  int ranks = 1;
  std::optional<int> ranks_per_node;  // default all
  std::optional<int> batch;           // default a sequence for each rank and micro-batch
  std::vector<std::string> stages{"0", "1", "2", "3"};
  std::vector<offload_tier> offloads{offload_tier::none, offload_tier::cpu, offload_tier::nvme};

  // ---- what there is; nothing: no limit ----
  std::optional<std::uint64_t> device_memory;  // bytes of a rank
  std::optional<std::uint64_t> host_memory;    // of a node
  std::optional<std::uint64_t> nvme_capacity;  // of a node

  // ---- what it can do ----
  std::optional<std::uint64_t> interconnect_bandwidth;  // bytes a second of a rank
  std::optional<std::uint64_t> host_bandwidth;          // between host and device, of a rank
  std::optional<std::uint64_t> nvme_bandwidth;          // of a node
  std::optional<std::uint64_t> flops;                   // operations a second of a rank

  // ---- or what it was measured to do ----
  bool calibrate = false;  // measures it now
  std::string ceilings;    // a file: written with calibrate, else read; empty: no file

  std::string recommend;  // a file for the recommended configuration; empty: none
  bool json = false;
};

[[nodiscard]] option_set planner_option_set(planner_options& o);

// Ranks that share a node.
// Of a model that is planned: so that bytes of all that it takes can be counted in 64 bits.
inline constexpr std::uint64_t most_elements = 10'000'000'000'000'000;

[[nodiscard]] int ranks_on_node(const planner_options& o) noexcept;

// Makes definite what is left open (batch, groups). Throws invalid_argument, naming the option,
// unless the options make sense with each other.
void settle(planner_options& o);

}  // namespace zero::cli
