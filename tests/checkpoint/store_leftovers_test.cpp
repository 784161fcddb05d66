// What earlier owners of a directory left behind, whatever has become of it.

#include "small_state.hpp"
#include "store_use.hpp"
#include "support/memory_files.hpp"

#include <zero/checkpoint/store.hpp>
#include <zero/collectives/single.hpp>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <memory>

namespace zero::checkpoint::testing {
namespace {

using zero::testing::memory_files;

const small_model model;

// Whatever stands where a file of ours belongs.
TEST(StoreOwner, LeftoversOfOddShapesHinderNobody) {
  namespace fs = std::filesystem;
  char folder[] = "/tmp/zero_store_XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  const fs::path directory = fs::path(folder) / "checkpoints";
  const auto alone = collectives::make_single();
  const auto save = [&](std::uint64_t step) {
    store to(*alone, directory.string());
    small_source state(model, 0, 1, step);
    to.save(state, step, client_at(step));
    return to.newest()->step;
  };
  EXPECT_EQ(save(1), 1U);
  const std::string nonce(32, 'a');
  fs::create_directories(directory / (".trash-1-" + nonce) / "manifest.json" / "more");
  fs::create_directories(directory / (".staging-000000000007-1-" + nonce) / "manifest.json");
  fs::create_directories(directory / (".trash-1-" + std::string(32, 'b')) /
                         "rank-00000-of-00001.safetensors");
  ASSERT_EQ(mkfifo((directory / (".trash-1-" + std::string(32, 'c'))).c_str(), 0600), 0);
  fs::create_symlink("/etc", directory / (".staging-000000000008-1-" + nonce));
  fs::create_directories(directory / ".epoch-0" / "more");
  // Of the steps that are saved next one name is taken by what is no checkpoint.
  fs::create_directories(directory / "step-000000000002" / "manifest.json" / "more");
  for (const std::uint64_t step : {2, 3}) EXPECT_EQ(save(step), step);
  store after(*alone, directory.string());
  small_target into(model, 0, 1);
  loaded out;
  EXPECT_TRUE(after.load(into, out));
  EXPECT_EQ(out.from.step, 3U);
  EXPECT_TRUE(out.passed_over.empty());
  std::size_t left = 0;
  for (const auto& entry : fs::directory_iterator(directory)) {
    const std::string name = entry.path().filename();
    left += name.rfind(".trash", 0) == 0 || name.rfind(".staging", 0) == 0 ? 1 : 0;
  }
  EXPECT_EQ(left, 2U);  // those with something else in them
  EXPECT_TRUE(fs::exists("/etc/passwd"));
  fs::remove_all(folder);
}

// A folder of ours with somebody's file in it goes, but for that file.
TEST(StoreOwner, SomebodysFileInAnOldCheckpointStays) {
  const auto files = std::make_shared<memory_files>();
  save_steps(files, 1, {1});
  auto image = files->image();
  image.folders["step-000000000001"]["notes.txt"] = "theirs";
  const auto found = std::make_shared<memory_files>(image);
  store_options options = with(found, 4);
  options.keep = 1;
  save_steps(options, 1, {2});
  EXPECT_EQ(catalog(*found), std::vector<std::string>{"step-000000000002"});
  bool kept = false;
  for (const auto& [name, inside] : found->image().folders) {
    kept = kept || (inside.count("notes.txt") > 0 && inside.size() == 1);
  }
  EXPECT_TRUE(kept);
}

}  // namespace
}  // namespace zero::checkpoint::testing
