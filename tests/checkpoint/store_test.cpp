// Saving, finding again and loading, at every world and between worlds; what stays and what goes.

#include "small_state.hpp"
#include "store_use.hpp"
#include "support/memory_files.hpp"
#include "support/run_ranks.hpp"

#include <zero/base/error.hpp>
#include <zero/checkpoint/store.hpp>

#include <gtest/gtest.h>

namespace zero::checkpoint::testing {
namespace {

using zero::testing::memory_files;
using zero::testing::run_ranks;

const small_model model;

TEST(Store, WhatWasSavedAtOneWorldIsLoadedAtAnother) {
  for (const int saved : {1, 2, 3, 5, 8}) {
    for (const int world : {1, 2, 3, 8}) {
      SCOPED_TRACE(std::to_string(saved) + " to " + std::to_string(world));
      const auto files = std::make_shared<memory_files>();
      save_steps(files, saved, {3});
      for (const keeping what : {keeping::everything, keeping::a_piece}) {
        run_ranks(
            world,
            [&](collectives::communicator& ranks) {
              store from(ranks, "", with(files));
              small_target into(model, ranks.rank(), world, what);
              loaded out;
              EXPECT_TRUE(from.load(into, out));
              EXPECT_EQ(into.wrong(3), "");
              EXPECT_EQ(out.client, client_at(3));
              EXPECT_EQ(out.from.name, "step-000000000003");
              EXPECT_EQ(out.from.step, 3U);
              EXPECT_TRUE(out.passed_over.empty());
            },
            small_world);
      }
      EXPECT_EQ(files->open_handles(), 0U);
    }
  }
}

TEST(Store, NothingIsLoadedFromAnEmptyDirectory) {
  const auto files = std::make_shared<memory_files>();
  run_ranks(
      3,
      [&](collectives::communicator& ranks) {
        store from(ranks, "", with(files));
        small_target into(model, ranks.rank(), 3);
        loaded out;
        EXPECT_FALSE(from.load(into, out));
        EXPECT_TRUE(into.untouched());
        EXPECT_EQ(from.newest(), nullptr);
      },
      small_world);
}

TEST(Store, ThePublishedFolderHoldsAFileOfEachRankAndTheManifest) {
  const auto files = std::make_shared<memory_files>();
  published what;
  run_ranks(
      2,
      [&](collectives::communicator& ranks) {
        store to(ranks, "", with(files));
        small_source state(model, ranks.rank(), 2, 42);
        to.save(state, 42, client_at(42));
        if (ranks.rank() == 0) what = *to.newest();
      },
      small_world);
  const auto image = files->image();
  EXPECT_EQ(what.name, "step-000000000042");
  ASSERT_EQ(image.folders.count(what.name), 1U);
  std::uint64_t bytes = 0;
  std::vector<std::string> names;
  for (const auto& [name, content] : image.folders.at(what.name)) {
    names.push_back(name);
    if (name != manifest_name) bytes += content.size();
  }
  EXPECT_EQ(names, (std::vector<std::string>{"manifest.json", "rank-00000-of-00002.safetensors",
                                             "rank-00001-of-00002.safetensors"}));
  EXPECT_EQ(what.bytes, bytes);
  EXPECT_EQ(image.folders.size(), 1U);  // no staging folder
  const manifest m = read_manifest(*files, what.name);
  EXPECT_EQ(m.id.epoch, 1U);
  EXPECT_EQ(m.progress.updates, 42U);
  EXPECT_EQ(m.parameters[3].name, "prime");
}

TEST(Store, OldOnesGoAfterTheCommitAndTheNewestStay) {
  for (const int keep : {0, 1, 2, 3}) {
    const auto files = std::make_shared<memory_files>();
    store_options options = with(files);
    options.keep = keep;
    save_steps(options, 2, {1, 2, 5, 7});
    const std::vector<std::string> all = {"step-000000000007", "step-000000000005",
                                          "step-000000000002", "step-000000000001"};
    const std::size_t stay = keep == 0 ? 4 : static_cast<std::size_t>(keep);
    EXPECT_EQ(catalog(*files),
              std::vector<std::string>(all.begin(), all.begin() + static_cast<long>(stay)));
    EXPECT_EQ(files->image().folders.size(), stay);  // no trash
  }
}

// Each has to be newer than what is there, whoever saved that.
TEST(Store, AStepThatIsNotNewerIsRefusedEverywhere) {
  const auto files = std::make_shared<memory_files>();
  save_steps(files, 2, {5});
  const auto before = files->image().folders;
  run_ranks(
      2,
      [&](collectives::communicator& ranks) {
        store to(ranks, "", with(files));
        for (const std::uint64_t step : {std::uint64_t{5}, std::uint64_t{4}, std::uint64_t{0},
                                         std::uint64_t{1'000'000'000'000}}) {
          small_source state(model, ranks.rank(), 2, step);
          expect_text<invalid_argument>([&] { to.save(state, step); },
                                        "step " + std::to_string(step));
        }
        EXPECT_EQ(to.newest(), nullptr);
        small_source state(model, ranks.rank(), 2, 6);
        to.save(state, 6);
      },
      small_world);
  EXPECT_EQ(files->image().folders.at("step-000000000005"), before.at("step-000000000005"));
  EXPECT_EQ(catalog(*files).size(), 2U);
}

TEST(Store, ACheckpointThatDoesNotVerifyIsPassedOverWithItsReason) {
  const auto files = std::make_shared<memory_files>();
  save_steps(files, 2, {1, 2});
  auto image = files->image();
  std::string& shard = image.folders["step-000000000002"]["rank-00001-of-00002.safetensors"];
  shard[shard.size() - 3] ^= 1;
  const auto spoiled = std::make_shared<memory_files>(image);
  run_ranks(
      2,
      [&](collectives::communicator& ranks) {
        store from(ranks, "", with(spoiled));
        small_target into(model, ranks.rank(), 2, keeping::everything);
        loaded out;
        ASSERT_TRUE(from.load(into, out));
        EXPECT_EQ(out.from.step, 1U);
        EXPECT_EQ(into.wrong(1), "");
        ASSERT_EQ(out.passed_over.size(), 1U);
        EXPECT_NE(out.passed_over[0].find("step-000000000002: rank 0: "), std::string::npos)
            << out.passed_over[0];
        EXPECT_NE(out.passed_over[0].find("rank-00001-of-00002.safetensors"), std::string::npos);
        // Training goes on from there, and comes to that step again.
        small_source state(model, ranks.rank(), 2, 2);
        from.save(state, 2, client_at(2));
        small_target again(model, ranks.rank(), 2);
        ASSERT_TRUE(from.load(again, out));
        EXPECT_EQ(again.wrong(2), "");
      },
      small_world);
}

TEST(Store, WhereNoneVerifiesTheReasonsAreGivenAndNothingIsChanged) {
  const auto files = std::make_shared<memory_files>();
  save_steps(files, 2, {1, 2});
  auto image = files->image();
  for (auto& [folder, inside] : image.folders) inside[manifest_name][40] ^= 4;
  const auto spoiled = std::make_shared<memory_files>(image);
  run_ranks(
      2,
      [&](collectives::communicator& ranks) {
        store from(ranks, "", with(spoiled));
        small_target into(model, ranks.rank(), 2);
        loaded out;
        expect_text<corrupt_data>([&] { static_cast<void>(from.load(into, out)); },
                                  "step-000000000001");
        EXPECT_TRUE(into.untouched());
      },
      small_world);
  EXPECT_EQ(spoiled->image().folders, image.folders);
}

// What does not verify does not count among those that stay.
TEST(Store, RetentionCountsOnlyWhatVerifies) {
  const auto files = std::make_shared<memory_files>();
  save_steps(files, 1, {1, 2, 3});  // 2 and 3 stay
  auto image = files->image();
  image.folders["step-000000000003"][manifest_name][40] ^= 4;
  image.folders["step-000000000009"] = {};  // not even one
  const auto spoiled = std::make_shared<memory_files>(image);
  save_steps(spoiled, 1, {4});
  EXPECT_EQ(catalog(*spoiled), (std::vector<std::string>{"step-000000000004", "step-000000000003",
                                                         "step-000000000002"}));
}

// A file whose bytes are wrong is found before anything is written into the state.
TEST(Store, NothingIsChangedBeforeAllBytesAreChecked) {
  const auto files = std::make_shared<memory_files>();
  save_steps(files, 2, {1, 2});
  auto image = files->image();
  for (auto& [folder, inside] : image.folders) {
    inside["rank-00001-of-00002.safetensors"].back() ^= 1;
  }
  const auto spoiled = std::make_shared<memory_files>(image);
  run_ranks(
      2,
      [&](collectives::communicator& ranks) {
        store from(ranks, "", with(spoiled));
        small_target into(model, ranks.rank(), 2);
        loaded out;
        expect_text<corrupt_data>([&] { static_cast<void>(from.load(into, out)); },
                                  "no checkpoint can be loaded; step-000000000002: rank 0: ");
        EXPECT_TRUE(into.untouched());
      },
      small_world);
}

TEST(Store, ACheckpointOfAnotherModelIsRefusedEverywhere) {
  const auto files = std::make_shared<memory_files>();
  save_steps(files, 2, {1});
  run_ranks(
      2,
      [&](collectives::communicator& ranks) {
        store from(ranks, "", with(files));
        small_target into(model, ranks.rank(), 2);
        into.other_model = true;
        loaded out;
        expect_text<invalid_argument>([&] { static_cast<void>(from.load(into, out)); },
                                      "another model");
        EXPECT_TRUE(into.untouched());
      },
      small_world);
}

TEST(Store, ToolsReadEveryByteAndEveryValue) {
  const auto files = std::make_shared<memory_files>();
  save_steps(files, 3, {8});
  const std::string folder = catalog(*files).at(0);
  std::uint64_t seen = 0;
  std::uint64_t all = 0;
  verify(*files, folder, [&](std::uint64_t done, std::uint64_t of) {
    EXPECT_GT(done, seen);
    seen = done;
    all = of;
  });
  EXPECT_EQ(seen, all);
  EXPECT_GT(all, 0U);
  const manifest m = read_manifest(*files, folder);
  for (std::size_t p = 0; p < small_model::parameters; ++p) {
    for (int a = 0; a < (p == small_model::frozen ? 1 : 3); ++a) {
      std::uint64_t next = 0;
      read_array(*files, folder, m, p, a, [&](std::uint64_t offset, span<const float> values) {
        EXPECT_EQ(offset, next);
        for (const float& v : values) {
          std::uint32_t bits = 0;
          std::memcpy(&bits, &v, sizeof bits);
          const std::uint32_t mask = p == small_model::frozen ? 0xFFFF0000U : 0xFFFFFFFFU;
          EXPECT_EQ(bits, bits_at(p, a, next++, 8) & mask);
        }
      });
      EXPECT_EQ(next, model.count(p));
    }
  }
  EXPECT_THROW(read_array(*files, folder, m, 99, 0, {}), invalid_argument);
  EXPECT_THROW(read_array(*files, folder, m, small_model::frozen, 1, {}), invalid_argument);
}

TEST(Store, VerifyNamesFileTensorAndOffset) {
  const auto files = std::make_shared<memory_files>();
  save_steps(files, 2, {8});
  const std::string folder = catalog(*files).at(0);
  const manifest m = read_manifest(*files, folder);
  const auto fault_of = [&](std::size_t file, std::uint64_t at) {
    auto image = files->image();
    image.folders[folder][m.files[file].name][at] ^= 2;
    memory_files spoiled(image);
    try {
      verify(spoiled, folder);
    } catch (const corrupt_data& e) {
      return std::string(e.what());
    }
    return std::string("nothing");
  };
  EXPECT_NE(fault_of(1, 12).find("rank-00001-of-00002.safetensors' at byte 12: the header"),
            std::string::npos);
  const std::string text = fault_of(1, m.files[1].header_bytes);
  EXPECT_NE(text.find("rank-00001-of-00002.safetensors' at byte 0: "), std::string::npos) << text;
}

}  // namespace
}  // namespace zero::checkpoint::testing
