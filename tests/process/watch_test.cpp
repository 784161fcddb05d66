// Ranks as processes that die, hang, fail or are merely slow: all others name the same one, in
// time, and who moves is left alone. Cases run side by side: they mostly wait.
#include "engine/toy_client.hpp"
#include "offload/scratch.hpp"
#include "support/failing_disk.hpp"
#include "support/run_processes.hpp"

#include <zero/base/error.hpp>
#include <zero/engine/sharded_optimizer.hpp>

#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace zero::testing {
namespace {

using collectives::communicator;
using namespace std::chrono_literals;

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr int slowness = 4;
constexpr std::size_t every = 4;  // of so many cases one is run
#else
constexpr int slowness = 1;
constexpr std::size_t every = 1;
#endif
constexpr std::chrono::milliseconds hang_deadline = 1500ms * slowness;
constexpr std::size_t side_by_side = 8;

// ---- deaths and hangs

enum class fate { killed, stopped, exits, sleeps, throws };
enum class place { before_any, queued, between, on_the_lane, in_a_group, while_moving };

// What happens to the victim. Returns only from `throws`, and where the process was let go on.
void meet_fate(fate f) {
  rank_processes::current()->marked = trace_clock();
  switch (f) {
    case fate::killed:
      raise(SIGKILL);
      break;
    case fate::stopped:
      raise(SIGSTOP);
      break;
    case fate::exits:
      _exit(9);
    case fate::sleeps:
      while (true) std::this_thread::sleep_for(1h);
    case fate::throws:
      throw io_error("reading", "the client's own file", EIO);
  }
}

// Work that an operation has to wait for, which is where the lane meets its fate.
class fateful final : public completion_source {
 public:
  explicit fateful(fate f) : fate_(f) {}
  void wait(std::uint64_t) override {
    if (!met_) meet_fate(fate_);
    met_ = true;
  }
  [[nodiscard]] bool ready(std::uint64_t) const noexcept override { return met_; }

 private:
  fate fate_;
  bool met_ = false;
};

struct death {
  int size;
  int victim;
  fate how;
  place where;
};

void train_until(communicator& ranks, const death& d) {
  ranks.set_deadline(hang_deadline);
  const bool is_victim = ranks.rank() == d.victim;
  const auto meet = [&](place here) {
    if (is_victim && d.where == here) meet_fate(d.how);
  };
  meet(place::before_any);
  const auto half = ranks.split(0, ranks.rank());
  const auto n = static_cast<std::size_t>(ranks.size());
  constexpr std::size_t count = 40009;
  const typed_span full{ranks.memory().allocate(n * count * 4), n * count, dtype::fp32};
  const typed_span shard{ranks.memory().allocate(count * 4), count, dtype::fp32};
  std::vector<float> heap(300007);
  std::thread later;
  fateful source(d.how);
  for (int step = 0;; ++step) {
    if (step == 5) meet(place::between);
    const bool lane = is_victim && step == 5 && d.where == place::on_the_lane;
    ranks.all_gather(shard, full, {lane ? completion(source, 0) : completion(), "gather", 1, step});
    if (step == 5) meet(place::queued);
    if (step == 5 && is_victim && d.where == place::while_moving) {
      later = std::thread([&d] { meet_fate(d.how); });
    }
    ranks.all_reduce({heap.data(), heap.size(), dtype::fp32}, {{}, "heap", 2, step});
    half->barrier({{}, "half", 3, step});
    if (step == 5) meet(place::in_a_group);
    ranks.reduce_scatter(full, shard, collectives::write_mode::overwrite, {{}, "reduce", 4, step})
        .wait();
  }
}

std::vector<death> all_deaths() {
  std::vector<death> all;
  const place places[] = {place::before_any,  place::queued,     place::between,
                          place::on_the_lane, place::in_a_group, place::while_moving};
  int turn = 0;
  for (const int size : {2, 4}) {
    for (const place where : places) {
      for (const fate how : {fate::killed, fate::stopped}) {
        all.push_back({size, turn++ % size, how, where});
      }
    }
    all.push_back({size, 0, fate::exits, place::between});
    all.push_back({size, size - 1, fate::sleeps, place::between});
    all.push_back({size, 0, fate::sleeps, place::in_a_group});
    all.push_back({size, size - 1, fate::throws, place::on_the_lane});
    all.push_back({size, 0, fate::throws, place::between});
  }
  return all;
}

std::string name_of(const death& d) {
  const char* const fates[] = {"killed", "stopped", "exits", "sleeps", "throws"};
  const char* const places[] = {"before any operation", "with one queued",  "between steps",
                                "on the lane",          "in another group", "while bytes move"};
  return std::string("rank ") + std::to_string(d.victim) + " of " + std::to_string(d.size) + " " +
         fates[static_cast<int>(d.how)] + " " + places[static_cast<int>(d.where)];
}

// All others named the victim, in one text; returns the seconds it took the last of them.
double expect_culprit(rank_processes& ranks, const death& d) {
  std::string text;
  double slowest = 0;
  for (int rank = 0; rank < d.size; ++rank) {
    if (rank == d.victim) continue;
    const int status = ranks.wait(rank);
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 1);
    EXPECT_EQ(ranks[rank].kind, error_class::peer_lost) << ranks[rank].text.data();
    EXPECT_EQ(ranks[rank].culprits, 1) << ranks[rank].text.data();
    EXPECT_EQ(ranks[rank].ranks[0], d.victim) << ranks[rank].text.data();
    if (text.empty()) text = ranks[rank].text.data();
    EXPECT_EQ(ranks[rank].text.data(), text);
    slowest = std::max(
        slowest, 1e-9 * static_cast<double>(ranks[rank].told - ranks[d.victim].marked.load()));
  }
  return slowest;
}

TEST(watch, deaths_and_hangs_are_named_alike_and_in_time) {
  const std::vector<death> all = all_deaths();
  std::size_t seen = 0;
  double dead = 0, hung = 0;
  for (std::size_t first = 0; first < all.size(); first += side_by_side * every) {
    std::vector<std::pair<death, std::unique_ptr<rank_processes>>> running;
    for (std::size_t i = first; i < std::min(first + side_by_side * every, all.size());
         i += every) {
      const death d = all[i];
      running.emplace_back(d, std::make_unique<rank_processes>(
                                  d.size, [d](communicator& ranks) { train_until(ranks, d); }));
    }
    for (auto& [d, ranks] : running) {
      SCOPED_TRACE(name_of(d));
      const double seconds = expect_culprit(*ranks, d);
      const bool hangs = d.how == fate::stopped || d.how == fate::sleeps;
      const double limit = slowness * (hangs ? 2.0 : 1.0) +
                           (hangs ? std::chrono::duration<double>(hang_deadline).count() : 0);
      EXPECT_LT(seconds, limit);
      // Its last move may lie a little before.
      EXPECT_GE(seconds, hangs ? 0.9 * std::chrono::duration<double>(hang_deadline).count() : 0);
      (hangs ? hung : dead) = std::max(hangs ? hung : dead, seconds);
      ++seen;
    }
  }
  std::printf(
      "%zu deaths and hangs: the dead named within %.2f s, the hung within %.2f s of a "
      "deadline of %.1f s\n",
      seen, dead, hung, std::chrono::duration<double>(hang_deadline).count());
  EXPECT_GE(seen * every, 34U);
}

// ---- a blocked disk

TEST(watch, a_blocked_disk_is_named_by_its_rank) {
  const scratch_directory scratch;
  std::vector<std::unique_ptr<rank_processes>> running;
  const int worlds[] = {2, 4};
  for (const int size : worlds) {
    running.push_back(std::make_unique<rank_processes>(size, [&, size](communicator& ranks) {
      ranks.set_deadline(60s);
      fault_plan silent;
      silent.what = disk_fault::silence;
      silent.first = 7;
      const fault_script script(size, {{1, silent}});
      toy_run run;
      run.options.policy = partition::policy_of_name("3", size);
      run.options.groups.resize(2);
      run.options.tiers.optimizer = partition::tier::disk;
      run.options.disk_directory = scratch.path();
      run.options.disk_deadline = ranks.rank() == 1 ? 500ms * slowness : 60s;
      run.options.make_disk = script.engines_of(ranks.rank());
      static_cast<void>(train_toy(ranks, run));
    }));
  }
  for (std::size_t i = 0; i < running.size(); ++i) {
    SCOPED_TRACE(worlds[i]);
    rank_processes& ranks = *running[i];
    for (int rank = 0; rank < worlds[i]; ++rank) {
      EXPECT_EQ(WEXITSTATUS(ranks.wait(rank)), 1);
      if (rank == 1) {
        EXPECT_NE(std::string(ranks[1].text.data()).find("Connection timed out"), std::string::npos)
            << ranks[1].text.data();
        continue;
      }
      EXPECT_EQ(ranks[rank].kind, error_class::peer_lost) << ranks[rank].text.data();
      EXPECT_EQ(ranks[rank].ranks[0], 1) << ranks[rank].text.data();
    }
  }
}

// ---- the slow

// Far above what a busy machine lets a process wait for its turn.
constexpr std::chrono::milliseconds slow_deadline = 1500ms * slowness;
constexpr int rests = 9;  // of a third of it each

struct slow_run {
  int size;
  int slow;
  const char* how;
  std::function<void(communicator&, communicator& own, bool is_slow)> step;
};

// In total several times the deadline, each piece well below it.
std::vector<slow_run> all_slow_runs() {
  const auto rest = [] { std::this_thread::sleep_for(slow_deadline / 3); };
  const std::pair<const char*, std::function<void(communicator&, communicator&, bool)>> ways[] = {
      {"late for every operation",
       [rest](communicator& ranks, communicator&, bool is_slow) {
         for (int i = 0; i < rests; ++i) {
           if (is_slow) rest();
           ranks.barrier({{}, "late", i});
         }
         ranks.barrier().wait();
       }},
      {"long work of its own, saying so",
       [rest](communicator& ranks, communicator&, bool is_slow) {
         for (int i = 0; is_slow && i < rests; ++i) {
           rest();
           ranks.progress();
         }
         ranks.barrier().wait();
       }},
      {"long work of its own, said by another thread",
       [rest](communicator& ranks, communicator&, bool is_slow) {
         std::thread sayer([&] {
           for (int i = 0; is_slow && i < rests; ++i) {
             rest();
             ranks.progress();
           }
         });
         sayer.join();
         ranks.barrier().wait();
       }},
      {"operations of another group",
       [rest](communicator& ranks, communicator& own, bool is_slow) {
         for (int i = 0; is_slow && i < rests; ++i) {
           rest();
           own.barrier({{}, "own", i}).wait();
         }
         ranks.barrier().wait();
       }},
      {"what operations wait for is slow",
       [](communicator& ranks, communicator&, bool is_slow) {
         struct slow_source final : completion_source {
           void wait(std::uint64_t) override { std::this_thread::sleep_for(slow_deadline / 3); }
           [[nodiscard]] bool ready(std::uint64_t) const noexcept override { return false; }
         } source;
         for (int i = 0; i < rests; ++i) {
           ranks.barrier({is_slow ? completion(source, 0) : completion(), "after", i});
         }
         ranks.barrier().wait();
       }},
  };
  std::vector<slow_run> all;
  for (const auto& [how, step] : ways) {
    for (const int size : {2, 4}) {
      all.push_back({size, 0, how, step});
      all.push_back({size, size - 1, how, step});
    }
  }
  return all;
}

TEST(watch, the_slow_are_not_accused) {
  const std::vector<slow_run> all = all_slow_runs();
  std::vector<std::pair<const slow_run*, std::unique_ptr<rank_processes>>> running;
  for (std::size_t i = 0; i < all.size(); i += every) {
    const slow_run& r = all[i];
    running.emplace_back(&r, std::make_unique<rank_processes>(r.size, [&r](communicator& ranks) {
      ranks.set_deadline(slow_deadline);
      const auto own = ranks.split(ranks.rank(), 0);
      r.step(ranks, *own, ranks.rank() == r.slow);
    }));
  }
  std::size_t well = 0;
  for (auto& [r, ranks] : running) {
    SCOPED_TRACE(std::string(r->how) + ", rank " + std::to_string(r->slow) + " of " +
                 std::to_string(r->size));
    bool is_well = true;
    for (int rank = 0; rank < r->size; ++rank) {
      EXPECT_EQ(ranks->wait(rank), 0) << (*ranks)[rank].text.data();
      is_well = is_well && (*ranks)[rank].returned;
    }
    well += is_well ? 1U : 0U;
  }
  std::printf("%zu slow runs of %.1f times the deadline: %zu went well\n", running.size(),
              rests / 3.0, well);
  EXPECT_EQ(well, running.size());
  EXPECT_GE(running.size() * every, 20U);
}

// ---- leaving

// A process that left its communicator may end whenever it likes.
TEST(watch, who_left_may_end) {
  rank_processes ranks(3, [](communicator& c) {
    c.set_deadline(10s);
    c.barrier().wait();
    if (c.rank() == 2) return;
    std::this_thread::sleep_for(700ms);  // much longer than the watch takes
    const completion done = c.split(0, 0)->barrier();
    done.wait();
  });
  // Nobody may split a group that a rank has left: what they are told is that, and not a death.
  EXPECT_EQ(ranks.wait(2), 0);
  for (const int rank : {0, 1}) {
    EXPECT_EQ(WEXITSTATUS(ranks.wait(rank)), 1);
    EXPECT_NE(std::string(ranks[rank].text.data()).find("rank 2 left before"), std::string::npos)
        << ranks[rank].text.data();
  }
}

}  // namespace
}  // namespace zero::testing
