// The reference trainer's own passes, in the order of a training and over as many blocks as leave
// nothing of the first in a cache when it comes again.

#include "plan/calibration_trials.hpp"
#include "trainer/gpt.hpp"

#include <zero/base/buffer.hpp>
#include <zero/base/bytes.hpp>
#include <zero/base/memory_statistics.hpp>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

namespace zero::cli {
namespace {

// The head goes over the vocabulary piece by piece: of more it does more of the same.
constexpr int most_vocabulary = 4096;
constexpr std::size_t least_rounds = 5;
constexpr double seconds_of_rounds = 0.3;

// Of parameters and gradients together.
constexpr std::uint64_t least_footprint = 48_MiB;
constexpr int most_blocks = 8;

// A model with as many blocks, or all that it has.
trainer::gpt_config measured_model(const common_options& o) {
  trainer::gpt_config config = chosen_model(o);
  config.vocabulary = std::min(config.vocabulary, most_vocabulary);
  std::uint64_t block = 0;
  for (const std::uint64_t each : trainer::block_sizes(config))
    block += 2 * each * size_of(o.dtype);
  const std::uint64_t wanted = (least_footprint + block - 1) / block;
  const int most = std::min(config.layers, most_blocks);
  config.layers = static_cast<int>(std::min<std::uint64_t>(wanted, static_cast<unsigned>(most)));
  return config;
}

// Parameters of a model, and room for their gradients.
class made_up_parameters {
 public:
  made_up_parameters(const trainer::gpt_config& config, dtype type) : type_(type) {
    blocks.resize(static_cast<std::size_t>(config.layers));
    gradients.resize(blocks.size());
    for (std::size_t layer = 0; layer < blocks.size(); ++layer) {
      std::size_t tensor = 0;
      for (const std::uint64_t count : trainer::block_sizes(config)) {
        blocks[layer][tensor] = values(count);
        gradients[layer][tensor++] = room(count);
      }
    }
    const auto c = static_cast<std::uint64_t>(config.channels);
    wte = values(c * static_cast<std::uint64_t>(config.vocabulary));
    wte_gradient = room(wte.count);
    wpe = values(c * static_cast<std::uint64_t>(config.context));
    wpe_gradient = room(wpe.count);
    norm = values(c);
    norm_gradient = room(c);
    norm_bias_gradient = room(c);
  }

  std::vector<trainer::block_parameters> blocks;
  std::vector<trainer::block_gradients> gradients;
  const_typed_span wte, wpe, norm;
  typed_span wte_gradient, wpe_gradient, norm_gradient, norm_bias_gradient;

 private:
  typed_span room(std::uint64_t count) {
    const std::uint64_t bytes = count * size_of(type_);
    taken_.emplace_back(pages_, statistics_, memory_account::buffers, bytes);
    return {taken_.back().data(), static_cast<std::size_t>(count), type_};
  }
  // Small numbers of either sign, in fp32 and, of which the first half is, in 16 bits.
  const_typed_span values(std::uint64_t count) {
    const typed_span span = room(count);
    auto* const bytes = static_cast<unsigned char*>(span.data);
    const std::size_t each = size_of(type_);
    for (std::size_t i = 0; i < span.count; ++i) {
      const float value = (static_cast<float>(i * 2654435761U % 1024) - 512.0F) / 32768.0F;
      std::uint32_t word = 0;
      std::memcpy(&word, &value, sizeof word);
      // The upper half of an fp32 is a bf16; as an fp16 it is as small.
      if (each == 2) word >>= 16;
      std::memcpy(bytes + i * each, &word, each);
    }
    return span;
  }

  dtype type_;
  page_resource pages_;
  memory_statistics statistics_;
  std::vector<buffer> taken_;
};

// Seconds of the parts of one forward and backward.
struct round_seconds {
  pass_seconds forward;
  pass_seconds backward;
  double all = 0;
};

class passes_trial {
 public:
  passes_trial(const common_options& o, const measured_batch& batch)
      : config_(measured_model(o)),
        batch_(batch),
        model_(config_, options_of(o, batch)),
        with_(config_, o.dtype),
        tokens_(static_cast<std::size_t>(batch.sequences) *
                static_cast<std::size_t>(batch.length)) {
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      tokens_[i] =
          static_cast<std::int32_t>(i * 7919 % static_cast<std::size_t>(config_.vocabulary));
    }
  }

  [[nodiscard]] const trainer::gpt_config& config() const { return config_; }

  // meet() is called before each part, as a unit is gathered.
  template <typename Meet>
  round_seconds once(const Meet& meet) {
    round_seconds r;
    const span<const std::int32_t> all(tokens_);
    const auto begin = clock::now();
    since_ = begin;
    meet();
    model_.embed_forward(all, batch_.sequences, with_.wte, with_.wpe);
    r.forward.embedding = passed();
    for (int i = 0; i < config_.layers; ++i) {
      meet();
      model_.block_forward(i, with_.blocks[index(i)]);
    }
    r.forward.block = passed();
    meet();
    model_.final_norm_forward(with_.norm, with_.norm);
    r.forward.norm = passed();
    meet();
    model_.head_forward(with_.wte, all, &loss_);
    r.forward.head_entry = passed();
    meet();
    model_.head_backward(with_.wte, with_.wte_gradient, 1e-6F);
    r.backward.head_entry = passed();
    meet();
    model_.final_norm_backward(with_.norm, with_.norm_gradient, with_.norm_bias_gradient);
    r.backward.norm = passed();
    for (int i = config_.layers - 1; i >= 0; --i) {
      meet();
      model_.block_backward(i, with_.blocks[index(i)], with_.gradients[index(i)]);
    }
    r.backward.block = passed();
    meet();
    model_.embed_backward(with_.wte_gradient, with_.wpe_gradient);
    r.backward.embedding = passed();
    r.all = std::chrono::duration<double>(since_ - begin).count();
    return r;
  }

 private:
  using clock = std::chrono::steady_clock;

  static trainer::gpt_options options_of(const common_options& o, const measured_batch& batch) {
    trainer::gpt_options wanted;
    wanted.batch = batch.sequences;
    wanted.sequence = batch.length;
    wanted.storage = o.dtype;
    wanted.recompute = o.recompute ? trainer::recomputation::block : trainer::recomputation::none;
    return wanted;
  }
  static std::size_t index(int layer) { return static_cast<std::size_t>(layer); }
  double passed() {
    const auto now = clock::now();
    const double seconds = std::chrono::duration<double>(now - since_).count();
    since_ = now;
    return seconds;
  }

  trainer::gpt_config config_;
  measured_batch batch_;
  trainer::gpt model_;
  made_up_parameters with_;
  std::vector<std::int32_t> tokens_;
  double loss_ = 0;
  clock::time_point since_;
};

double median_of(const std::vector<round_seconds>& rounds) {
  std::vector<double> all;
  for (const round_seconds& r : rounds) all.push_back(r.all);
  const auto middle = all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2);
  std::nth_element(all.begin(), middle, all.end());
  return *middle;
}

// Ranks begin each round together, and each makes as many. In a round they meet as units are
// gathered: a unit waits until all ranks are `lag` units before it, or, without one, for nobody.
std::vector<round_seconds> run_rounds(passes_trial& trial, collectives::communicator& ranks,
                                      std::size_t rounds, std::optional<std::size_t> lag) {
  std::vector<round_seconds> result;
  std::vector<completion> met;
  for (std::size_t i = 0; i < rounds; ++i) {
    ranks.barrier().wait();
    met.clear();
    result.push_back(trial.once([&] {
      if (!lag) return;
      met.push_back(ranks.barrier());
      if (met.size() > *lag) met[met.size() - 1 - *lag].wait();
    }));
  }
  return result;
}

// As many as all ranks make in the time that rank 0 has for them.
std::size_t rounds_of(passes_trial& trial, collectives::communicator& ranks) {
  const double once = run_rounds(trial, ranks, 2, std::nullopt).back().all;
  std::vector<double> all(static_cast<std::size_t>(ranks.size()));
  collectives::call how;
  how.name = "rounds";
  ranks
      .all_gather({&once, sizeof once, dtype::byte},
                  {all.data(), all.size() * sizeof(double), dtype::byte}, how)
      .wait();
  return std::max(least_rounds, static_cast<std::size_t>(seconds_of_rounds / all.front()));
}

// Parts share the median of a round as they share all rounds together: where more ranks than cores
// run, a part may be done in one go or be interrupted by another rank, and its own median says
// nothing of that.
void take_parts(const std::vector<round_seconds>& rounds, const trainer::gpt_config& config,
                measured_machine& found) {
  double sum = 0;
  for (const round_seconds& r : rounds) sum += r.all;
  const double scale = median_of(rounds) / sum;
  const double blocks = config.layers;
  const double entries = config.vocabulary;
  for (const auto& [from, to] :
       {std::pair{&round_seconds::forward, &measured_machine::forward},
        std::pair{&round_seconds::backward, &measured_machine::backward}}) {
    pass_seconds& mean = found.*to;
    mean = {};
    for (const round_seconds& r : rounds) {
      const pass_seconds& each = r.*from;
      mean.embedding += scale * each.embedding;
      mean.block += scale * each.block / blocks;
      mean.norm += scale * each.norm;
      mean.head_entry += scale * each.head_entry / entries;
    }
  }
}

}  // namespace

void measure_passes(const common_options& o, const measured_batch& batch,
                    collectives::communicator& ranks, measured_machine& found) {
  passes_trial trial(o, batch);
  const std::size_t rounds = rounds_of(trial, ranks);
  const std::vector<round_seconds> free = run_rounds(trial, ranks, rounds, std::nullopt);
  take_parts(free, trial.config(), found);
  found.gathered_ahead = found.gathered_on_demand = 1;
  if (ranks.size() == 1) return;
  // Meeting makes nobody faster: what is below 1 is noise.
  const auto times = [&](std::size_t lag) {
    return std::max(1.0, median_of(run_rounds(trial, ranks, rounds, lag)) / median_of(free));
  };
  found.gathered_ahead = times(1);
  found.gathered_on_demand = times(0);
}

}  // namespace zero::cli
