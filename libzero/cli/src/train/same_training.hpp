#pragma once
// same_training: what the optimizer cannot compare, since the trainer owns it: the text, the batch,
// the schedule. Ranks that differ in any would train on, silently wrong.

#include "train/train_options.hpp"

#include <zero/collectives/communicator.hpp>

#include <string>
#include <utility>
#include <vector>

namespace zero::cli {

// Options and what they were given, in words. `text` and `values` stand for what is trained on and
// what it begins with.
using training_items = std::vector<std::pair<std::string, std::string>>;
[[nodiscard]] training_items items_of(const common_options& o, const std::string& text,
                                      const std::string& values);

// What all ranks do together beside training: saving, exporting, sampling.
[[nodiscard]] training_items ending_items_of(const train_options& o);

// Collective; blocks. Throws desync that names the first option that differs and the ranks in the
// minority.
void expect_same_training(collectives::communicator& ranks, const training_items& items);

}  // namespace zero::cli
