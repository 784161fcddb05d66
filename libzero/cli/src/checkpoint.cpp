// zero checkpoint: what stands in checkpoints, whether it still does, and in other forms.

#include "checkpoint_actions.hpp"
#include "output_folder.hpp"
#include "say.hpp"
#include "sharding_choice.hpp"
#include "subcommands.hpp"

#include <zero/base/error.hpp>
#include <zero/checkpoint/store.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <utility>

namespace zero::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* usage =
    "inspect|verify DIR | export DIR FILE | reshard DIR --ranks M --stage S OUT";

struct asked {
  std::optional<std::uint64_t> step;
  std::optional<int> ranks;
  std::string stage;
  bool as_json = false;
};

option_set checkpoint_options_set(asked& o) {
  option_set set("checkpoint", usage,
                 "inspect  what checkpoints a run keeps in DIR, and what stands in the newest\n"
                 "verify   reads every byte of them; exit code 5 and the first fault if there is "
                 "one\n"
                 "export   writes the weights of the newest as one .safetensors file, in fp32\n"
                 "reshard  writes the newest as M ranks would have, as a checkpoint in OUT\n"
                 "DIR is what --checkpoint of zero train was, or one checkpoint in it.");
  set.add(whole("step", "STEP", "the checkpoint of that step (default the newest)", o.step,
                {0, std::numeric_limits<std::uint64_t>::max()}));
  set.add(whole("ranks", "M", "of reshard: ranks that are to load it", o.ranks, {1, 99999}));
  set.add(choice("stage", "of reshard: the stage it is for; whatever it is, it loads at all",
                 o.stage, policy_choices()));
  set.add(switch_on("json", "write one JSON object", o.as_json));
  return set;
}

// Words that belong to no option, and the rest. Options take a value but for --json.
std::pair<arguments, arguments> split_words(const arguments& given) {
  arguments words;
  arguments options;
  for (std::size_t i = 0; i < given.size(); ++i) {
    const std::string& token = given[i];
    if (token.size() < 2 || token.front() != '-') {
      words.push_back(token);
      continue;
    }
    options.push_back(token);
    const bool has_value = token.find('=') != std::string::npos || token == "--json";
    if (!has_value && i + 1 < given.size()) options.push_back(given[++i]);
  }
  return {words, options};
}

void expect_words(const arguments& words, const char* last) {
  const std::size_t count = last == nullptr ? 2 : 3;
  const std::string form =
      fmt::format("{} DIR{}", words.front(), last == nullptr ? "" : fmt::format(" {}", last));
  const auto empty = std::find(words.begin(), words.end(), "");
  if (words.size() == count && empty == words.end()) return;
  if (words.size() == count) {
    throw invalid_argument(fmt::format("{} is ''; expected zero checkpoint {}",
                                       empty - words.begin() == 1 ? "DIR" : last, form));
  }
  if (words.size() > count) {
    throw invalid_argument(
        fmt::format("unexpected argument '{}'; expected zero checkpoint {}", words[count], form));
  }
  throw invalid_argument(fmt::format("{} is missing; expected zero checkpoint {}",
                                     words.size() < 2 ? "DIR" : last, form));
}

int act(const arguments& words, const asked& o) {
  const std::string& action = words.front();
  if (action != "reshard" && (o.ranks || !o.stage.empty())) {
    throw invalid_argument(
        fmt::format("{} is for reshard, not for {}", o.ranks ? "--ranks" : "--stage", action));
  }
  if (action == "inspect" || action == "verify") {
    expect_words(words, nullptr);
    const named_checkpoints named = find_checkpoints(words[1], o.step);
    return action == "inspect" ? inspect_checkpoints(named, o.as_json)
                               : verify_checkpoints(named, o.as_json);
  }
  if (action == "export") {
    expect_words(words, "FILE");
    check_writable_file(words[2], writing::replace);
    return export_checkpoint(find_checkpoints(words[1], o.step), words[2], o.as_json);
  }
  if (action == "reshard") {
    expect_words(words, "OUT");
    if (!o.ranks) throw invalid_argument("--ranks is missing; expected --ranks M");
    if (o.stage.empty()) throw invalid_argument("--stage is missing; expected --stage S");
    check_writable(words[2]);
    return reshard_checkpoint(find_checkpoints(words[1], o.step), {*o.ranks, o.stage, words[2]},
                              o.as_json);
  }
  throw invalid_argument(fmt::format(
      "'{}' is nothing zero checkpoint does; expected inspect, verify, export or reshard", action));
}

bool is_checkpoint_name(const std::string& name) {
  constexpr std::size_t digits = 12;
  const std::string before = "step-";
  return name.size() == before.size() + digits && name.rfind(before, 0) == 0 &&
         name.find_first_not_of("0123456789", before.size()) == std::string::npos;
}

// The last part of a path and what is before it, however it is spelled.
std::pair<std::string, std::string> split_path(const std::string& path) {
  fs::path whole = fs::absolute(path).lexically_normal();
  if (!whole.has_filename()) whole = whole.parent_path();
  return {whole.parent_path().string(), whole.filename().string()};
}

}  // namespace

named_checkpoints find_checkpoints(const std::string& directory,
                                   std::optional<std::uint64_t> step) {
  std::error_code failure;
  if (!fs::is_directory(directory, failure)) {
    throw invalid_argument(
        fmt::format("'{}' is no folder; expected what --checkpoint of zero train "
                    "was, or one checkpoint in it",
                    directory));
  }
  named_checkpoints named{directory, {}, {}};
  const auto [parent, name] = split_path(directory);
  if (is_checkpoint_name(name)) {
    const auto around = checkpoint::open_directory(parent, checkpoint::if_missing::refuse);
    const std::vector<std::string> all = checkpoint::catalog(*around);
    if (std::find(all.begin(), all.end(), name) != all.end()) {
      named.directory = parent;
      named.files = around;
      named.folders = {name};
    }
  }
  if (!named.files) {
    named.files = checkpoint::open_directory(directory, checkpoint::if_missing::refuse);
    named.folders = checkpoint::catalog(*named.files);
  }
  if (step) {
    const std::string wanted = fmt::format("step-{:012}", *step);
    const auto found = std::find(named.folders.begin(), named.folders.end(), wanted);
    named.folders = found == named.folders.end() ? std::vector<std::string>{}
                                                 : std::vector<std::string>{wanted};
  }
  if (named.folders.empty()) {
    throw invalid_argument(
        step ? fmt::format("'{}' holds no checkpoint of step {}", directory, *step)
             : fmt::format("'{}' holds no checkpoint", directory));
  }
  return named;
}

read_checkpoint newest_readable(const named_checkpoints& named) {
  std::string reasons;
  for (const std::string& folder : named.folders) {
    try {
      return {folder, checkpoint::read_manifest(*named.files, folder)};
    } catch (const error& e) {
      if (e.kind() == error_class::resource) throw;
      reasons += fmt::format("{}{}", reasons.empty() ? "" : "; ", e.what());
      say(fmt::format("zero checkpoint: passed over {}: {}\n", folder, e.what()));
    }
  }
  throw corrupt_data(fmt::format("no checkpoint has a manifest that verifies: {}", reasons),
                     named.directory);
}

std::uint64_t bytes_of(const checkpoint::manifest& m) {
  std::uint64_t all = 0;
  for (const checkpoint::saved_file& file : m.files) all += file.bytes;
  return all;
}

int run_checkpoint(const arguments& given) {
  asked o;
  option_set set = checkpoint_options_set(o);
  if (given.empty() || asks_for_help(given)) {
    if (given.empty()) throw invalid_argument(fmt::format("expected zero checkpoint {}", usage));
    fmt::print("{}", set.help());
    return 0;
  }
  const auto [words, options] = split_words(given);
  set.parse(options);
  if (words.empty()) throw invalid_argument(fmt::format("expected zero checkpoint {}", usage));
  return act(words, o);
}

}  // namespace zero::cli
