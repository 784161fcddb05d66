// A world of several hosts: the bytes that cross are those of the formula, sums have the bits of
// one level in pieces long enough for many rounds, and what goes wrong on one host is told on all.
#include "contract/communicator_contract.hpp"
#include "support/mpi_main.hpp"

#include <zero/collectives/crossing.hpp>

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace zero::testing {
namespace {

using namespace std::chrono_literals;
using collectives::moved_elements;
using collectives::moving;
using collectives::ranks_on_hosts;
using collectives::sum_way;

// Every rank on a host of its own, all but one on one, one after the other in turn, in halves.
std::vector<std::vector<int>> layouts() {
  const int n = mpi_size();
  std::vector<std::vector<int>> all(5);
  for (int r = 0; r < n; ++r) {
    all[0].push_back(r);
    all[1].push_back(r == 0 ? 0 : 1);
    all[2].push_back(r % 2);
    all[3].push_back(2 * r / n);
    all[4].push_back(r == n - 1 ? 1 : 0);
  }
  return all;
}

std::string text_of(const std::vector<int>& hosts) {
  std::string text = "hosts";
  for (const int h : hosts) text += " " + std::to_string(h);
  return text;
}

// ---- what crosses -----------------------------------------------------------------------------

struct counted {
  communicator& ranks;
  ranks_on_hosts where;
  std::vector<std::uint8_t> bytes;  // enough for what is moved

  void expect(const moved_elements& what, const std::function<completion()>& queue) {
    const std::uint64_t before = ranks.traffic().crossed;
    queue().wait();
    const std::uint64_t mine = ranks.traffic().crossed - before;
    EXPECT_EQ(mine, bytes_crossing_from(where, what, ranks.rank()));
    unsigned long long own = mine, all = 0;
    MPI_Allreduce(&own, &all, 1, MPI_UNSIGNED_LONG_LONG, MPI_SUM, MPI_COMM_WORLD);
    EXPECT_EQ(all, bytes_crossing(where, what));
  }
};

void expect_crossings(counted& c, std::uint64_t count, dtype in, dtype out, write_mode mode) {
  SCOPED_TRACE(describe(in, count, static_cast<int>(mode)) + " into " + name_of(out));
  communicator& ranks = c.ranks;
  const auto n = static_cast<std::uint64_t>(ranks.size());
  void* const at = c.bytes.data();
  const typed_span full{at, count * n, in};
  const typed_span piece{at, count, in};
  const typed_span apart{c.bytes.data() + c.bytes.size() / 2, count * n, in};
  const typed_span sum{apart.data, count, out};
  c.expect({moving::reduce_scatter, count, in, out, mode},
           [&] { return ranks.reduce_scatter(full, sum, mode); });
  c.expect({moving::all_gather, count, in, in}, [&] { return ranks.all_gather(piece, apart); });
  c.expect({moving::all_to_all, count, in, in}, [&] { return ranks.all_to_all(full, apart); });
  c.expect({moving::all_reduce, count, in, in}, [&] { return ranks.all_reduce(piece); });
  for (int root = 0; root < ranks.size(); ++root) {
    c.expect({moving::broadcast, count, in, in, write_mode::overwrite, root},
             [&] { return ranks.broadcast(piece, root); });
  }
}

TEST(crossed, is_what_the_formula_says) {
  for (const std::vector<int>& hosts : layouts()) {
    SCOPED_TRACE(text_of(hosts));
    const auto ranks = mpi_world(hosts);
    counted c{*ranks, {hosts, {}}, std::vector<std::uint8_t>(8 << 20)};
    for (const std::uint64_t count : {0, 1, 5, 1009, 100003}) {
      for (const dtype in : {dtype::fp32, dtype::bf16}) {
        for (const dtype out : {in, dtype::fp32}) {
          expect_crossings(c, count, in, out, write_mode::overwrite);
          expect_crossings(c, count, in, out, write_mode::accumulate);
        }
      }
    }
  }
}

TEST(crossed, of_a_group_in_another_order_is_what_the_formula_says) {
  const auto ranks = mpi_world(layouts()[3]);
  const auto group = ranks->split(0, -ranks->rank());
  ranks_on_hosts where;
  for (int r = 0; r < group->size(); ++r) {
    where.host.push_back(group->host_of(r));
    where.order.insert(where.order.begin(), r);
  }
  counted c{*group, where, std::vector<std::uint8_t>(8 << 20)};
  expect_crossings(c, 1009, dtype::fp32, dtype::fp32, write_mode::overwrite);
  expect_crossings(c, 1009, dtype::bf16, dtype::bf16, write_mode::accumulate);
}

// ---- sums -------------------------------------------------------------------------------------

// What every rank of the world would have drawn, added up in plain loops. Drawn once for all the
// cases of one dtype.
const std::vector<float>& plain_sum(std::size_t count, dtype type) {
  static std::map<dtype, std::vector<float>> sums;
  std::vector<float>& total = sums[type];
  if (total.size() == count) return total;
  total.assign(count, 0);
  std::vector<std::uint32_t> drawn(count);
  for (int r = 0; r < mpi_size(); ++r) {
    randomize({drawn.data(), count, type}, 500 + static_cast<std::uint64_t>(r));
    for (std::size_t i = 0; i < count; ++i) {
      const float value = read(drawn.data(), type, i);
      total[i] = r == 0 ? value : total[i] + value;
    }
  }
  return total;
}

void expect_sum(communicator& group, int world_rank, place where, dtype type, dtype out,
                write_mode mode) {
  const std::size_t count = 170'011;  // several rounds by either way
  const auto n = static_cast<std::size_t>(group.size());
  const auto me = static_cast<std::size_t>(group.rank());
  std::vector<std::uint32_t> heap(where == place::foreign ? count * n : 0);
  void* const memory =
      where == place::foreign ? heap.data() : group.memory().allocate(4 * count * n);
  const typed_span full{memory, count * n, type};
  randomize(full, 500 + static_cast<std::uint64_t>(world_rank));
  std::vector<std::uint32_t> kept(count), expected(count);
  const typed_span shard{kept.data(), count, out};
  randomize(shard, 900 + static_cast<std::uint64_t>(world_rank));
  const std::vector<float>& sums = plain_sum(count * n, type);
  const float* const total = sums.data() + me * count;
  for (std::size_t i = 0; i < count; ++i) {
    const float before = read(kept.data(), out, i);
    write(expected.data(), out, i, mode == write_mode::accumulate ? before + total[i] : total[i]);
  }
  group.reduce_scatter(full, shard, mode).wait();
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < count; ++i)
    wrong += !same_value(kept.data(), expected.data(), out, i);
  EXPECT_EQ(wrong, 0u);
  if (where == place::shared) group.memory().deallocate(memory, 4 * count * n);
}

TEST(sums, of_long_pieces_have_the_bits_of_one_level) {
  for (const std::vector<int>& hosts : layouts()) {
    SCOPED_TRACE(text_of(hosts));
    const auto ranks = mpi_world(hosts);
    const auto reversed = ranks->split(0, -ranks->rank());
    for (const place where : {place::shared, place::foreign}) {
      for (const write_mode mode : {write_mode::overwrite, write_mode::accumulate}) {
        expect_sum(*ranks, ranks->rank(), where, dtype::fp32, dtype::fp32, mode);
        expect_sum(*reversed, ranks->rank(), where, dtype::fp32, dtype::fp32, mode);
        expect_sum(*ranks, ranks->rank(), where, dtype::bf16, dtype::bf16, mode);
        expect_sum(*ranks, ranks->rank(), where, dtype::fp16, dtype::fp32, mode);
      }
    }
  }
}

TEST(sums, go_by_the_way_that_crosses_less) {
  // What the test above has gone through, so that neither way is left out.
  if (mpi_size() < 4) GTEST_SKIP() << "fewer than four ranks have only one way";
  int chains = 0, directs = 0;
  for (const std::vector<int>& hosts : layouts()) {
    for (const dtype type : {dtype::fp32, dtype::bf16}) {
      const moved_elements what{moving::reduce_scatter, 1000, type, type};
      ++(way_of_sums({hosts, {}}, what) == sum_way::chain ? chains : directs);
    }
  }
  EXPECT_GT(chains, 0);
  EXPECT_GT(directs, 0);
}

// ---- what goes wrong --------------------------------------------------------------------------

// Every rank runs the body and gets this error, with these culprits and in the same words.
template <typename Error>
void expect_told(const std::vector<int>& hosts, const std::vector<int>& culprits,
                 const std::string& word, const std::function<void(communicator&)>& body) {
  SCOPED_TRACE(text_of(hosts));
  const auto ranks = mpi_world(hosts);
  std::string text;
  try {
    body(*ranks);
    ADD_FAILURE() << "no error";
  } catch (const Error& found) {
    EXPECT_EQ(found.ranks, culprits) << found.what();
    text = found.what();
  } catch (const std::exception& other) {
    ADD_FAILURE() << "another error: " << other.what();
  }
  EXPECT_NE(text.find(word), std::string::npos) << text;
  // Nobody is gone before all were told.
  char first[1024] = {};
  text.copy(first, sizeof first - 1);
  MPI_Bcast(first, sizeof first, MPI_CHAR, 0, MPI_COMM_WORLD);
  EXPECT_EQ(text, first);
}

TEST(apart, the_odd_rank_is_named_everywhere) {
  if (mpi_size() < 3) GTEST_SKIP() << "of two ranks neither is odd";
  for (const std::vector<int>& hosts : layouts()) {
    for (int odd = 0; odd < mpi_size(); ++odd) {
      const std::string word = "rank " + std::to_string(odd) + " about to all_reduce of 11 fp32";
      expect_told<desync>(hosts, {odd}, word, [odd](communicator& ranks) {
        std::vector<float> values(12, 3);
        const std::size_t count = ranks.rank() == odd ? 11 : 12;
        ranks.barrier().wait();
        try {
          ranks.all_reduce({values.data(), count, dtype::fp32}).wait();
        } catch (const desync&) {
          EXPECT_EQ(values[0], 3);  // nothing was moved
          throw;
        }
      });
    }
  }
}

TEST(apart, parties_of_one_size_are_judged_by_the_lowest_rank) {
  if (mpi_size() != 4) GTEST_SKIP() << "for four ranks";
  for (const std::vector<int>& hosts : layouts()) {
    expect_told<desync>(hosts, {1, 3}, "ranks 1 and 3 about to barrier (tag 1)",
                        [](communicator& ranks) {
                          ranks.barrier({{}, "", ranks.rank() % 2}).wait();
                        });
  }
}

TEST(late, a_rank_is_named_by_all_others) {
  for (const std::vector<int>& hosts : layouts()) {
    SCOPED_TRACE(text_of(hosts));
    const int late = mpi_size() - 1;
    const auto ranks = mpi_world(hosts);
    ranks->set_deadline(300ms);
    ranks->barrier().wait();
    if (ranks->rank() == late) {
      everywhere(true);  // until all others have given it up
      EXPECT_THROW(ranks->barrier().wait(), peer_lost);
      continue;
    }
    const auto begin = std::chrono::steady_clock::now();
    try {
      ranks->barrier({{}, "step", 4}).wait();
      ADD_FAILURE() << "no error";
    } catch (const peer_lost& lost) {
      EXPECT_EQ(lost.ranks, std::vector<int>{late}) << lost.what();
      const std::string text = lost.what();
      // "to begin", or, where the machine is busy, "to answer in".
      EXPECT_NE(text.find("operation 1, barrier 'step' (tag 4)"), std::string::npos) << text;
    }
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
    everywhere(true);
  }
}

TEST(leaving, with_peers_waiting_is_told_at_once) {
  for (const std::vector<int>& hosts : layouts()) {
    SCOPED_TRACE(text_of(hosts));
    auto ranks = mpi_world(hosts);
    const completion done = ranks->barrier();
    if (ranks->rank() == 0) {
      done.wait();
      ranks.reset();
      continue;
    }
    const auto begin = std::chrono::steady_clock::now();
    try {
      ranks->barrier({{}, "after", 0}).wait();
      ADD_FAILURE() << "no error";
    } catch (const peer_lost& lost) {
      EXPECT_EQ(lost.ranks, std::vector<int>{0}) << lost.what();
      const std::string text = lost.what();
      EXPECT_NE(text.find("rank 0 left before operation 1, barrier 'after'"), std::string::npos)
          << text;
    }
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
  }
}

TEST(abort, of_a_group_across_hosts_leaves_the_world_as_it_is) {
  for (const std::vector<int>& hosts : layouts()) {
    SCOPED_TRACE(text_of(hosts));
    const auto ranks = mpi_world(hosts);
    const auto half = ranks->split(ranks->rank() % 2, 0);
    if (ranks->rank() % 2 == 0) {
      if (half->rank() == 0) half->abort("only us");
      EXPECT_THROW(half->barrier().wait(), peer_lost);
    } else {
      half->barrier().wait();
    }
    ranks->barrier().wait();
  }
}

TEST(abort, of_the_world_ends_waits_in_its_groups) {
  for (const std::vector<int>& hosts : layouts()) {
    const int last = mpi_size() - 1;
    expect_told<peer_lost>(hosts, {last}, "the reason", [last](communicator& ranks) {
      const auto group = ranks.split(ranks.rank() == last ? 1 : 0, 0);
      ranks.barrier().wait();
      if (ranks.rank() == last) ranks.abort("the reason");
      while (true) group->barrier().wait();
    });
  }
}

// Stops these ranks, as a debugger would or a machine that hangs, until rank 0 lets them go on, and
// expects all others to be told so.
void expect_silence(const std::vector<int>& hosts, const std::vector<int>& stopped,
                    const std::string& word) {
  SCOPED_TRACE(text_of(hosts));
  collectives::mpi_options options;
  options.bytes_per_rank = 1 << 20;
  options.hosts = hosts;
  options.silence_milliseconds = 2000;
  const auto ranks = make_mpi(options);
  const long own = getpid();
  std::vector<long> processes(hosts.size());
  MPI_Allgather(&own, 1, MPI_LONG, processes.data(), 1, MPI_LONG, MPI_COMM_WORLD);
  const bool stops = std::count(stopped.begin(), stopped.end(), ranks->rank()) > 0;
  if (stops) kill(getpid(), SIGSTOP);
  const auto begin = std::chrono::steady_clock::now();
  try {
    ranks->barrier().wait();
    ADD_FAILURE() << "no error";
  } catch (const peer_lost& found) {
    const std::string text = found.what();
    if (!stops) {
      EXPECT_EQ(found.ranks, stopped) << text;
      EXPECT_NE(text.find(word), std::string::npos) << text;
      EXPECT_LT(std::chrono::steady_clock::now() - begin, 50s);  // not by the deadline of waits
    }
  }
  for (const int r : stopped) {
    if (ranks->rank() == 0) {
      kill(static_cast<pid_t>(processes[static_cast<std::size_t>(r)]), SIGCONT);
    }
  }
  EXPECT_THROW(ranks->barrier().wait(), peer_lost);
  everywhere(true);
}

TEST(silence, of_a_host_names_it_and_its_ranks) {
  const int n = mpi_size();
  std::vector<int> hosts(static_cast<std::size_t>(n), 0);
  std::vector<int> lost;
  for (int r = (n + 1) / 2; r < n; ++r) {
    hosts[static_cast<std::size_t>(r)] = 1;
    lost.push_back(r);
  }
  expect_silence(hosts, lost, "has not been heard of for 2 s");
}

TEST(silence, of_the_first_rank_of_a_host_names_it_alone) {
  if (mpi_size() < 3) GTEST_SKIP() << "for a host of two";
  std::vector<int> hosts(static_cast<std::size_t>(mpi_size()), 1);
  hosts[0] = 0;
  expect_silence(hosts, {1}, "has not watched for 1.5 s");
}

}  // namespace
}  // namespace zero::testing

int main(int argc, char** argv) { return zero::testing::mpi_test_main(argc, argv); }
