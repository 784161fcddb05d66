// Every call of a training's path to the disk failed on purpose, once and for good, on either of
// two ranks that keep everything there: the run ends with the bits of a run without faults, or
// stops on both ranks, on one with the disk's error and on the other with one that names the first.
#include "engine/toy_client.hpp"
#include "offload/scratch.hpp"
#include "support/failing_disk.hpp"
#include "support/run_ranks.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <exception>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace zero::testing {
namespace {

using namespace std::chrono_literals;

constexpr int world = 2;
// Of a transfer: short where a fault is to run into it.
constexpr std::chrono::milliseconds shortly = 40ms, patiently = 60s;

// Under a sanitizer every so manieth call only: each takes several times as long.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::uint64_t stride = 4;
#else
constexpr std::uint64_t stride = 1;
#endif

struct rank_outcome {
  digest128 digest{};
  std::vector<double> norms;
  std::optional<error_class> failed;
  std::string text;
  int error_number = 0;     // of an io_error
  std::vector<int> blamed;  // of a peer_lost
};
using outcome = std::vector<rank_outcome>;

void take_down(const std::exception_ptr& thrown, rank_outcome& out) {
  try {
    std::rethrow_exception(thrown);
  } catch (const io_error& e) {
    out = {{}, {}, e.kind(), e.what(), e.error_number, {}};
  } catch (const peer_lost& e) {
    out = {{}, {}, e.kind(), e.what(), 0, e.ranks};
  } catch (const error& e) {
    out = {{}, {}, e.kind(), e.what(), 0, {}};
  }
}

// Stage 3 with everything on the disk, in cells that several make up a bucket of. `deadline` is the
// victim's: who is healthy has time, however busy the machine.
outcome train(const fault_script& script, int victim, std::chrono::milliseconds deadline) {
  const scratch_directory scratch;
  toy_run run;
  run.wide = 3;
  run.steps = 2;
  run.options.policy = partition::policy_of_name("3", world);
  run.options.groups.resize(2);
  run.options.clip_norm = 1.0;
  run.options.tiers.optimizer = partition::tier::disk;
  run.options.tiers.gradients = partition::tier::disk;
  run.options.tiers.parameters = partition::tier::disk;
  run.options.tiers.cell_elements = 2048;
  run.options.tiers.depth = 3;
  run.options.tiers.bounces = 2;
  run.options.disk_directory = scratch.path();
  outcome out(world);
  const auto errors = try_ranks(world, [&](collectives::communicator& ranks) {
    ranks.set_deadline(90s);
    toy_run own = run;
    own.options.disk_deadline = ranks.rank() == victim ? deadline : patiently;
    own.options.make_disk = script.engines_of(ranks.rank());
    const toy_result result = train_toy(ranks, own);
    auto& here = out[static_cast<std::size_t>(ranks.rank())];
    here.digest = result.digest;
    here.norms = result.norms;
  });
  for (std::size_t rank = 0; rank < errors.size(); ++rank) {
    if (errors[rank] != nullptr) take_down(errors[rank], out[rank]);
  }
  EXPECT_TRUE(scratch.empty());
  return out;
}

struct fault_case {
  disk_fault fault;
  const char* name;
  bool mended_once;  // what follows is right
  int error_number;  // of the io_error; 0: bytes are wrong
};

const fault_case every_fault[] = {
    {disk_fault::eio, "eio", false, EIO},
    {disk_fault::enospc, "enospc", false, ENOSPC},
    {disk_fault::refused, "refused", false, ENOMEM},
    {disk_fault::eintr, "eintr", true, ETIMEDOUT},
    {disk_fault::eagain, "eagain", true, ETIMEDOUT},
    {disk_fault::odd, "odd", true, ETIMEDOUT},
    {disk_fault::half, "half", true, ETIMEDOUT},
    {disk_fault::silence, "silence", false, ETIMEDOUT},
    {disk_fault::zero, "zero", false, ENODATA},
    {disk_fault::too_much, "too_much", false, EPROTO},
    {disk_fault::nothing, "nothing", false, 0},
    {disk_fault::torn, "torn", false, 0},
    {disk_fault::flipped_bit, "flipped_bit", false, 0},
    {disk_fault::old_generation, "old_generation", false, 0},
    {disk_fault::neighbour, "neighbour", false, 0},
};

class offload_faults : public ::testing::TestWithParam<fault_case> {
 protected:
  static void SetUpTestSuite() {
    const fault_script none(world, {});
    right_ = train(none, 0, patiently)[0];
    ASSERT_FALSE(right_.failed) << right_.text;
    for (int rank = 0; rank < world; ++rank) {
      calls_[rank][false] = none.tally(rank).reads;
      calls_[rank][true] = none.tally(rank).writes;
      ASSERT_GT(calls_[rank][false], 20U);
      ASSERT_GT(calls_[rank][true], 20U);
    }
  }

  // Whether the run ended with an error, which then is the one that it should be.
  static bool ends_in_error(int victim, const fault_plan& plan) {
    const fault_case& fault = GetParam();
    const bool late = fault.error_number == ETIMEDOUT && !(fault.mended_once && plan.count == 1);
    const auto begin = std::chrono::steady_clock::now();
    fault_script script(world, {{victim, plan}});
    outcome out = train(script, victim, late ? shortly : patiently);
    // Where the machine is too busy to get as far as the fault in time, time is what it needs.
    for (auto longer = 8 * shortly; script.tally(victim).spoiled == 0 && longer < patiently;
         longer *= 8) {
      script = fault_script(world, {{victim, plan}});
      out = train(script, victim, longer);
    }
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 60s);
    const rank_outcome& struck = out[static_cast<std::size_t>(victim)];
    const rank_outcome& other = out[static_cast<std::size_t>(1 - victim)];
    EXPECT_GT(script.tally(victim).spoiled, 0U);
    EXPECT_EQ(script.tally(1 - victim).spoiled, 0U);
    if (!struck.failed && !other.failed) {
      for (const rank_outcome& rank : out) {
        EXPECT_EQ(to_hex(rank.digest), to_hex(right_.digest));
        EXPECT_EQ(rank.norms, right_.norms);
      }
      return false;
    }
    EXPECT_EQ(struck.failed, fault.error_number == 0 ? error_class::corrupt : error_class::resource)
        << struck.text;
    EXPECT_EQ(struck.error_number, fault.error_number) << struck.text;
    const std::string whose = "rank " + std::to_string(victim) + "'s ";
    for (const std::string& word : {whose, std::string(": record "), std::string("(unnamed)")}) {
      EXPECT_NE(struck.text.find(word), std::string::npos) << struck.text;
    }
    EXPECT_EQ(other.failed, error_class::peer_lost) << other.text;
    EXPECT_EQ(other.blamed, std::vector<int>{victim}) << other.text;
    return true;
  }

  static rank_outcome right_;
  static std::uint64_t calls_[world][2];  // reads and writes of a run without faults, by rank
};
rank_outcome offload_faults::right_;
std::uint64_t offload_faults::calls_[world][2];

TEST_P(offload_faults, every_call_once) {
  const fault_case& fault = GetParam();
  for (const bool write : {false, true}) {
    std::uint64_t calls = 0, errors = 0;
    for (int victim = 0; victim < world; ++victim) {
      for (std::uint64_t call = static_cast<std::uint64_t>(victim); call < calls_[victim][write];
           call += stride) {
        SCOPED_TRACE((write ? "write " : "read ") + std::to_string(call) + " of rank " +
                     std::to_string(victim));
        ++calls;
        if (ends_in_error(victim, {fault.fault, call, 1, !write, write})) ++errors;
        if (HasFailure()) return;
      }
    }
    if (fault.mended_once || (fault.error_number == 0 && !write)) {
      EXPECT_EQ(errors, 0U);
    } else if (fault.error_number != 0) {
      EXPECT_EQ(errors, calls);
    } else {  // what is written last, or is what was there before, nobody misses
      EXPECT_GT(errors, calls / 4);
    }
  }
}

TEST_P(offload_faults, every_call_for_good) {
  const fault_case& fault = GetParam();
  const std::uint64_t always = std::numeric_limits<std::uint64_t>::max();
  for (const auto& [reads, writes] : {std::pair{true, false}, {false, true}, {true, true}}) {
    std::uint64_t calls = 0, errors = 0;
    const auto last = [&, r = reads, w = writes](int rank) {
      return (r ? calls_[rank][false] : 0) + (w ? calls_[rank][true] : 0);
    };
    // Odd, so that either rank is struck.
    const std::uint64_t step = reads && writes ? 5 : stride > 1 ? stride + 1 : 1;
    for (std::uint64_t call = 0; call < std::min(last(0), last(1)); call += step, ++calls) {
      const int victim = static_cast<int>(call % world);
      SCOPED_TRACE(std::string("from") + (reads ? " read" : "") + (writes ? " write " : " ") +
                   std::to_string(call) + " of rank " + std::to_string(victim));
      if (ends_in_error(victim, {fault.fault, call, always, reads, writes})) ++errors;
      if (HasFailure()) return;
    }
    if (fault.error_number != 0) {
      EXPECT_EQ(errors, calls);
    } else {
      EXPECT_GT(errors, calls / 4);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(all, offload_faults, ::testing::ValuesIn(every_fault),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace zero::testing
