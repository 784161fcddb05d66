#include "train/same_training.hpp"

#include <zero/base/error.hpp>
#include <zero/base/hash.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

namespace zero::cli {
namespace {

digest128 digest_of(const std::string& value) {
  hash128 hash;
  hash.update(value);
  return hash.digest();
}

// The ranks whose digest is not the one that most have; of equals, the lowest rank's counts.
std::vector<int> minority_of(const std::vector<digest128>& all) {
  const auto votes = [&all](const digest128& d) { return std::count(all.begin(), all.end(), d); };
  const digest128* most = &all.front();
  for (const digest128& d : all) {
    if (votes(d) > votes(*most)) most = &d;
  }
  std::vector<int> others;
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    if (all[rank] != *most) others.push_back(static_cast<int>(rank));
  }
  return others;
}

}  // namespace

training_items items_of(const common_options& o, const std::string& text,
                        const std::string& values) {
  const trainer::gpt_config model = chosen_model(o);
  return {{"--model", fmt::format("{} {} {} {} {}", model.vocabulary, model.layers, model.channels,
                                  model.heads, model.context)},
          {"--text", text},
          {"--init-from", values},
          {"--steps", fmt::format("{}", o.steps)},
          {"--batch", fmt::format("{}", o.batch)},
          {"--sequence", fmt::format("{}", sequence_of(o, model))},
          {"--accumulate", fmt::format("{}", o.accumulate)},
          {"--seed", fmt::format("{}", o.seed)},
          {"--learning-rate", fmt::format("{}", o.learning_rate)},
          {"--schedule", fmt::format("{}", static_cast<int>(o.schedule))},
          {"--warmup-steps", fmt::format("{}", warmup_steps_of(o))},
          {"--final-learning-rate-fraction", fmt::format("{}", o.final_learning_rate_fraction)}};
}

training_items ending_items_of(const train_options& o) {
  const checkpoint_options& c = o.checkpoints;
  const auto given = [](bool whether) { return whether ? "given" : "not given"; };
  return {{"--checkpoint", c.directory},
          {"--save-every", c.save_every ? fmt::format("{}", *c.save_every) : ""},
          {"--keep", fmt::format("{}", c.keep.value_or(kept_by_default))},
          {"--resume", given(c.resume)},
          {"--checkpoint-async", given(c.background)},
          {"--export", given(!o.export_file.empty())},
          {"--trace", given(!o.trace_file.empty())},
          {"--sample", fmt::format("{}", o.sample)}};
}

void expect_same_training(collectives::communicator& ranks, const training_items& items) {
  if (ranks.size() == 1) return;
  collectives::call how;
  how.name = "same training";
  std::vector<digest128> all(static_cast<std::size_t>(ranks.size()));
  for (const auto& [option, value] : items) {
    const digest128 own = digest_of(value);
    ranks
        .all_gather({own.data(), own.size(), dtype::byte},
                    {all.data(), all.size() * own.size(), dtype::byte}, how)
        .wait();
    const std::vector<int> others = minority_of(all);
    if (others.empty()) continue;
    throw desync(fmt::format("{} is not the same on all ranks: rank {} differ{} from the others",
                             option, format_ranks(others), others.size() == 1 ? "s" : ""),
                 others);
  }
}

}  // namespace zero::cli
