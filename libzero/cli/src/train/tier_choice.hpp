#pragma once
// tier_choice: where the state of a training rests, as the options say or as a memory budget leaves
// it to be chosen.

#include "train/train_options.hpp"

#include <zero/partition/tiering.hpp>

#include <nlohmann/json.hpp>

#include <string>

namespace zero::cli {

// As the engine takes it: what is not given is on the device, gradients with the optimizer states.
[[nodiscard]] partition::tiering tiers_of(const train_options& o);

// Throws invalid_argument, naming the option, for classes that cannot rest where they are asked to
// at this stage, and for a share of what stays where it is.
void check_offload(const train_options& o, int ranks);

// The lowest tier that any class rests on.
[[nodiscard]] offload_tier lowest_tier(const train_options& o, int ranks);

// A run of a comparison: everything that this stage can offload.
void offload_all(train_options& o, offload_tier where, int ranks);

// Says of gradients what otherwise follows from where the rest is, so that no budget moves them.
void settle_gradients(train_options& o, int ranks);

// As the tiers are, which these options may have settled on.
void take_tiers(train_options& o, const partition::tiering& tiers, int ranks);

// Throws invalid_argument, naming the option, for a folder that swap files cannot lie in. Leaves
// nothing there.
void check_nvme_path(const std::string& path);
// Throws out_of_memory, naming the option, if the swap files of `ranks` ranks, all of this machine,
// do not fit where settle_tiers has put them. To be called before any of them is made.
void check_swap_space(const train_options& o, int ranks);

// Makes definite what is left open: with a budget, what rests where so that one of `ranks` ranks
// stays inside it; a folder for swap files, if there are any, which it checks. Returns what was
// chosen in one line for the user, empty if nothing was. Throws out_of_memory, naming the smallest
// budget that would do. Allocates nothing.
[[nodiscard]] std::string settle_tiers(train_options& o, int ranks);

// "offload" and its like: where each class rests under this policy.
void report_tiers(nlohmann::ordered_json& run, const train_options& o, int ranks);

}  // namespace zero::cli
