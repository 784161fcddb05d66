// The contract, second part: order, completions, groups, counts, refusals, errors, memory, traces.
#include "contract/communicator_contract.hpp"

#include <zero/base/trace.hpp>

#include <algorithm>
#include <memory>

namespace zero::testing {
namespace {

// Each operation reads what the one before wrote, on its own and on other ranks, without a wait
// between. Every ten rounds all is read and set to 1 again.
void check_order(communicator& ranks, std::size_t count, int rounds) {
  const auto size = static_cast<std::size_t>(ranks.size());
  elements full(ranks, place::shared, count * size, dtype::fp32);
  const elements shard(ranks, place::shared, count, dtype::fp32);
  full.fill([&](std::size_t) { return ranks.rank() == 0 ? 1.0f : 0.0f; });
  for (int round = 0; round < rounds; ++round) {
    ranks.broadcast(full.span(), round % ranks.size());
    ranks.reduce_scatter(full.span(), shard.span());  // every element times size
    const completion last = ranks.all_gather(shard.span(), full.span());
    if (round % 10 != 9) continue;
    last.wait();
    full.get();
    const float expected = std::pow(static_cast<float>(size), 10.0f);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < count * size; ++i) {
      wrong += std::fabs(full[i] / expected - 1.0f) > 1e-5f;
    }
    EXPECT_EQ(wrong, 0u);
    full.fill([](std::size_t) { return 1.0f; });
  }
}

}  // namespace

TEST_P(communicator_contract, operations_run_in_the_order_queued) {
  each_world([](communicator& ranks) {
    check_order(ranks, 257, 150);    // more of them than any queue holds at once
    check_order(ranks, 100003, 10);  // long enough for ranks to get out of step
  });
}

TEST_P(communicator_contract, a_completion_of_later_work_means_earlier_work_is_done) {
  each_world([](communicator& ranks) {
    const elements data(ranks, place::shared, 100003, dtype::fp32);
    const completion first = ranks.all_reduce(data.span());
    const completion second = ranks.barrier();
    second.wait();
    EXPECT_TRUE(first.ready());
    EXPECT_TRUE(second.ready());
    first.wait();
    second.wait();
  });
}

TEST_P(communicator_contract, waits_for_the_work_before) {
  // An operation that waits for another of this communicator, and things queued after it.
  each_world([](communicator& ranks) {
    elements data(ranks, place::shared, 1009, dtype::fp32);
    for (int round = 0; round < 5; ++round) {
      data.fill([](std::size_t) { return 1.0f; });
      ranks.barrier().wait();
      const completion first = ranks.all_reduce(data.span());
      const completion second = ranks.broadcast(data.span(), 0, {first, "after", 1});
      ranks.all_reduce(data.span(), {{}, "plain", 2});
      ranks.barrier({second, "barrier", 3}).wait();
      const auto n = static_cast<float>(ranks.size());
      ASSERT_EQ(data.wrong([&](std::size_t) { return n * n; }), 0u);
      ranks.barrier().wait();
    }
  });
}

TEST_P(communicator_contract, split_by_color_in_the_order_of_keys) {
  each_world([](communicator& ranks) {
    for (int round = 0; round < 3; ++round) {
      // Odd and even ranks, in reverse order.
      const auto half = ranks.split(ranks.rank() % 2, -ranks.rank());
      const int expected_size = (ranks.size() + 1 - ranks.rank() % 2) / 2;
      ASSERT_EQ(half->size(), expected_size);
      ASSERT_EQ(half->rank(), expected_size - 1 - ranks.rank() / 2);
      ASSERT_EQ(half->size() > 0, true);
      const auto size = static_cast<std::size_t>(half->size());
      elements full(*half, place::shared, size, dtype::fp32);
      elements own(*half, place::shared, 1, dtype::fp32);
      own.fill([&](std::size_t) { return static_cast<float>(ranks.rank()); });
      half->all_gather(own.span(), full.span()).wait();
      EXPECT_EQ(full.wrong([&](std::size_t i) {
        return static_cast<float>(2 * (expected_size - 1 - static_cast<int>(i)) + ranks.rank() % 2);
      }),
                0u);
      // A group of the group, and the world beside it.
      const auto alone = half->split(half->rank(), 0);
      EXPECT_EQ(alone->size(), 1);
      alone->all_reduce(own.span()).wait();
      own.get();
      EXPECT_EQ(own[0], static_cast<float>(ranks.rank()));
      const completion wide = ranks.all_reduce(own.span());
      half->barrier().wait();
      wide.wait();
      const int n = ranks.size();
      own.get();
      EXPECT_EQ(own[0], static_cast<float>(n * (n - 1) / 2));
    }
  });
}

// The bits of a sum by rank of the world, whatever order the ranks have in their group.
void check_sums_of_group(communicator& ranks, int color, int key) {
  const auto group = ranks.split(color, key);
  const auto size = static_cast<std::size_t>(group->size());
  const std::size_t count = 257;
  // Who is in it, by rank of the group.
  elements own(*group, place::shared, 2, dtype::fp32);
  elements all(*group, place::shared, 2 * size, dtype::fp32);
  own.fill([&](std::size_t i) { return static_cast<float>(i == 0 ? ranks.rank() : key); });
  group->all_gather(own.span(), all.span()).wait();
  all.get();
  std::vector<int> members;
  for (std::size_t i = 0; i < size; ++i) {
    members.push_back(static_cast<int>(all[2 * i]));
    if (i == 0) continue;
    ASSERT_LE(all[2 * i - 1], all[2 * i + 1]) << "not in the order of keys";
  }
  std::sort(members.begin(), members.end());
  // Of 2^24, 1 and -2^24, and far smaller things, every order has a sum of its own.
  const auto term = [](int rank, std::size_t i) {
    constexpr float large = 16777216.0f;
    const float terms[] = {large, 1.0f, -large, 0.5f, 3.0f, -1.0f, 1.0f / 3};
    return terms[(static_cast<std::size_t>(rank) + i) % 7] * (1.0f + static_cast<float>(i % 5));
  };
  const auto total = [&](std::size_t i) {
    float sum = term(members[0], i);
    for (std::size_t m = 1; m < members.size(); ++m) sum += term(members[m], i);
    return sum;
  };
  for (const place where : {place::shared, place::foreign}) {
    elements full(*group, where, count * size, dtype::fp32);
    elements shard(*group, where, count, dtype::fp32);
    const auto first = static_cast<std::size_t>(group->rank()) * count;
    full.fill([&](std::size_t i) { return term(ranks.rank(), i); });
    group->reduce_scatter(full.span(), shard.span()).wait();
    EXPECT_EQ(shard.wrong([&](std::size_t i) { return total(first + i); }), 0u);
    group->all_reduce(full.span()).wait();
    EXPECT_EQ(full.wrong(total), 0u);
  }
}

TEST_P(communicator_contract, groups_sum_in_the_order_of_the_world) {
  each_world([](communicator& ranks) {
    const int n = ranks.size();
    check_sums_of_group(ranks, 0, -ranks.rank());                 // all, in reverse
    check_sums_of_group(ranks, 0, (ranks.rank() * 5 + 3) % 7);    // all, in disorder
    check_sums_of_group(ranks, ranks.rank() % 2, -ranks.rank());  // halves, in reverse
    check_sums_of_group(ranks, 2 * ranks.rank() / n, 0);          // neighbours
    check_sums_of_group(ranks, -ranks.rank(), 3);                 // each alone
  });
}

TEST_P(communicator_contract, counts_traffic_as_nccl_tests_does) {
  each_world([](communicator& ranks) {
    const auto size = static_cast<std::size_t>(ranks.size());
    const elements full(ranks, place::shared, 10 * size, dtype::bf16);
    const elements other(ranks, place::shared, 10 * size, dtype::bf16);
    const elements shard(ranks, place::shared, 10, dtype::bf16);
    ranks.all_to_all(full.span(), other.span()).wait();
    ranks.all_gather(shard.span(), full.span()).wait();
    ranks.reduce_scatter(full.span(), shard.span()).wait();
    ranks.all_reduce(full.span()).wait();
    ranks.broadcast(shard.span(), 0).wait();
    ranks.barrier().wait();
    const auto& bytes = ranks.traffic();
    EXPECT_EQ(bytes.all_gather, 20 * size);
    EXPECT_EQ(bytes.reduce_scatter, 20 * size);
    EXPECT_EQ(bytes.all_reduce, 20 * size);
    EXPECT_EQ(bytes.broadcast, 20u);
    EXPECT_EQ(bytes.all_to_all, 20 * size);
    EXPECT_EQ(bytes.calls, 6u);
    EXPECT_EQ(bytes.staged, 0u);
    int hosts = 1;
    for (int r = 0; r < ranks.size(); ++r) {
      const int host = GetParam().host_of(r, ranks.size());
      EXPECT_EQ(ranks.host_of(r), host);
      hosts = std::max(hosts, host + 1);
    }
    EXPECT_EQ(bytes.crossed > 0, hosts > 1);
  });
}

TEST_P(communicator_contract, wrong_arguments_are_refused_and_change_nothing) {
  each_world([](communicator& ranks) {
    const auto size = static_cast<std::size_t>(ranks.size());
    const elements full(ranks, place::shared, 10 * size, dtype::fp32);
    const typed_span f = full.span();
    const elements other(ranks, place::shared, 11, dtype::fp32);
    const typed_span s = other.span().part(0, 10);
    const elements bytes(ranks, place::shared, 40 * size, dtype::byte);
    const elements half(ranks, place::shared, 10, dtype::bf16);
    const auto refused = [](const char* what, const auto& body) {
      EXPECT_THROW(body(), invalid_argument) << what;
    };
    refused("count", [&] { ranks.all_gather(other.span(), f); });
    refused("dtype", [&] { ranks.all_gather(half.span(), f); });
    refused("null", [&] { ranks.all_gather({nullptr, 10, dtype::fp32}, f); });
    refused("sum of bytes", [&] { ranks.all_reduce(bytes.span()); });
    refused("sum of bytes", [&] { ranks.reduce_scatter(bytes.span(), bytes.span().part(0, 40)); });
    refused("narrower", [&] { ranks.reduce_scatter(f, half.span()); });
    refused("count", [&] { ranks.reduce_scatter(f, other.span()); });
    refused("null", [&] { ranks.reduce_scatter(f, {nullptr, 10, dtype::fp32}); });
    refused("root", [&] { ranks.broadcast(s, ranks.size()); });
    refused("root", [&] { ranks.broadcast(s, -1); });
    refused("unaligned", [&] {
      ranks.all_reduce({static_cast<char*>(bytes.span().data) + 1, 3, dtype::fp32});
    });
    const elements twin(ranks, place::shared, 10 * size, dtype::fp32);
    const typed_span t = twin.span();
    refused("in place", [&] { ranks.all_to_all(f, f); });
    refused("overlap",
            [&] { ranks.all_to_all(f.part(0, 5 * size), f.part(5 * size - 1, 5 * size)); });
    refused("counts", [&] { ranks.all_to_all(f, t.part(0, 9 * size)); });
    refused("dtype", [&] { ranks.all_to_all(f, {t.data, t.count, dtype::bf16}); });
    refused("null", [&] { ranks.all_to_all({nullptr, 10 * size, dtype::fp32}, t); });
    refused("null", [&] { ranks.all_to_all(f, {nullptr, 10 * size, dtype::fp32}); });
    if (size > 1) {
      refused("pieces", [&] { ranks.all_to_all(f.part(0, size + 1), t.part(0, size + 1)); });
    }
    if (size > 1) {
      const std::size_t next = (static_cast<std::size_t>(ranks.rank()) + 1) % size;
      refused("another's piece", [&] { ranks.all_gather(f.part(next * 10, 10), f); });
      refused("overlap", [&] { ranks.reduce_scatter(f, f.part(next * 10 + 1 - next, 10)); });
    }
    EXPECT_EQ(ranks.traffic().calls, 0u);
    ranks.barrier().wait();  // still good
  });
}

TEST_P(communicator_contract, abort_reaches_every_rank_with_its_reason) {
  each_world([](communicator& ranks) {
    const int last = ranks.size() - 1;
    if (ranks.rank() == last) ranks.abort("the reason");
    for (int again = 0; again < 2; ++again) {
      try {
        ranks.barrier().wait();
        ADD_FAILURE() << "no error";
      } catch (const peer_lost& lost) {
        EXPECT_EQ(lost.ranks, std::vector<int>{last});
        EXPECT_NE(std::string(lost.what()).find("the reason"), std::string::npos) << lost.what();
      }
    }
    EXPECT_THROW(static_cast<void>(ranks.split(0, 0)), peer_lost);
  });
}

TEST_P(communicator_contract, memory_is_zero_aligned_and_returned) {
  each_world([](communicator& ranks) {
    memory_resource& memory = ranks.memory();
    void* const empty = memory.allocate(0);
    EXPECT_NE(empty, nullptr);
    for (int round = 0; round < 3; ++round) {
      const std::size_t bytes = 3 * page_size() + 17;
      void* const block = memory.allocate(bytes);
      EXPECT_NE(block, empty);
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % page_size(), 0u);
      std::vector<std::uint8_t> found(bytes, 1);
      GetParam().copy(found.data(), block, bytes);
      EXPECT_EQ(std::count(found.begin(), found.end(), 0), static_cast<std::ptrdiff_t>(bytes));
      std::fill(found.begin(), found.end(), std::uint8_t{0xff});
      GetParam().copy(block, found.data(), bytes);
      memory.deallocate(block, bytes);
    }
    memory.deallocate(empty, 0);
    EXPECT_THROW(static_cast<void>(memory.allocate(std::size_t{1} << 60)), out_of_memory);
  });
}

TEST_P(communicator_contract, trace_names_what_ran) {
  each_world([](communicator& ranks) {
    trace_recorder recorder(16);
    ranks.set_trace(&recorder);
    const elements data(ranks, place::shared, 100, dtype::fp32);
    ranks.all_reduce(data.span(), {{}, "reduce", 7}).wait();
    ranks.barrier().wait();
    ranks.set_trace(nullptr);
    ranks.barrier().wait();
    const auto events = recorder.events();
    ASSERT_EQ(events.size(), 2u);
    EXPECT_STREQ(events[0].name, "reduce");
    EXPECT_EQ(events[0].unit, 7);
    EXPECT_EQ(events[0].where, lane::communication);
    EXPECT_LE(events[0].begin, events[0].end);
    EXPECT_LE(events[0].end, events[1].begin + 1);
    EXPECT_STREQ(events[1].name, "barrier");
  });
}

}  // namespace zero::testing
