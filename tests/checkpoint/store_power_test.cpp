// Power is lost at any moment of three saves with retention, by two runs: whatever was acknowledged
// before loads, with the right bits. And the test itself is put to the test, by files that leave
// out what makes this so.

#include "small_state.hpp"
#include "store_use.hpp"
#include "support/crash_states.hpp"
#include "support/memory_files.hpp"
#include "support/sampling.hpp"

#include <zero/base/error.hpp>
#include <zero/checkpoint/store.hpp>
#include <zero/collectives/single.hpp>

#include <gtest/gtest.h>

#include <barrier>
#include <iostream>
#include <mutex>
#include <set>

namespace zero::checkpoint::testing {
namespace {

using zero::testing::crash_states;
using zero::testing::directory_image;
using zero::testing::memory_files;

const small_model model{90};

enum class careless : unsigned char {
  no,
  files,        // are not synced
  manifests,    // are not synced before they are published
  staging,      // its names are not synced
  directories,  // the directory's names are not synced
};

// Says it has synced what it has not.
class careless_files final : public file_calls {
 public:
  // No shard is synced before `world` of them are written: as much as can be is under way at once.
  careless_files(std::shared_ptr<file_calls> inner, careless what, int world)
      : inner_(std::move(inner)), what_(what), written_(world) {}

  long open(const std::string& name, opening how) override {
    const long file = inner_->open(name, how);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (name.find(manifest_name) != std::string::npos) manifests_.insert(file);
    if (how != opening::read && name.find("/rank-") != std::string::npos) shards_.insert(file);
    return file;
  }
  long close(long file) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    manifests_.erase(file);
    shards_.erase(file);
    return inner_->close(file);
  }
  long read(long f, void* to, std::size_t n, std::uint64_t at) override {
    return inner_->read(f, to, n, at);
  }
  long write(long f, const void* from, std::size_t n, std::uint64_t at) override {
    return inner_->write(f, from, n, at);
  }
  long allocate(long file, std::uint64_t count) override { return inner_->allocate(file, count); }
  long resize(long file, std::uint64_t count) override { return inner_->resize(file, count); }
  long sync(long file) override {
    if (is(shards_, file)) written_.arrive_and_wait();
    const bool left_out =
        what_ == careless::files || (what_ == careless::manifests && is(manifests_, file));
    return left_out ? 0 : inner_->sync(file);
  }
  long facts(long file, file_facts& out) override { return inner_->facts(file, out); }
  long lock(long file) override { return inner_->lock(file); }
  long make_directory(const std::string& name) override { return inner_->make_directory(name); }
  long list(const std::string& name, std::vector<std::string>& out) override {
    return inner_->list(name, out);
  }
  long sync_directory(const std::string& name) override {
    const careless left_out = name.empty() ? careless::directories : careless::staging;
    return what_ == left_out ? 0 : inner_->sync_directory(name);
  }
  long rename(const std::string& from, const std::string& to) override {
    return inner_->rename(from, to);
  }
  long remove_file(const std::string& name) override { return inner_->remove_file(name); }
  long remove_directory(const std::string& name) override { return inner_->remove_directory(name); }
  long free_bytes(std::uint64_t& out) override { return inner_->free_bytes(out); }
  std::string path_of(const std::string& name) const override { return inner_->path_of(name); }

 private:
  bool is(const std::set<long>& files, long file) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return files.count(file) > 0;
  }

  std::shared_ptr<file_calls> inner_;
  careless what_;
  std::barrier<> written_;
  std::mutex mutex_;
  std::set<long> manifests_;
  std::set<long> shards_;
};

// Saves by a run of four ranks and one of two; each save is marked when it has been acknowledged.
crash_states recorded(careless what) {
  const auto memory = std::make_shared<memory_files>();
  const auto run = [&](int world, const std::vector<std::uint64_t>& steps) {
    const auto files = std::make_shared<careless_files>(memory, what, world);
    zero::testing::run_ranks(
        world,
        [&](collectives::communicator& ranks) {
          store_options options = with(files);
          options.keep = 1;
          store to(ranks, "", options);
          for (const std::uint64_t step : steps) {
            small_source state(model, ranks.rank(), world, step);
            to.save(state, step, client_at(step));
            if (ranks.rank() == 0) memory->mark(std::to_string(step));
            ranks.barrier().wait();
          }
        },
        small_world);
  };
  run(4, {1, 2});
  run(2, {3});
  return crash_states(memory->operations());
}

// What is wrong with a state that was left when `acknowledged` had been; "" if nothing is.
std::string judge(const directory_image& image, std::uint64_t acknowledged, bool go_on) {
  const auto files = std::make_shared<memory_files>(image);
  const auto alone = collectives::make_single();
  try {
    store from(*alone, "", with(files, 7));
    small_target into(model, 0, 1, keeping::everything);
    loaded out;
    if (!from.load(into, out)) return acknowledged == 0 ? "" : "nothing is there";
    if (out.from.step < acknowledged) return "an older one";
    if (const std::string wrong = into.wrong(out.from.step); !wrong.empty()) return wrong;
    if (out.client != client_at(out.from.step)) return "attachments";
    if (!go_on) return "";
    small_source state(model, 0, 1, 9);
    from.save(state, 9, client_at(9));
    if (!from.load(into, out) || into.wrong(9) != "") return "training cannot go on";
  } catch (const error& e) {
    return e.what();
  }
  return "";
}

struct verdicts {
  std::uint64_t states = 0;
  std::uint64_t after_an_acknowledgement = 0;
  std::uint64_t lost = 0;
  std::string first;
};

verdicts judge_all(careless what, int random) {
  crash_states states = recorded(what);
  verdicts out;
  std::uint64_t seen = 0;
  out.states = states.visit(random, 20'251, [&](std::size_t prefix, const directory_image& image) {
    if (seen++ % zero::testing::sampled_each != 0) return;
    const std::string mark = states.mark_before(prefix);
    const std::uint64_t acknowledged = mark.empty() ? 0 : std::stoull(mark);
    if (acknowledged > 0) ++out.after_an_acknowledgement;
    const std::string wrong = judge(image, acknowledged, prefix % 16 == 0);
    if (wrong.empty()) return;
    if (out.lost++ == 0) {
      out.first = "after " + std::to_string(prefix) + " operations, step " + mark +
                  " acknowledged: " + wrong;
    }
  });
  return out;
}

TEST(PowerLoss, NeverTakesWhatWasAcknowledged) {
  const verdicts found = judge_all(careless::no, 3200);
  std::cout << found.states << " states, " << found.after_an_acknowledgement
            << " of them after an acknowledgement\n";
  EXPECT_EQ(found.lost, 0U) << found.first;
  EXPECT_GE(found.states, 20'000U);
  EXPECT_GE(found.after_an_acknowledgement, 10'000U / zero::testing::sampled_each);
}

TEST(PowerLoss, TakesItWhereSomethingIsNotSynced) {
  for (const careless what :
       {careless::files, careless::manifests, careless::staging, careless::directories}) {
    const verdicts found = judge_all(what, 8);
    EXPECT_GT(found.lost, 0U) << static_cast<int>(what) << ", " << found.states << " states";
  }
}

}  // namespace
}  // namespace zero::checkpoint::testing
