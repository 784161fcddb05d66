#include "train/train_rank.hpp"

#include "ranks/ending.hpp"
#include "ranks/result_channel.hpp"
#include "report/run_report.hpp"
#include "report/timeline.hpp"
#include "train/link_ceilings.hpp"
#include "train/same_training.hpp"
#include "train/train_checkpoints.hpp"
#include "train/train_files.hpp"
#include "trainer/blas.hpp"
#include "trainer/cuda/make_model.hpp"
#include "trainer/gpt.hpp"
#include "trainer/initial_values.hpp"
#include "trainer/text.hpp"
#include "trainer/token_file.hpp"
#include "trainer/training.hpp"

#include <zero/base/error.hpp>
#include <zero/base/hash.hpp>
#include <zero/optim/cuda.hpp>
#include <zero/optim/processor.hpp>

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <new>
#include <optional>

namespace zero::cli {
namespace {

constexpr std::size_t trace_capacity = 1U << 18;     // events of a rank
constexpr std::size_t timeline_capacity = 1U << 14;  // where nothing but the timeline is asked for
constexpr std::size_t timeline_steps = 4;            // the last ones, of which it is one
constexpr std::size_t prompt_tokens = 16;
constexpr std::chrono::seconds longest_ending{10};  // after an error

// What cannot be read is wrong input of the option that named it.
template <typename Function>
auto reading(const char* option_name, const Function& read) {
  try {
    return read();
  } catch (const io_error& e) {
    throw invalid_argument(fmt::format("{}: {}", option_name, e.what()));
  } catch (const invalid_argument& e) {
    throw invalid_argument(fmt::format("{}: {}", option_name, e.what()));
  }
}

// What only this machine lacks the others must hear of: they would wait for this rank.
template <typename Function>
auto telling(collectives::communicator& ranks, const Function& read) {
  try {
    return read();
  } catch (const std::exception& e) {
    ranks.abort(e.what());
    throw;
  }
}

error_class class_of(const std::exception& e) {
  if (dynamic_cast<const std::bad_alloc*>(&e) != nullptr) return error_class::resource;
  const auto* const known = dynamic_cast<const error*>(&e);
  return known != nullptr ? known->kind() : error_class::failure;
}

// A rank under another launcher may have no options of its own.
std::string failure_folder_of(const common_options& o) {
  const char* const named = std::getenv("ZERO_FAILURE_FOLDER");
  return o.failure_folder.empty() && named != nullptr ? named : o.failure_folder;
}

trainer::corpus read_corpus(const train_options& o, const trainer::gpt_config& model) {
  const char* name = o.tokens.empty() ? "--text" : "--tokens";
  return reading(name, [&] {
    std::vector<std::string> paths = o.training.text;
    if (paths.empty()) paths.emplace_back(trainer::default_text);
    trainer::corpus text =
        o.tokens.empty() ? trainer::read_text(paths) : trainer::read_token_file(o.tokens);
    text.check(model.vocabulary, sequence_of(o.training, model));
    return text;
  });
}

std::unique_ptr<trainer::parameter_source> open_values(const train_options& o,
                                                       const trainer::gpt_config& model) {
  if (o.init_from.empty()) {
    return std::make_unique<trainer::initial_values>(model, o.training.seed);
  }
  return reading("--init-from", [&] { return trainer::open_parameters(o.init_from, model); });
}

trainer::training_options trainer_options_of(const train_options& options) {
  const common_options& o = options.training;
  trainer::training_options result;
  result.model = chosen_model(o);
  result.type = o.dtype;
  result.batch = o.batch;
  result.sequence = sequence_of(o, result.model);
  result.offload_activations = o.offload_activations;
  result.recompute = o.recompute || o.offload_activations;
  result.seed = o.seed;
  result.schedule.peak = static_cast<float>(o.learning_rate);
  result.schedule.final_fraction = static_cast<float>(o.final_learning_rate_fraction);
  result.schedule.warmup_steps = warmup_steps_of(o);
  result.schedule.total_steps = o.steps;
  result.schedule.shape = o.schedule;
  result.engine = engine_options_of(options);
  result.engine.disk_deadline = deadline_of(o);
  return result;
}

std::unique_ptr<optim::processor> processor_of(const rank_place& place) {
  return place.device ? optim::make_cuda_processor(*place.device) : optim::make_host_processor();
}

std::unique_ptr<trainer::model> model_for(const rank_place& place, stream& queue,
                                          const trainer::training_options& options) {
  const trainer::gpt_options needed = trainer::model_options_of(options, place.ranks->size());
  if (place.device) return trainer::make_cuda_model(*place.device, queue, options.model, needed);
  return std::make_unique<trainer::gpt>(options.model, needed);
}

// Continues the beginning of the text.
std::vector<std::int32_t> sample(trainer::training& training, const trainer::corpus& text,
                                 const train_options& o) {
  std::vector<std::int32_t> tokens;
  for (std::uint64_t i = 0; i < std::min<std::uint64_t>(prompt_tokens, text.token_count()); ++i) {
    tokens.push_back(text.token(i));
  }
  return training.sample(std::move(tokens), o.sample, o.training.seed);
}

// What was queued and moved so far.
struct counts {
  collectives::traffic traffic;
  tier_report tiers;
};

counts counts_of(const sharded_optimizer& optimizer) {
  return {optimizer.traffic(), optimizer.tiers()};
}

counts without(const counts& later, const counts& earlier) {
  return {difference(later.traffic, earlier.traffic), difference(later.tiers, earlier.tiers)};
}

// One rank's training, once everything it needs has been read.
class rank_run {
 public:
  rank_run(const train_options& options, rank_place& place, const trainer::corpus& text,
           trainer::parameter_source& values, const training_items& items, const result_sink& sink)
      : options_(options),
        place_(place),
        ranks_(*place.ranks),
        text_(text),
        sink_(sink),
        work_(processor_of(place)),
        ceilings_(measure_links(options, place, *work_)),
        training_(ranks_, *work_, model_for(place, work_->queue(), trainer_options_of(options)),
                  trainer_options_of(options), text, values) {
    const bool whole = !options.trace_file.empty();
    if (whole || ranks_.rank() == 0) {
      recorder_.emplace(whole ? trace_capacity : timeline_capacity);
      ranks_.set_trace(&*recorder_);
      training_.set_trace(&*recorder_);
    }
    if (!options.checkpoints.directory.empty()) {
      checkpoints_.emplace(options, ranks_, training_, items, sink);
    }
  }

  void steps() {
    const std::uint64_t first = checkpoints_ ? checkpoints_->resume() : 0;
    const std::uint64_t last = options_.training.steps;
    // The first gathers are queued now, as every step queues those of the next: so the steps below
    // say what steps say.
    if (first < last) training_.optimizer().begin_micro_batch();
    counts before = counts_of(training_.optimizer());
    tell_beginning(first, last);
    const auto sequence =
        static_cast<std::uint64_t>(sequence_of(options_.training, chosen_model(options_.training)));
    const std::uint64_t tokens = sequence * static_cast<std::uint64_t>(options_.training.batch);
    done_.reserve(last - std::min(first, last));
    for (std::uint64_t step = first + 1; step <= last; ++step) {
      one_step(last - step + 1);
      if (ranks_.rank() == 0) sink_(step_line(done_.back(), tokens));
      if (checkpoints_) before = save_apart(step, before);
    }
    if (checkpoints_) checkpoints_->finish();
    take_figures(before);
  }

  void tell_beginning(std::uint64_t first, std::uint64_t last) {
    if (ranks_.rank() != 0) return;
    for (const std::string& note : training_.optimizer().notes()) sink_(note_line(note));
    if (first >= last) {
      sink_(note_line(fmt::format("all of --steps {} are done: nothing is left to train", last)));
    }
  }

  // What a checkpoint moves is left out of what steps moved: `before` and that, as if it had been
  // there at the start.
  counts save_apart(std::uint64_t step, const counts& before) {
    if (!is_due(options_.checkpoints, step, options_.training.steps)) {
      checkpoints_->after(step);
      return before;
    }
    const counts of_steps = without(counts_of(training_.optimizer()), before);
    checkpoints_->after(step);
    return without(counts_of(training_.optimizer()), of_steps);
  }

  void take_figures(const counts& before) {
    const counts moved = without(counts_of(training_.optimizer()), before);
    figures_.traffic = moved.traffic;
    figures_.tiers = moved.tiers;
    figures_.ceilings = ceilings_;
    figures_.planned_tiers = training_.planned_tier_traffic();
    figures_.planned = training_.planned_communication();
    figures_.planned_crossing = training_.planned_crossing();
    figures_.memory = training_.optimizer().memory();
    figures_.activations = training_.activation_bytes();
    figures_.offloaded_activations = training_.offloaded_bytes();
    figures_.process_rss_peak = peak_resident_bytes();
  }

  // What the device can do, beside what it did. The others wait meanwhile.
  device_figures rate_device() {
    const bool shared = std::string("one_device") == ranks_.backend();
    device_figures figures{place_.device->name(), shared ? 1 : ranks_.size(), std::nullopt};
    try {
      figures.matrix_rate = trainer::matrix_rate(*place_.device, options_.training.dtype);
    } catch (const error& e) {
      if (e.kind() != error_class::resource) throw;  // no room beside the model: not measured
    }
    return figures;
  }

  // The run's own line; null but on rank 0.
  nlohmann::ordered_json conclude() {
    sharded_optimizer& optimizer = training_.optimizer();
    finished_run run{
        &options_, &text_,      std::move(done_), {}, training_.seconds(), optimizer.schedule(),
        {},        std::nullopt};
    ranks_.barrier().wait();  // the step has queued the first gathers of a next one
    training_.set_trace(nullptr);
    ranks_.set_trace(nullptr);
    if (!options_.trace_file.empty()) {
      write_trace(ranks_, *recorder_, optimizer.layout(), figures_.memory.measured,
                  options_.trace_file);
    }
    run.parameters_digest = to_hex(optimizer.parameters_digest());
    run.ranks = exchange(ranks_, figures_);
    if (place_.device && ranks_.rank() == 0) run.device = rate_device();
    std::vector<std::int32_t> sampled;
    if (options_.sample > 0) sampled = sample(training_, text_, options_);
    if (!options_.export_file.empty()) {
      export_parameters(optimizer, chosen_model(options_.training), options_.export_file,
                        ranks_.rank() == 0);
    }
    if (ranks_.rank() != 0) return nullptr;
    nlohmann::ordered_json line = run_line(run);
    if (!run.steps.empty()) {
      line["timeline"] = timeline_json(*recorder_, optimizer.layout(), traced_,
                                       line.at("step_seconds").at("median").get<double>(),
                                       figures_.memory.measured);
    }
    if (options_.sample > 0) line["sample"] = sampled;
    if (checkpoints_) line["checkpoints"] = checkpoints_->report();
    return line;
  }

  // Throws where the run's last state is in no checkpoint though one was asked for. All ranks know
  // that; the one that has told how the run went says it, or another's end would cut that short.
  void expect_saved() const {
    if (checkpoints_ && ranks_.rank() == 0) checkpoints_->expect_last_saved();
  }

 private:
  // `left` of them, this one too. What is traced begins a step early, to know what memory the
  // first was begun with.
  void one_step(std::uint64_t left) {
    if (recorder_ && options_.trace_file.empty()) {
      recorder_->set_recording(left <= timeline_steps + 1);
    }
    const std::int64_t begin = trace_clock();
    done_.push_back(training_.step());
    const bool first = done_.size() == 1 && left > 1;
    if (left <= timeline_steps && !first) {
      traced_.push_back({done_.back().step, begin, trace_clock()});
    }
  }

  const train_options& options_;
  rank_place& place_;
  collectives::communicator& ranks_;
  const trainer::corpus& text_;
  const result_sink& sink_;
  std::optional<trace_recorder> recorder_;
  std::unique_ptr<optim::processor> work_;
  link_ceilings ceilings_;  // measured before anything else takes memory
  trainer::training training_;
  std::optional<train_checkpoints> checkpoints_;
  std::vector<trainer::training_step> done_;
  std::vector<traced_step> traced_;
  rank_figures figures_;
};

}  // namespace

void run_training_rank(const train_options& options, rank_place place, const result_sink& sink) {
  collectives::communicator& ranks = *place.ranks;
  const std::chrono::milliseconds longest = deadline_of(options.training);
  ranks.set_deadline(longest);
  ranks.set_failure_folder(failure_folder_of(options.training));
  if (place.device) place.device->set_deadline(longest.count());
  std::optional<trainer::corpus> text;
  std::optional<rank_run> run;  // ends after the others have been told, or it would wait for them
  try {
    if (!place.device) trainer::check_blas();
    const trainer::gpt_config model = chosen_model(options.training);
    text.emplace(read_corpus(options, model));
    const auto values = open_values(options, model);
    const training_items items = items_of(options.training, text->digest(), options.init_from);
    expect_same_training(ranks, items);
    expect_same_training(ranks, ending_items_of(options));
    run.emplace(options, place, *text, *values, items, sink);
    run->steps();
    const nlohmann::ordered_json line = run->conclude();
    // Nobody leaves while another still reads its memory.
    ranks.barrier().wait();
    if (ranks.rank() == 0) sink(line);
  } catch (const std::exception& e) {
    const int kind = static_cast<int>(class_of(e));
    end_within(longest_ending, kind);
    // Now: a disk that does not answer may not let this rank come to its end.
    sink(error_line(kind, e.what(), ranks.rank()));
    ranks.record_failure(e.what());
    ranks.abort(e.what());
    throw;
  }
  run->expect_saved();
}

}  // namespace zero::cli
