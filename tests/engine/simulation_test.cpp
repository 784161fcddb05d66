// The engine on a virtual clock: hundreds of orders of events that no machine comes upon by itself,
// each from a seed. Bits, errors and times are those that were promised, whatever the order.

#include "support/run_ranks.hpp"
#include "support/simulated_world.hpp"
#include "toy_client.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <vector>

namespace zero::testing {
namespace {

struct program {
  int ranks;
  const char* policy;
  int prefetch;
  int micro_batches;
  dtype type;
};

toy_run run_of(const program& p) {
  toy_run run;
  run.options.policy = partition::policy_of_name(p.policy, 2);
  run.options.groups.resize(2);
  run.options.clip_norm = 1.0;
  run.options.prefetch = p.prefetch;
  run.options.accumulate = p.micro_batches;
  run.micro_batches = p.micro_batches;
  run.type = p.type;
  run.steps = 2;
  return run;
}

const program programs[] = {{2, "0", 1, 1, dtype::fp32},      {3, "1", 1, 2, dtype::bf16},
                            {3, "2", 2, 1, dtype::fp32},      {2, "3", 0, 1, dtype::fp16},
                            {3, "3", 1, 2, dtype::fp32},      {5, "3", 3, 1, dtype::bf16},
                            {4, "hybrid", 1, 1, dtype::fp32}, {4, "hpz", 2, 1, dtype::bf16}};

#ifdef __SANITIZE_ADDRESS__
constexpr std::uint64_t seeds = 12;  // of each program
#else
constexpr std::uint64_t seeds = 200;
#endif

std::string said_by(const std::exception_ptr& error) {
  if (error == nullptr) return "";
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return e.what();
  }
}

struct outcome {
  simulated world;
  std::vector<digest128> digests;
  std::vector<std::vector<double>> norms;
};

outcome simulate_toy(const simulation& how, const toy_run& run) {
  outcome out;
  out.digests.resize(static_cast<std::size_t>(how.ranks));
  out.norms.resize(out.digests.size());
  out.world = simulate(how, [&](collectives::communicator& ranks) {
    const toy_result result = train_toy(ranks, run);
    const auto me = static_cast<std::size_t>(ranks.rank());
    out.digests[me] = result.digest;
    out.norms[me] = result.norms;
  });
  return out;
}

toy_result on_threads(const program& p) {
  toy_result first;
  run_ranks(p.ranks, [&](collectives::communicator& ranks) {
    toy_result mine = train_toy(ranks, run_of(p));
    if (ranks.rank() == 0) first = std::move(mine);
  });
  return first;
}

TEST(simulation, bits_are_those_of_threads_in_every_order_of_events) {
  for (const program& p : programs) {
    SCOPED_TRACE(std::string(p.policy) + " of " + std::to_string(p.ranks));
    const toy_result right = on_threads(p);
    std::set<std::string> orders;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
      SCOPED_TRACE("seed " + std::to_string(seed));
      const outcome out = simulate_toy({p.ranks, seed}, run_of(p));
      for (std::size_t rank = 0; rank < out.digests.size(); ++rank) {
        ASSERT_EQ(said_by(out.world.errors[rank]), "");
        ASSERT_EQ(to_hex(out.digests[rank]), to_hex(right.digest));
        ASSERT_EQ(out.norms[rank], right.norms);
      }
      orders.insert(to_hex(out.world.events));
    }
    EXPECT_EQ(orders.size(), seeds);
  }
}

TEST(simulation, a_seed_is_a_run) {
  for (const program& p : programs) {
    const outcome once = simulate_toy({p.ranks, 77}, run_of(p));
    const outcome again = simulate_toy({p.ranks, 77}, run_of(p));
    EXPECT_EQ(to_hex(once.world.events), to_hex(again.world.events)) << p.policy;
  }
}

// Pauses of nearly the deadline, one after the other: nobody is accused.
TEST(simulation, who_is_slow_and_moves_is_not_accused) {
  for (const program& p : programs) {
    for (std::uint64_t seed = 1; seed <= seeds / 4; ++seed) {
      SCOPED_TRACE(std::string(p.policy) + ", seed " + std::to_string(seed));
      const outcome out = simulate_toy({p.ranks, seed, 30.0, 14.0}, run_of(p));
      EXPECT_GT(out.world.ended_at, 30.0);  // slower in all than the deadline
      for (const std::exception_ptr& error : out.world.errors) {
        ASSERT_EQ(said_by(error), "");
      }
    }
  }
}

void expect_culprit(const std::exception_ptr& error, int rank) {
  ASSERT_NE(error, nullptr);
  try {
    std::rethrow_exception(error);
  } catch (const peer_lost& lost) {
    EXPECT_EQ(lost.ranks, std::vector<int>{rank}) << lost.what();
  } catch (const std::exception& other) {
    ADD_FAILURE() << other.what();
  }
}

// At every call of every rank, over the seeds: who is left ends in time and names the culprit.
TEST(simulation, survivors_name_who_died_or_hangs_in_time) {
  std::uint64_t struck = 0;
  std::uint64_t unharmed = 0;
  for (const program& p : programs) {
    const std::uint64_t calls = simulate_toy({p.ranks, 1}, run_of(p)).world.calls;
    for (std::uint64_t seed = 1; seed <= 2 * seeds; ++seed) {
      const auto rank = static_cast<int>(seed % static_cast<std::uint64_t>(p.ranks));
      const fate what = seed % 3 == 0 ? fate::hangs : fate::dies;
      const std::uint64_t at = seed * 7919 % (calls * 3 / 4);
      SCOPED_TRACE(std::string(p.policy) + ", seed " + std::to_string(seed) + ", rank " +
                   std::to_string(rank) + " at call " + std::to_string(at));
      const outcome out =
          simulate_toy({p.ranks, seed, 30.0, 0.0, misfortune{rank, at, what}}, run_of(p));
      if (!out.world.struck) continue;  // this rank makes fewer calls
      ++struck;
      for (int other = 0; other < p.ranks; ++other) {
        const auto at_other = static_cast<std::size_t>(other);
        if (other == rank) continue;
        if (out.world.errors[at_other] == nullptr && out.norms[at_other].size() == 2) {
          ++unharmed;  // it needed nothing of the other any more
        } else {
          expect_culprit(out.world.errors[at_other], rank);
        }
      }
      EXPECT_LT(out.world.ended_at - out.world.struck_at, what == fate::dies ? 1.1 : 31.0);
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(struck, std::size(programs) * seeds);
  EXPECT_LT(unharmed, struck / 10);
}

}  // namespace
}  // namespace zero::testing
