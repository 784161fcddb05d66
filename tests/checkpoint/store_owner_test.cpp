// Who owns a directory: a second run is refused by name, one that takes over makes it impossible
// for the other to publish, whenever that wakes; what is nobody's business stays.

#include "small_state.hpp"
#include "store_use.hpp"
#include "support/memory_files.hpp"

#include <zero/base/error.hpp>
#include <zero/checkpoint/store.hpp>
#include <zero/collectives/single.hpp>

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <functional>

namespace zero::checkpoint::testing {
namespace {

using zero::testing::memory_files;
using zero::testing::run_ranks;

const small_model model;

// Stops before a call, as a process that is stopped does, and lets others go on meanwhile.
class stopping_files final : public file_calls {
 public:
  explicit stopping_files(std::shared_ptr<file_calls> inner) : inner_(std::move(inner)) {}

  // Called before the call with this number from now, by those calls that change something or list.
  void stop_before(int call, std::function<void()> meanwhile) {
    left_ = call;
    meanwhile_ = std::move(meanwhile);
  }
  [[nodiscard]] bool stopped() const { return meanwhile_ == nullptr; }
  bool keeps_trash = false;  // what is in it cannot be removed

  long open(const std::string& name, opening how) override {
    return pause(), inner_->open(name, how);
  }
  long close(long file) override { return inner_->close(file); }
  long read(long f, void* to, std::size_t n, std::uint64_t at) override {
    return inner_->read(f, to, n, at);
  }
  long write(long f, const void* from, std::size_t n, std::uint64_t at) override {
    return pause(), inner_->write(f, from, n, at);
  }
  long allocate(long file, std::uint64_t n) override { return pause(), inner_->allocate(file, n); }
  long resize(long file, std::uint64_t n) override { return pause(), inner_->resize(file, n); }
  long sync(long file) override { return pause(), inner_->sync(file); }
  long facts(long file, file_facts& out) override { return inner_->facts(file, out); }
  long lock(long file) override { return inner_->lock(file); }
  long make_directory(const std::string& name) override {
    return pause(), inner_->make_directory(name);
  }
  long list(const std::string& name, std::vector<std::string>& out) override {
    return pause(), inner_->list(name, out);
  }
  long sync_directory(const std::string& name) override {
    return pause(), inner_->sync_directory(name);
  }
  long rename(const std::string& from, const std::string& to) override {
    return pause(), inner_->rename(from, to);
  }
  long remove_file(const std::string& name) override {
    pause();
    return keeps_trash && name.rfind(".trash", 0) == 0 ? -EIO : inner_->remove_file(name);
  }
  long remove_directory(const std::string& name) override {
    return pause(), inner_->remove_directory(name);
  }
  long free_bytes(std::uint64_t& out) override { return inner_->free_bytes(out); }
  std::string path_of(const std::string& name) const override { return inner_->path_of(name); }

 private:
  void pause() {
    if (meanwhile_ == nullptr || left_-- > 0) return;
    const auto run = std::exchange(meanwhile_, nullptr);
    run();
  }

  std::shared_ptr<file_calls> inner_;
  int left_ = 0;
  std::function<void()> meanwhile_;
};

// The step its manifest says, 0 where it does not verify.
std::uint64_t read_manifest_or_none(file_calls& files, const std::string& folder) {
  try {
    return read_manifest(files, folder).id.step;
  } catch (const error&) {
    return 0;
  }
}

store_options taking_over(std::shared_ptr<file_calls> files) {
  store_options options = with(std::move(files), 5);
  options.take_over = true;
  return options;
}

TEST(StoreOwner, ASecondRunIsRefusedByTheNameOfTheFirst) {
  const auto files = std::make_shared<memory_files>();
  run_ranks(
      2,
      [&](collectives::communicator& ranks) {
        const store first(ranks, "", with(files));
        const auto alone = collectives::make_single();
        ranks.barrier().wait();
        expect_text<invalid_argument>([&] { const store second(*alone, "", with(files)); },
                                      "process " + std::to_string(getpid()) + ", run ");
        char host[256] = {};
        ASSERT_EQ(gethostname(host, sizeof host - 1), 0);
        expect_text<invalid_argument>([&] { const store second(*alone, "", with(files)); },
                                      "is used by another run: host " + std::string(host) + ", ");
        ranks.barrier().wait();
      },
      small_world);
  const auto alone = collectives::make_single();
  const store second(*alone, "", with(files));  // now it is free
}

TEST(StoreOwner, TheSystemsLockDoesTheSame) {
  char folder[] = "/tmp/zero_store_XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  const std::string directory = std::string(folder) + "/checkpoints";
  {
    const auto alone = collectives::make_single();
    store first(*alone, directory);
    expect_text<invalid_argument>([&] { const store second(*alone, directory); }, "process ");
    small_source state(model, 0, 1, 4);
    first.save(state, 4, client_at(4));
    store_options options;
    options.take_over = true;
    store second(*alone, directory, options);
    small_target into(model, 0, 1);
    loaded out;
    EXPECT_TRUE(second.load(into, out));
    EXPECT_EQ(into.wrong(4), "");
    small_source late(model, 0, 1, 5);
    expect_text<invalid_argument>([&] { first.save(late, 5); }, "was taken over");
    expect_text<invalid_argument>([&] { const store third(*alone, directory); }, "process ");
  }
  ASSERT_EQ(std::system(("rm -r '" + std::string(folder) + "'").c_str()), 0);
}

// Each owner has a number of its own, and only the last one's is kept.
TEST(StoreOwner, EpochsGrow) {
  const auto files = std::make_shared<memory_files>();
  for (std::uint64_t step = 1; step <= 3; ++step) {
    save_steps(files, 1, {step});
    EXPECT_EQ(read_manifest(*files, catalog(*files).at(0)).id.epoch, step);
  }
  const auto image = files->image();
  EXPECT_EQ(image.files.count(".epoch-3"), 1U);
  EXPECT_EQ(image.files.size(), 2U);  // and the lock
}

// The first run is stopped before each of its calls in turn; the second one takes over, loads,
// saves and goes. When the first wakes, it publishes nothing over that, and nothing is lost.
TEST(StoreOwner, AZombieThatWakesPublishesNothing) {
  int refused = 0;
  int published_before = 0;
  for (int call = 0;; ++call) {
    SCOPED_TRACE(call);
    const auto files = std::make_shared<memory_files>();
    save_steps(files, 1, {1});
    const auto slow = std::make_shared<stopping_files>(files);
    const auto alone = collectives::make_single();
    const auto other = collectives::make_single();
    store zombie(*alone, "", with(slow, 2));
    std::uint64_t found = 0;
    slow->stop_before(call, [&] {
      store heir(*other, "", taking_over(files));
      small_target into(model, 0, 1);
      loaded out;
      ASSERT_TRUE(heir.load(into, out));
      found = out.from.step;
      EXPECT_EQ(into.wrong(found), "");
      small_source state(model, 0, 1, 7);
      heir.save(state, 7, client_at(7));
    });
    small_source state(model, 0, 1, 2);
    bool good = true;
    try {
      zombie.save(state, 2, client_at(2));
    } catch (const invalid_argument& e) {  // at the first save, whatever call it was that failed
      EXPECT_NE(std::string(e.what()).find("was taken over"), std::string::npos) << e.what();
      good = false;
      ++refused;
    }
    if (!slow->stopped()) {
      EXPECT_TRUE(good);
      break;
    }
    // What the heir found is what the zombie is told, but that it may have been too late to know.
    published_before += good ? 1 : 0;
    EXPECT_TRUE(!good || found == 2);
    // Whatever happened, the heir's is the newest and whole.
    store after(*other, "", taking_over(files));
    small_target into(model, 0, 1);
    loaded out;
    ASSERT_TRUE(after.load(into, out));
    EXPECT_EQ(out.from.step, 7U);
    EXPECT_EQ(into.wrong(7), "");
    EXPECT_EQ(catalog(*files).at(0), "step-000000000007");
    for (const std::string& folder : catalog(*files)) verify(*files, folder);
  }
  EXPECT_GE(refused, 10);
  EXPECT_GE(published_before, 1);
}

// The same where a folder that does not verify has the name of the step that both come to: what the
// zombie clears out of its way when it wakes must not be what the heir has put there.
TEST(StoreOwner, AZombieThatWakesRemovesNothingOfItsHeir) {
  zero::testing::directory_image damaged;
  {
    const auto files = std::make_shared<memory_files>();
    save_steps(files, 1, {1, 2, 3});
    damaged = files->image();
    damaged.folders["step-000000000001"] = {};
    for (const char* bad : {"step-000000000003", "step-000000000009"}) {
      damaged.folders[bad] = damaged.folders["step-000000000002"];
    }
  }
  for (int call = 0;; ++call) {
    SCOPED_TRACE(call);
    const auto files = std::make_shared<memory_files>(damaged);
    const auto slow = std::make_shared<stopping_files>(files);
    const auto alone = collectives::make_single();
    const auto other = collectives::make_single();
    store zombie(*alone, "", with(slow, 2));
    slow->stop_before(call, [&] {
      store heir(*other, "", taking_over(files));
      for (const std::uint64_t step : {3, 9}) {
        // The zombie may have published the first of them before.
        if (step == 3 && read_manifest_or_none(*files, "step-000000000003") == 3) continue;
        small_source state(model, 0, 1, step);
        heir.save(state, step, client_at(step));
      }
    });
    small_source state(model, 0, 1, 3);
    try {
      zombie.save(state, 3, client_at(3));
    } catch (const error&) {  // taken over, or no newer than what the heir has saved
    }
    if (!slow->stopped()) break;
    store after(*other, "", taking_over(files));
    small_target into(model, 0, 1);
    loaded out;
    ASSERT_TRUE(after.load(into, out));
    EXPECT_EQ(out.from.step, 9U);
    EXPECT_EQ(into.wrong(9), "");
    verify(*files, "step-000000000003");
  }
}

// Between the zombie's last look and its rename the new owner has moved its staging folder away.
TEST(StoreOwner, AStagingFolderOfAnEarlierOwnerIsTakenOutOfItsReach) {
  const auto files = std::make_shared<memory_files>();
  const auto alone = collectives::make_single();
  zero::testing::directory_image image;
  image.files[".epoch-3"] = "";
  image.files[".lock"] = "";
  const std::string nonce = "0123456789abcdef0123456789abcdef";
  const std::string old = ".staging-000000000009-3-" + nonce;
  const std::string trash = ".trash-2-" + nonce;
  const std::string newer = ".staging-000000000009-9-" + nonce;
  image.folders[old] = {{"rank-00000-of-00001.safetensors", "half"}};
  image.folders[trash] = {{"manifest.json", "{"}};
  image.folders[newer] = {{"rank-00000-of-00001.safetensors", "whole"}};
  const auto found = std::make_shared<memory_files>(image);
  const store opened(*alone, "", with(found));
  const auto after = found->image();
  EXPECT_EQ(after.folders.count(old), 0U);
  EXPECT_EQ(after.folders.count(trash), 0U);
  EXPECT_EQ(after.folders.count(newer), 1U);  // of an owner after this one
  EXPECT_EQ(after.folders.size(), 1U);
  EXPECT_EQ(after.files.count(".epoch-4"), 1U);
}

TEST(StoreOwner, WhatIsNotOursStays) {
  zero::testing::directory_image image;
  const std::string nonce = "0123456789abcdef0123456789abcdef";
  const std::vector<std::string> folders = {"step-7",
                                            "step-00000000000x",
                                            "step-0000000000070",
                                            ".staging-7",
                                            ".staging-000000000009-3-" + nonce.substr(1),
                                            ".staging-000000000009-03-" + nonce,
                                            ".trash",
                                            ".trash-1-" + nonce + "0",
                                            "notes"};
  for (const std::string& name : folders) image.folders[name] = {{"kept", "theirs"}};
  image.files["step-000000000001.txt"] = "theirs";
  image.files[".epoch-0x1"] = "theirs";
  image.files["README"] = "theirs";
  const auto files = std::make_shared<memory_files>(image);
  store_options options = with(files);
  options.keep = 1;
  save_steps(options, 2, {1, 2, 3});
  const auto after = files->image();
  for (const std::string& name : folders) {
    EXPECT_EQ(after.folders.count(name), 1U) << name;
    EXPECT_EQ(after.folders.at(name), image.folders.at(name)) << name;
  }
  for (const auto& [name, bytes] : image.files) EXPECT_EQ(after.files.at(name), bytes) << name;
  EXPECT_EQ(after.folders.size(), folders.size() + 1);
}

// Room is lost while that is so, and nothing else.
TEST(StoreOwner, WhatCannotBeRemovedHindersNoSave) {
  const auto inner = std::make_shared<memory_files>();
  const auto files = std::make_shared<stopping_files>(inner);
  files->keeps_trash = true;
  const auto count_trash = [&] {
    std::size_t count = 0;
    for (const auto& folder : inner->image().folders) {
      count += folder.first.rfind(".trash", 0) == 0 ? 1 : 0;
    }
    return count;
  };
  const auto alone = collectives::make_single();
  const auto options = [&] {
    store_options made = with(files);
    made.keep = 1;
    return made;
  };
  {
    store to(*alone, "", options());
    for (const std::uint64_t step : {1, 2, 3}) {
      small_source state(model, 0, 1, step);
      to.save(state, step, client_at(step));
      ASSERT_NE(to.newest(), nullptr);
      EXPECT_EQ(to.newest()->step, step);
      EXPECT_EQ(to.note().empty(), step == 1) << to.note();
    }
    EXPECT_NE(to.note().find("remove"), std::string::npos) << to.note();
  }
  EXPECT_EQ(catalog(*files), std::vector<std::string>{"step-000000000003"});
  EXPECT_EQ(count_trash(), 2U);
  {
    const store next(*alone, "", options());
    EXPECT_NE(next.note().find(".trash-1-"), std::string::npos) << next.note();
  }
  files->keeps_trash = false;
  const store last(*alone, "", options());
  EXPECT_EQ(last.note(), "");
  EXPECT_EQ(count_trash(), 0U);
}

}  // namespace
}  // namespace zero::checkpoint::testing
