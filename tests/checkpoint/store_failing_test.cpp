// Every file operation of opening, saving and loading fails in seven ways, once or from then on, on
// either of two ranks. What is promised: the right bits, or one typed error in the same words on
// both ranks; in either case an older checkpoint that loads; and training that goes on.

#include "small_state.hpp"
#include "store_use.hpp"
#include "support/failing_files.hpp"
#include "support/memory_files.hpp"
#include "support/run_ranks.hpp"
#include "support/sampling.hpp"

#include <zero/base/error.hpp>
#include <zero/checkpoint/store.hpp>

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <iostream>

namespace zero::checkpoint::testing {
namespace {

using zero::testing::every_file_fault;
using zero::testing::failing_files;
using zero::testing::file_fault;
using zero::testing::memory_files;
using zero::testing::sampled_each;
using zero::testing::try_ranks;

constexpr int world = 2;
const small_model model;

struct spoiling {
  int rank;
  std::uint64_t call;
  file_fault fault;
  bool for_good;
  bool direct;  // whether files past the page cache are to be had

  [[nodiscard]] std::string text() const {
    return "call " + std::to_string(call) + " of rank " + std::to_string(rank) + " " +
           name_of(fault) + (for_good ? " for good" : " once") + (direct ? "" : ", not direct");
  }
};

// Directory of a case: checkpoints of steps 1 and 2, published by a run before.
struct directory {
  explicit directory(const spoiling& how) {
    static const zero::testing::directory_image base = [] {
      const auto saved = std::make_shared<memory_files>();
      save_steps(saved, world, {1, 2});
      return saved->image();
    }();
    memory = std::make_shared<memory_files>(base);
    memory->direct = how.direct;
    memory->reserving = how.direct;
    for (auto& f : files) f = std::make_shared<failing_files>(memory);
  }
  [[nodiscard]] failing_files& of(int rank) const {
    return *files.at(static_cast<std::size_t>(rank));
  }
  [[nodiscard]] store_options options(int rank) const {
    return with(files.at(static_cast<std::size_t>(rank)), 2);
  }
  void arm(const spoiling& how, int rank) const {
    if (rank == how.rank) of(rank).arm(how.call, how.fault, how.for_good);
  }
  std::shared_ptr<memory_files> memory;
  std::array<std::shared_ptr<failing_files>, world> files;
};

// What a directory loads as, seen by a run of one rank that has nothing to do with what was before.
// 0: nothing, with the reason in `why`.
std::uint64_t step_in(const zero::testing::directory_image& image, std::string& why) {
  std::uint64_t step = 0;
  const auto files = std::make_shared<memory_files>(image);
  const auto errors = try_ranks(
      1,
      [&](collectives::communicator& ranks) {
        store from(ranks, "", with(files, 3));
        small_target into(model, 0, 1, keeping::everything);
        loaded out;
        if (!from.load(into, out)) throw error("there is nothing");
        EXPECT_EQ(into.wrong(out.from.step), "");
        EXPECT_EQ(out.client, client_at(out.from.step));
        step = out.from.step;
        for (const std::string& reason : out.passed_over) why += reason + "; ";
      },
      small_world);
  why += text_of(errors[0]);
  return step;
}

using case_function = std::function<void(const spoiling&, const directory&)>;

// All calls, until one pass spoils nothing. Returns how many cases there were.
std::uint64_t for_every_call(const case_function& run) {
  std::uint64_t cases = 0;
  for (const bool direct : {true, false}) {
    for (int rank = 0; rank < world; ++rank) {
      for (const file_fault fault : every_file_fault) {
        for (const bool for_good : {false, true}) {
          const std::uint64_t first = cases % sampled_each;
          for (std::uint64_t call = first;; call += sampled_each) {
            const spoiling how{rank, call, fault, for_good, direct};
            SCOPED_TRACE(how.text());
            const directory where(how);
            run(how, where);
            EXPECT_EQ(where.memory->open_handles(), 0U);
            if (::testing::Test::HasFailure()) return cases;
            if (where.of(rank).spoiled() == 0) break;
            ++cases;
          }
        }
      }
    }
  }
  return cases;
}

// What one rank got.
struct outcome {
  bool good = false;
  std::string text;
  int rank = -1;
};

void expect_same(const std::array<outcome, world>& all, const spoiling& how) {
  EXPECT_EQ(all[0].good, all[1].good);
  EXPECT_EQ(all[0].text, all[1].text);
  if (!all[0].good) {
    EXPECT_EQ(all[0].rank, how.rank) << all[0].text;
    EXPECT_NE(all[0].text.find("rank " + std::to_string(how.rank) + ": "), std::string::npos)
        << all[0].text;
    EXPECT_NE(all[0].text.find("memory"), std::string::npos) << all[0].text;  // the path
  }
}

TEST(FailingCalls, OfASaveEndInACheckpointOrInOneErrorAndTheOlderOnes) {
  const std::uint64_t cases = for_every_call([](const spoiling& how, const directory& where) {
    std::array<outcome, world> got;
    zero::testing::directory_image after;
    std::uint64_t injected = 0;
    zero::testing::run_ranks(
        world,
        [&](collectives::communicator& ranks) {
          const int rank = ranks.rank();
          outcome& mine = got.at(static_cast<std::size_t>(rank));
          store to(ranks, "", where.options(rank));
          small_source state(model, rank, world, 3);
          where.arm(how, rank);
          try {
            to.save(state, 3, client_at(3));
            mine.good = true;
          } catch (const save_failed& e) {
            mine.text = e.what();
            mine.rank = e.rank;
          }
          ranks.barrier().wait();
          if (rank == 0) {
            where.of(how.rank).disarm();
            injected = where.of(how.rank).spoiled();
            after = where.memory->image();
          }
          ranks.barrier().wait();
          small_source next(model, rank, world, 4);
          to.save(next, 4, client_at(4));
        },
        small_world);
    expect_same(got, how);
    EXPECT_TRUE(got[0].good || injected > 0);
    std::string why;
    const std::uint64_t step = step_in(after, why);
    if (!got[0].good) {
      EXPECT_TRUE(step == 2 || step == 3) << why;
    } else if (how.fault == file_fault::lie) {
      EXPECT_TRUE(step == 3 || (step == 2 && !why.empty())) << why;
    } else {
      EXPECT_EQ(step, 3U) << why;
    }
    why.clear();
    EXPECT_EQ(step_in(where.memory->image(), why), 4U) << why;
  });
  std::cout << cases << " spoiled saves\n";
  EXPECT_GE(cases, 1000U / sampled_each);
}

TEST(FailingCalls, OfALoadEndInTheRightBitsOrInOneError) {
  const std::uint64_t cases = for_every_call([](const spoiling& how, const directory& where) {
    std::array<outcome, world> got;
    std::array<std::uint64_t, world> steps{};
    zero::testing::run_ranks(
        world,
        [&](collectives::communicator& ranks) {
          const int rank = ranks.rank();
          const auto at = static_cast<std::size_t>(rank);
          store from(ranks, "", where.options(rank));
          where.arm(how, rank);
          small_target into(model, rank, world);
          loaded out;
          try {
            got.at(at).good = from.load(into, out);
            EXPECT_TRUE(got.at(at).good);
            steps.at(at) = out.from.step;
            EXPECT_EQ(into.wrong(out.from.step), "");
            EXPECT_EQ(out.client, client_at(out.from.step));
            EXPECT_EQ(out.passed_over.size(), 2 - out.from.step);
          } catch (const error& e) {
            got.at(at).text = e.what();
            got.at(at).rank = how.rank;
            EXPECT_TRUE(into.untouched() || got.at(at).text.find("of no use") != std::string::npos);
          }
          ranks.barrier().wait();
          where.of(rank).disarm();
          small_target again(model, rank, world);
          EXPECT_TRUE(from.load(again, out));
          EXPECT_EQ(again.wrong(2), "");
        },
        small_world);
    expect_same(got, how);
    EXPECT_EQ(steps[0], steps[1]);
  });
  std::cout << cases << " spoiled loads\n";
  EXPECT_GE(cases, 800U / sampled_each);
}

TEST(FailingCalls, OfOpeningEndInAStoreOrInOneError) {
  const std::uint64_t cases = for_every_call([](const spoiling& how, const directory& where) {
    std::array<outcome, world> got;
    zero::testing::run_ranks(
        world,
        [&](collectives::communicator& ranks) {
          const int rank = ranks.rank();
          outcome& mine = got.at(static_cast<std::size_t>(rank));
          where.arm(how, rank);
          try {
            const store opened(ranks, "", where.options(rank));
            mine.good = true;
          } catch (const error& e) {
            mine.text = e.what();
            mine.rank = how.rank;
          }
        },
        small_world);
    expect_same(got, how);
    std::string why;
    EXPECT_EQ(step_in(where.memory->image(), why), 2U) << why;
  });
  std::cout << cases << " spoiled openings\n";
  EXPECT_GE(cases, 300U / sampled_each);
}

}  // namespace
}  // namespace zero::checkpoint::testing
