// What a store refuses, and saves that fail on one rank: the same words everywhere, the older
// checkpoint as it was, and training that goes on. Saving in the background.

#include "small_state.hpp"
#include "store_use.hpp"
#include "support/failing_files.hpp"
#include "support/memory_files.hpp"
#include "support/run_ranks.hpp"

#include <zero/base/error.hpp>
#include <zero/checkpoint/store.hpp>
#include <zero/collectives/single.hpp>

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <functional>
#include <stdexcept>

namespace zero::checkpoint::testing {
namespace {

using zero::testing::failing_files;
using zero::testing::file_fault;
using zero::testing::memory_files;
using zero::testing::run_ranks;
using zero::testing::try_ranks;

const small_model model;
using prepare_function = std::function<void(small_source&, int rank)>;

// Three ranks save steps 1, then 2 with a state that was prepared, then 3. The error of 2 is that
// of all, and the only one.
template <typename Error>
void expect_second_fails(const prepare_function& prepare, const std::string& words,
                         saving how = saving::at_once) {
  const auto files = std::make_shared<memory_files>();
  std::array<std::string, 3> texts;
  run_ranks(
      3,
      [&](collectives::communicator& ranks) {
        store_options options = with(files);
        options.how = how;
        store to(ranks, "", options);
        const int rank = ranks.rank();
        small_source first(model, rank, 3, 1);
        to.save(first, 1, client_at(1));
        to.finish();
        small_source second(model, rank, 3, 2);
        prepare(second, rank);
        try {
          to.save(second, 2, client_at(2));
          to.finish();
          ADD_FAILURE() << "nothing was thrown";
        } catch (const Error& e) {
          texts.at(static_cast<std::size_t>(rank)) = e.what();
        }
        ASSERT_NE(to.newest(), nullptr);
        EXPECT_EQ(to.newest()->step, 1U);
        small_target into(model, rank, 3);
        loaded out;
        EXPECT_TRUE(to.load(into, out));
        EXPECT_EQ(into.wrong(1), "");
        EXPECT_TRUE(out.passed_over.empty());
        small_source third(model, rank, 3, 3);
        to.save(third, 3, client_at(3));
        to.finish();
        EXPECT_EQ(to.newest()->step, 3U);
      },
      small_world);
  EXPECT_NE(texts[0].find(words), std::string::npos) << texts[0];
  EXPECT_EQ(texts[1], texts[0]);
  EXPECT_EQ(texts[2], texts[0]);
  EXPECT_EQ(files->image().folders.size(), 2U);  // no staging folder is left
}

TEST(StoreErrors, ARankWhoseStateThrows) {
  for (const saving how : {saving::at_once, saving::background}) {
    for (const int culprit : {0, 2}) {
      const auto prepare = [&](small_source& state, int rank) {
        if (rank != culprit) return;
        state.before = [](std::size_t extent) {
          if (extent == 2) throw std::runtime_error("the state cannot be read");
        };
      };
      expect_second_fails<save_failed>(prepare,
                                       "[checkpoint.save] step 2 was not published: rank " +
                                           std::to_string(culprit) + ": the state cannot be read",
                                       how);
    }
  }
}

// What ends the communicator is thrown as it is, nothing is published, and the next run clears away
// what was left and finds the older checkpoint.
TEST(StoreErrors, ARankThatIsLostWhileItSaves) {
  for (const saving how : {saving::at_once, saving::background}) {
    const auto files = std::make_shared<memory_files>();
    save_steps(files, 3, {1});
    const auto errors = try_ranks(
        3,
        [&](collectives::communicator& ranks) {
          store_options options = with(files, 2);
          options.how = how;
          store to(ranks, "", options);
          small_source state(model, ranks.rank(), 3, 2);
          state.before = [&](std::size_t extent) {
            if (ranks.rank() == 1 && extent == 1) ranks.abort("it was told to");
          };
          to.save(state, 2);
          to.finish();
        },
        small_world);
    for (const auto& error : errors) {
      ASSERT_TRUE(error);
      try {
        std::rethrow_exception(error);
      } catch (const peer_lost& e) {
        EXPECT_EQ(e.ranks, std::vector<int>{1});
      }
    }
    EXPECT_EQ(catalog(*files), std::vector<std::string>{"step-000000000001"});
    EXPECT_EQ(files->image().folders.size(), 2U);  // the staging folder was left
    const auto alone = collectives::make_single();
    store after(*alone, "", with(files, 3));
    EXPECT_EQ(files->image().folders.size(), 1U);
    small_target into(model, 0, 1);
    loaded out;
    EXPECT_TRUE(after.load(into, out));
    EXPECT_EQ(into.wrong(1), "");
  }
}

// The proof of coverage: nothing is published of which an element is missing, or there twice.
TEST(StoreErrors, AnElementThatNobodySavesOrTwoDo) {
  expect_second_fails<save_failed>(
      [](small_source& state, int rank) {
        if (rank == 1) state.announced().pop_back();
      },
      "is saved nowhere");
  expect_second_fails<save_failed>(
      [](small_source& state, int rank) {
        if (rank == 2) state.announced().push_back({0, 0, 2});
      },
      "element 0 of 'embed' is saved twice");
}

TEST(StoreErrors, AStateThatVisitsSomethingElseThanItAnnounced) {
  for (const saving how : {saving::at_once, saving::background}) {
    expect_second_fails<save_failed>(
        [](small_source& state, int rank) {
          if (rank != 1) return;
          state.before = [&state](std::size_t extent) {
            if (extent == 1) state.announced()[1].offset += 1;
          };
        },
        "rank 1: [checkpoint.save] what is to be saved visits another extent", how);
  }
}

TEST(StoreErrors, RanksThatSaveDifferentThings) {
  expect_second_fails<desync>([](small_source& state, int rank) { state.other_model = rank == 1; },
                              "those of rank 1 are not the others'");
}

TEST(StoreErrors, NamesOfAttachments) {
  const auto files = std::make_shared<memory_files>();
  const auto alone = collectives::make_single();
  store to(*alone, "", with(files));
  small_source state(model, 0, 1, 1);
  for (const std::string& name : {std::string(), std::string(201, 'a'), std::string("a\nb"),
                                  std::string("\xff"), std::string("a\0b", 3)}) {
    expect_text<invalid_argument>(
        [&] {
          to.save(state, 1, {{name, "x"}});
        },
        "the name of an attachment");
  }
  const attachments odd = {{std::string(200, 'a'), std::string("\0\xff\n", 3)}, {"\xc3\xbc/@", ""}};
  to.save(state, 1, odd);
  small_target into(model, 0, 1);
  loaded out;
  ASSERT_TRUE(to.load(into, out));
  EXPECT_EQ(out.client, odd);
}

TEST(StoreErrors, OptionsThatCannotBe) {
  const auto files = std::make_shared<memory_files>();
  const auto alone = collectives::make_single();
  store_options options = with(files);
  options.keep = -1;
  expect_text<invalid_argument>([&] { const store opened(*alone, "", options); }, "keep -1");
}

// Where the disk is too full it is said before anything is written.
TEST(StoreErrors, AFullDisk) {
  for (const bool reserving : {true, false}) {
    const auto files = std::make_shared<memory_files>();
    save_steps(files, 2, {1});
    files->reserving = reserving;
    std::uint64_t free = 0;
    ASSERT_EQ(files->free_bytes(free), 0);
    files->room -= free - 100;
    const auto errors = try_ranks(
        2,
        [&](collectives::communicator& ranks) {
          store to(ranks, "", with(files, 2));
          small_source state(model, ranks.rank(), 2, 2);
          to.save(state, 2);
        },
        small_world);
    EXPECT_EQ(text_of(errors[0]), text_of(errors[1]));
    ASSERT_TRUE(errors[0]);
    try {
      std::rethrow_exception(errors[0]);
    } catch (const save_failed& e) {
      EXPECT_EQ(e.error_number, ENOSPC);
      EXPECT_EQ(e.kind(), error_class::resource);
    }
    EXPECT_EQ(catalog(*files), std::vector<std::string>{"step-000000000001"});
  }
}

// A load that fails while the state is written falls back to an older one, which mends it.
TEST(StoreErrors, ALoadThatFailsHalfWayIsMendedByTheNextOne) {
  const auto files = std::make_shared<memory_files>();
  save_steps(files, 2, {1, 2});
  std::array<std::vector<std::string>, 2> reasons;
  run_ranks(
      2,
      [&](collectives::communicator& ranks) {
        store from(ranks, "", with(files));
        small_target into(model, ranks.rank(), 2);
        std::atomic<int> left{3};
        into.before = [&](std::size_t) {
          if (ranks.rank() == 1 && left-- == 1) throw std::runtime_error("not this time");
        };
        loaded out;
        ASSERT_TRUE(from.load(into, out));
        EXPECT_EQ(out.from.step, 1U);
        EXPECT_EQ(into.wrong(1), "");
        reasons.at(static_cast<std::size_t>(ranks.rank())) = out.passed_over;
      },
      small_world);
  ASSERT_EQ(reasons[0].size(), 1U);
  EXPECT_EQ(reasons[0], reasons[1]);
  EXPECT_EQ(reasons[0][0], "step-000000000002: rank 1: not this time");
}

// The copy is that of the step at which save was called, whatever becomes of the state afterwards.
TEST(Background, SavesExactlyOneStepWhileTrainingGoesOn) {
  const auto files = std::make_shared<memory_files>();
  run_ranks(
      3,
      [&](collectives::communicator& ranks) {
        store_options options = with(files);
        options.how = saving::background;
        options.keep = 0;
        store to(ranks, "", options);
        EXPECT_EQ(to.copy_bytes(), 0U);
        for (std::uint64_t step = 1; step <= 4; ++step) {
          {
            small_source state(model, ranks.rank(), 3, step);
            to.save(state, step, client_at(step));
          }  // gone, before it is published
          EXPECT_GT(to.copy_bytes(), 0U);
          ranks.barrier().wait();  // other operations meanwhile
        }
        to.finish();
        EXPECT_EQ(to.newest()->step, 4U);
      },
      small_world);
  for (const std::string& folder : catalog(*files)) verify(*files, folder);
  EXPECT_EQ(catalog(*files).size(), 4U);
  run_ranks(
      1,
      [&](collectives::communicator& ranks) {
        store from(ranks, "", with(files));
        small_target into(model, 0, 1);
        loaded out;
        ASSERT_TRUE(from.load(into, out));
        EXPECT_EQ(into.wrong(4), "");
      },
      small_world);
}

TEST(Background, WhatFailsIsThrownByTheNextCallOnEveryRank) {
  const auto memory = std::make_shared<memory_files>();
  for (const int next : {0, 1, 2}) {
    std::array<std::string, 2> texts;
    run_ranks(
        2,
        [&](collectives::communicator& ranks) {
          const int rank = ranks.rank();
          const auto files = std::make_shared<failing_files>(memory);
          store_options options = with(files, 10 + static_cast<std::uint64_t>(next));
          options.how = saving::background;
          store to(ranks, "", options);
          const std::uint64_t step = 10 * static_cast<std::uint64_t>(next) + 1;
          if (rank == 1) files->arm(2, file_fault::enospc, false);
          small_source state(model, rank, 2, step);
          to.save(state, step);
          small_target into(model, rank, 2);
          loaded out;
          small_source again(model, rank, 2, step + 1);
          const auto call = [&] {
            if (next == 0) to.finish();
            if (next == 1) to.save(again, step + 1);
            if (next == 2) static_cast<void>(to.load(into, out));
          };
          try {
            call();
            ADD_FAILURE() << "nothing was thrown";
          } catch (const save_failed& e) {
            texts.at(static_cast<std::size_t>(rank)) = e.what();
            EXPECT_EQ(e.rank, 1);
            EXPECT_EQ(e.error_number, ENOSPC);
          }
          to.finish();  // told once
          to.save(again, step + 1);
          to.finish();
          EXPECT_EQ(to.newest()->step, step + 1);
        },
        small_world);
    EXPECT_EQ(texts[0], texts[1]);
    EXPECT_NE(texts[0].find("rank 1: "), std::string::npos);
  }
}

// A store that goes away waits for what is under way.
TEST(Background, TheEndOfAStorePublishesWhatIsUnderWay) {
  const auto files = std::make_shared<memory_files>();
  run_ranks(
      2,
      [&](collectives::communicator& ranks) {
        store_options options = with(files);
        options.how = saving::background;
        store to(ranks, "", options);
        small_source state(model, ranks.rank(), 2, 5);
        to.save(state, 5);
      },
      small_world);
  EXPECT_EQ(catalog(*files), std::vector<std::string>{"step-000000000005"});
}

}  // namespace
}  // namespace zero::checkpoint::testing
