// store: who does what when, on this rank; publisher.hpp and loader.hpp say how.

#include "host_copy.hpp"
#include "lease.hpp"
#include "loader.hpp"
#include "published_folders.hpp"
#include "publisher.hpp"
#include "votes.hpp"

#include <zero/base/error.hpp>
#include <zero/checkpoint/store.hpp>

#include <atomic>
#include <exception>
#include <optional>
#include <sstream>
#include <thread>
#include <utility>

namespace zero::checkpoint {

struct store::state {
  state(collectives::communicator& communicator, const std::string& directory, store_options o);
  ~state() {
    if (worker.joinable()) worker.join();
  }

  void open_files(const std::string& directory);
  void complete(save_act& act);
  std::vector<std::string> folders();
  void remember(const loaded& out, const std::vector<std::string>& bad);

  store_options options;
  votes ranks;
  std::shared_ptr<file_calls> files;
  std::shared_ptr<lease> owner;                // rank 0
  std::shared_ptr<published_folders> catalog;  // rank 0
  std::optional<checkpoint::publisher> publisher;
  std::optional<published> newest;
  std::string note;
  host_copy copy;

  // What is under way; its results are looked at when it has been joined.
  std::thread worker;
  std::atomic<bool> working{false};
  std::exception_ptr failed;
};

store::state::state(collectives::communicator& communicator, const std::string& directory,
                    store_options o)
    : options(std::move(o)), ranks(communicator) {
  if (options.keep < 0) {
    throw invalid_argument("[checkpoint.store] keep " + std::to_string(options.keep) +
                           ": a number of checkpoints, or 0 for all");
  }
  if (options.how == saving::background && std::string(communicator.backend()) == "transport") {
    throw invalid_argument(
        "[checkpoint.store] saving in the background needs ranks that meet by themselves: those of "
        "'transport' meet only in the calls of their client");
  }
  open_files(directory);
  publisher.emplace(ranks, files, owner, catalog);
}

void store::state::open_files(const std::string& directory) {
  files = options.files;
  fault own;
  own.attempt([&] {
    if (!ranks.first()) return;
    if (!files) files = open_directory(directory, if_missing::create);
    owner = std::make_shared<lease>(files, nonce_source(options.nonce_seed), options.take_over);
    catalog = std::make_shared<published_folders>(files, owner, options.keep);
    note = owner->take_note();
  });
  const auto check = [&] {
    const fault all = ranks.take(own);
    if (all.failed != 0) all.raise("[checkpoint.store] ");
  };
  check();
  own.attempt([&] {
    if (!files) files = open_directory(directory, if_missing::refuse);
  });
  check();
}

void store::state::complete(save_act& act) {
  newest = publisher->commit(act);
  note = publisher->retain(newest->step);
}

// Those of the directory, as rank 0 sees them, on every rank.
std::vector<std::string> store::state::folders() {
  fault own;
  std::string text;
  own.attempt([&] {
    if (!ranks.first()) return;
    for (const std::string& name : step_folders(owner->entries())) text += name + "\n";
  });
  const fault all = ranks.take(own);
  if (all.failed != 0) all.raise("[checkpoint.load] ");
  ranks.spread(text);
  std::istringstream lines(text);
  std::vector<std::string> names;
  for (std::string name; std::getline(lines, name);) names.push_back(name);
  return names;
}

void store::state::remember(const loaded& out, const std::vector<std::string>& bad) {
  if (!catalog) return;
  for (const std::string& folder : bad) catalog->note_bad(folder);
  if (!out.from.name.empty()) catalog->note_good(out.from.name);
}

store::store(collectives::communicator& ranks, const std::string& directory, store_options options)
    : state_(std::make_unique<state>(ranks, directory, std::move(options))) {}

store::~store() = default;

void store::save(source& what, std::uint64_t step, const attachments& client) {
  finish();
  state& s = *state_;
  save_act act = s.publisher->begin(what, step, client);
  const int rank = s.ranks.rank();
  if (s.options.how == saving::at_once) {
    s.publisher->write(
        act, [&](const put_function& put) { feed(what, act.saved, rank, act.client, put); });
    return s.complete(act);
  }
  act.own.attempt([&] {
    s.copy.begin(static_cast<std::size_t>(act.file(rank).bytes));
    feed(what, act.saved, rank, act.client,
         [&](const void* bytes, std::size_t count) { s.copy.append(bytes, count); });
  });
  s.working = true;
  s.worker = std::thread([&s, moved = std::move(act)]() mutable {
    try {
      s.publisher->write(moved, [&](const put_function& put) {
        constexpr std::size_t part = transfer_memory::part_bytes;
        for (std::size_t at = 0; at < s.copy.filled(); at += part) {
          put(s.copy.data() + at, std::min(part, s.copy.filled() - at));
        }
      });
      s.complete(moved);
    } catch (...) {
      s.failed = std::current_exception();
    }
    s.working = false;
  });
}

void store::finish() {
  state& s = *state_;
  if (!s.worker.joinable()) return;
  s.worker.join();
  if (s.failed) std::rethrow_exception(std::exchange(s.failed, nullptr));
}

bool store::is_idle() const noexcept { return !state_->working; }

const published* store::newest() const noexcept {
  return state_->newest ? &*state_->newest : nullptr;
}

const std::string& store::note() const noexcept { return state_->note; }

std::uint64_t store::copy_bytes() const noexcept { return state_->copy.room(); }

bool store::load(target& into, loaded& out) {
  finish();
  state& s = *state_;
  loader from(s.ranks, *s.files, s.publisher->memory());
  const std::vector<std::string> folders = s.folders();
  loaded found;
  std::vector<std::string> bad;
  std::string changed;
  for (const std::string& folder : folders) {
    const std::string why = from.try_folder(folder, into, found);
    if (why.empty()) {
      s.remember(found, bad);
      out = std::move(found);
      return true;
    }
    if (from.changed()) changed = "; the state was changed and is of no use";
    found.passed_over.push_back(folder + ": " + why);
    bad.push_back(folder);
  }
  if (folders.empty()) return false;
  std::string all = "no checkpoint can be loaded" + changed;
  for (const std::string& reason : found.passed_over) all += "; " + reason;
  throw corrupt_data(all, s.files->path_of(""));
}

}  // namespace zero::checkpoint
