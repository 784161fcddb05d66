// The contract, second part: order, completions, groups, counts, refusals, errors, memory, traces.
#include "contract/communicator_contract.hpp"

#include <zero/base/trace.hpp>

#include <memory>

namespace zero::testing {
namespace {

// Each operation reads what the one before wrote, on its own and on other ranks, without a wait
// between. Every ten rounds all is read and set to 1 again.
void check_order(communicator& ranks, std::size_t count, int rounds) {
  const auto size = static_cast<std::size_t>(ranks.size());
  const elements full(ranks, place::shared, count * size, dtype::fp32);
  const elements shard(ranks, place::shared, count, dtype::fp32);
  auto* const values = static_cast<float*>(full.data());
  for (std::size_t i = 0; i < count * size; ++i) values[i] = ranks.rank() == 0 ? 1.0f : 0.0f;
  for (int round = 0; round < rounds; ++round) {
    ranks.broadcast(full.span(), round % ranks.size());
    ranks.reduce_scatter(full.span(), shard.span());  // every element times size
    const completion last = ranks.all_gather(shard.span(), full.span());
    if (round % 10 != 9) continue;
    last.wait();
    const float expected = std::pow(static_cast<float>(size), 10.0f);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < count * size; ++i) {
      wrong += std::fabs(values[i] / expected - 1.0f) > 1e-5f;
      values[i] = 1;
    }
    EXPECT_EQ(wrong, 0u);
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
    const elements data(ranks, place::shared, 1009, dtype::fp32);
    for (std::size_t i = 0; i < 1009; ++i) write(data.data(), dtype::fp32, i, 1);
    for (int round = 0; round < 5; ++round) {
      const completion first = ranks.all_reduce(data.span());
      const completion second = ranks.broadcast(data.span(), 0, {first, "after", 1});
      ranks.all_reduce(data.span(), {{}, "plain", 2});
      ranks.barrier({second, "barrier", 3}).wait();
      const auto n = static_cast<float>(ranks.size());
      for (std::size_t i = 0; i < 1009; ++i) {
        ASSERT_EQ(read(data.data(), dtype::fp32, i), n * n);
        write(data.data(), dtype::fp32, i, 1);
      }
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
      const elements full(*half, place::shared, size, dtype::fp32);
      const elements own(*half, place::shared, 1, dtype::fp32);
      write(own.data(), dtype::fp32, 0, static_cast<float>(ranks.rank()));
      half->all_gather(own.span(), full.span()).wait();
      for (std::size_t i = 0; i < size; ++i) {
        const int world_rank = 2 * (expected_size - 1 - static_cast<int>(i)) + ranks.rank() % 2;
        EXPECT_EQ(read(full.data(), dtype::fp32, i), static_cast<float>(world_rank));
      }
      // A group of the group, and the world beside it.
      const auto alone = half->split(half->rank(), 0);
      EXPECT_EQ(alone->size(), 1);
      alone->all_reduce(own.span()).wait();
      EXPECT_EQ(read(own.data(), dtype::fp32, 0), static_cast<float>(ranks.rank()));
      const completion wide = ranks.all_reduce(own.span());
      half->barrier().wait();
      wide.wait();
      const int n = ranks.size();
      EXPECT_EQ(read(own.data(), dtype::fp32, 0), static_cast<float>(n * (n - 1) / 2));
    }
  });
}

TEST_P(communicator_contract, counts_traffic_as_nccl_tests_does) {
  each_world([](communicator& ranks) {
    const auto size = static_cast<std::size_t>(ranks.size());
    const elements full(ranks, place::shared, 10 * size, dtype::bf16);
    const elements shard(ranks, place::shared, 10, dtype::bf16);
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
    EXPECT_EQ(bytes.calls, 5u);
    EXPECT_EQ(bytes.staged, 0u);
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
      ranks.all_reduce({static_cast<char*>(bytes.data()) + 1, 3, dtype::fp32});
    });
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
      auto* const block = static_cast<std::uint8_t*>(memory.allocate(bytes));
      EXPECT_NE(static_cast<void*>(block), empty);
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % page_size(), 0u);
      std::size_t set = 0;
      for (std::size_t i = 0; i < bytes; ++i) set += block[i] != 0;
      EXPECT_EQ(set, 0u);
      std::memset(block, 0xff, bytes);
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
