#include "train_checkpoints.hpp"

#include <zero/base/error.hpp>
#include <zero/base/trace.hpp>
#include <zero/collectives/single.hpp>

#include <fmt/format.h>

#include <filesystem>
#include <vector>

namespace zero::cli {
namespace {

using json = nlohmann::ordered_json;

constexpr const char* attachment_name = "zero train";  // of what the trainer itself keeps

json note(const std::string& text) { return {{"schema", "zero.note/1"}, {"note", text}}; }

checkpoint::store_options store_options_of(const checkpoint_options& o) {
  checkpoint::store_options result;
  result.keep = o.keep.value_or(kept_by_default);
  result.how = o.background ? checkpoint::saving::background : checkpoint::saving::at_once;
  return result;
}

// "--steps is 40 and was 20", of options that are other than those of the checkpoint's run.
std::vector<std::string> differing(const training_items& own, const std::string& saved_text) {
  const json saved = json::parse(saved_text, nullptr, false);
  std::vector<std::string> result;
  if (!saved.is_object() || !saved.contains("options") || !saved["options"].is_object()) {
    return {"it is not a checkpoint of zero train"};
  }
  for (const auto& [option, value] : own) {
    const json& before = saved["options"].value(option, json());
    if (option == "--init-from" || !before.is_string() || before == value) continue;
    result.push_back(fmt::format("{} is {} and was {}", option, value, before.get<std::string>()));
  }
  return result;
}

// What is wrong with a name in the command line is said with its option in front.
template <typename Function>
auto naming_option(const Function& function) {
  try {
    return function();
  } catch (const invalid_argument& e) {
    throw invalid_argument(fmt::format("--checkpoint: {}", e.what()));
  }
}

}  // namespace

train_checkpoints::train_checkpoints(const train_options& options, collectives::communicator& ranks,
                                     trainer::training& training, training_items items,
                                     const sink_function& sink)
    : options_(options),
      ranks_(ranks),
      training_(training),
      items_(std::move(items)),
      sink_(sink),
      store_(ranks, options.checkpoints.directory, store_options_of(options.checkpoints)) {}

std::string train_checkpoints::client_text() const {
  json kept{{"schema", "zero.train/1"}, {"options", json::object()}};
  for (const auto& [option, value] : items_) kept["options"][option] = value;
  return kept.dump(-1, ' ', false, json::error_handler_t::replace);
}

// A run that saves beside the checkpoints of another would be one run to whoever resumes.
void train_checkpoints::refuse_unless_new() {
  const std::string& directory = options_.checkpoints.directory;
  const auto files = checkpoint::open_directory(directory, checkpoint::if_missing::refuse);
  const std::vector<std::string> there = checkpoint::catalog(*files);
  if (there.empty()) return;
  throw invalid_argument(
      fmt::format("--checkpoint {} already holds {}; give --resume to go on from there, or another "
                  "folder",
                  directory, there.front()));
}

std::uint64_t train_checkpoints::resume() {
  if (ranks_.rank() == 0 && !store_.note().empty()) sink_(note(store_.note()));
  if (!options_.checkpoints.resume) {
    if (ranks_.rank() == 0) refuse_unless_new();
    return 0;
  }
  checkpoint::loaded from;
  const auto into = checkpoint::target_of(training_.optimizer());
  if (!store_.load(*into, from)) {
    if (ranks_.rank() == 0) {
      sink_(note(fmt::format("--checkpoint {} holds no checkpoint; training starts at step 0",
                             options_.checkpoints.directory)));
    }
    return 0;
  }
  resumed_from_ = from.from.step;
  asked_ = told_ = from.from.step;
  training_.continue_after(from.from.step);
  if (ranks_.rank() == 0) tell_resumed(from);
  return from.from.step;
}

void train_checkpoints::tell_resumed(const checkpoint::loaded& from) {
  for (const std::string& why : from.passed_over) sink_(note("passed over " + why));
  const auto kept = from.client.find(attachment_name);
  const std::string text = kept == from.client.end() ? "" : kept->second;
  const std::vector<std::string> others = differing(items_, text);
  if (!others.empty()) {
    sink_(note(fmt::format("{} is not this run's: {}", from.from.name, fmt::join(others, ", "))));
  }
  sink_({{"schema", "zero.resume/1"},
         {"step", from.from.step},
         {"name", from.from.name},
         {"bytes", from.from.bytes},
         {"seconds", from.from.seconds},
         {"passed_over", from.passed_over}});
}

// Runs a call of the store, of which a save that failed may come. False if it did.
template <typename Call>
bool train_checkpoints::guarded(std::uint64_t step, const Call& call) {
  const std::int64_t begin = trace_clock();
  const auto take_time = [&] { held_up_ += 1e-9 * static_cast<double>(trace_clock() - begin); };
  try {
    call();
  } catch (const checkpoint::save_failed& e) {
    take_time();
    tell_failed(step, e);
    return false;
  }
  take_time();
  return true;
}

void train_checkpoints::after(std::uint64_t step) {
  const bool due = is_due(options_.checkpoints, step, options_.training.steps) && step != asked_;
  if (!due) {
    if (under_way_ && store_.is_idle()) finish();
    return;
  }
  finish();  // how the one before ended is its own story
  asked_ = step;
  const auto state = checkpoint::source_of(training_.optimizer());
  under_way_ = guarded(step, [&] {
    store_.save(*state, step, {{attachment_name, client_text()}});
  });
  if (!options_.checkpoints.background) finish();
}

void train_checkpoints::finish() {
  if (!under_way_) return;
  under_way_ = false;
  if (guarded(asked_, [&] { store_.finish(); })) tell_published();
}

void train_checkpoints::tell_published() {
  const checkpoint::published* newest = store_.newest();
  if (newest == nullptr || newest->step <= told_) return;
  told_ = newest->step;
  last_failure_.reset();
  last_ = newest->name;
  ++saved_;
  bytes_ += newest->bytes;
  seconds_ += newest->seconds;
  held_up_seconds_ += held_up_;
  if (ranks_.rank() == 0) {
    sink_({{"schema", "zero.checkpoint/1"},
           {"step", newest->step},
           {"name", newest->name},
           {"bytes", newest->bytes},
           {"seconds", newest->seconds},
           {"held_up_seconds", held_up_}});
    if (!store_.note().empty()) sink_(note(store_.note()));
  }
  held_up_ = 0.0;
}

void train_checkpoints::tell_failed(std::uint64_t step, const checkpoint::save_failed& why) {
  last_failure_ = why;
  ++failed_;
  held_up_seconds_ += held_up_;
  held_up_ = 0.0;
  if (ranks_.rank() != 0) return;
  sink_({{"schema", "zero.checkpoint_failed/1"},
         {"step", step},
         {"rank", why.rank},
         {"errno", why.error_number},
         {"message", why.what()}});
}

nlohmann::ordered_json train_checkpoints::report() const {
  return {{"directory", options_.checkpoints.directory},
          {"resumed_from", resumed_from_ ? json(*resumed_from_) : json()},
          {"saved", saved_},
          {"failed", failed_},
          {"bytes", bytes_},
          {"seconds", seconds_},
          {"held_up_seconds", held_up_seconds_},
          {"last", last_.empty() ? json() : json(last_)}};
}

void train_checkpoints::expect_last_saved() const {
  if (last_failure_) throw checkpoint::save_failed(*last_failure_);
}

void clear_unfinished(const std::string& directory) noexcept {
  try {
    if (!std::filesystem::is_directory(directory)) return;
    const auto alone = collectives::make_single();
    const checkpoint::store cleared(*alone, directory);
  } catch (const std::exception&) {
    // The next run clears it away.
  }
}

}  // namespace zero::cli
