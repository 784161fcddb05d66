// The contract, third part: what ranks are about to do is compared, and what they did is recorded.
#include "contract/communicator_contract.hpp"

namespace zero::testing {
namespace {

// What the last rank does where all others all_gather.
struct deviation {
  const char* word;
  void (*queue)(communicator& ranks, typed_span full, typed_span shard);
};
constexpr deviation deviations[] = {
    {"all_gather 'usual' of 11 fp32 (tag 5, step 2)",
     [](communicator& ranks, typed_span full, typed_span shard) {
       const auto n = static_cast<std::size_t>(ranks.size());
       ranks.all_gather(shard.part(0, 11), full.part(0, 11 * n), {{}, "usual", 5, 2});
     }},
    {"all_gather 'usual' of 12 bf16 (tag 5, step 2)",
     [](communicator& ranks, typed_span full, typed_span shard) {
       full.type = shard.type = dtype::bf16;
       ranks.all_gather(shard, full, {{}, "usual", 5, 2});
     }},
    {"(tag 6, step 2)",
     [](communicator& ranks, typed_span full, typed_span shard) {
       ranks.all_gather(shard, full, {{}, "usual", 6, 2});
     }},
    {"(tag 5, step 3)",
     [](communicator& ranks, typed_span full, typed_span shard) {
       ranks.all_gather(shard, full, {{}, "usual", 5, 3});
     }},
    {"reduce_scatter 'usual' of 12 fp32 (tag 5, step 2)",
     [](communicator& ranks, typed_span full, typed_span shard) {
       ranks.reduce_scatter(full, shard, write_mode::overwrite, {{}, "usual", 5, 2});
     }},
    {"accumulating",
     [](communicator& ranks, typed_span full, typed_span shard) {
       ranks.reduce_scatter(full, shard, write_mode::accumulate, {{}, "usual", 5, 2});
     }},
    {"broadcast 'usual' of 12 fp32 from rank 1",
     [](communicator& ranks, typed_span, typed_span shard) {
       ranks.broadcast(shard, 1, {{}, "usual", 5, 2});
     }},
    {"barrier", [](communicator& ranks, typed_span, typed_span) { ranks.barrier(); }},
};

void check_deviation(communicator& ranks, const deviation& what) {
  const auto n = static_cast<std::size_t>(ranks.size());
  elements full(ranks, place::shared, 12 * n, dtype::fp32);
  elements shard(ranks, place::shared, 12, dtype::fp32);
  full.fill([](std::size_t) { return 3.0F; });
  shard.fill([](std::size_t) { return 42.0F; });
  ranks.barrier().wait();
  const int odd = ranks.size() - 1;
  try {
    if (ranks.rank() == odd) {
      what.queue(ranks, full.span(), shard.span());
    } else {
      ranks.all_gather(shard.span(), full.span(), {{}, "usual", 5, 2});
    }
    ranks.barrier().wait();
    ADD_FAILURE() << "no error";
  } catch (const desync& apart) {
    EXPECT_EQ(apart.ranks, std::vector<int>{odd}) << apart.what();
    const std::string text = apart.what();
    EXPECT_NE(text.find(what.word), std::string::npos) << text;
    EXPECT_NE(text.find("all_gather 'usual' of 12 fp32 (tag 5, step 2)"), std::string::npos)
        << text;
  }
  // Nothing was moved, and nothing will be.
  EXPECT_EQ(full.wrong([](std::size_t) { return 3.0F; }), 0U);
  EXPECT_EQ(shard.wrong([](std::size_t) { return 42.0F; }), 0U);
  EXPECT_THROW(ranks.barrier(), desync);
}

}  // namespace

TEST_P(communicator_contract, what_ranks_are_about_to_do_is_compared_before_a_byte_is_used) {
  std::size_t number = 0;
  for (const deviation& what : deviations) {
    // Leaving a world that failed takes MPI a second: there each layout takes its turn of them.
    if (GetParam().turns > 1 && (number++ + GetParam().name.size()) % GetParam().turns != 0)
      continue;
    SCOPED_TRACE(what.word);
    each_world([&](communicator& ranks) {
      if (ranks.size() > 1) check_deviation(ranks, what);
    });
  }
}

TEST_P(communicator_contract, what_was_done_last_is_recorded) {
  each_world([](communicator& ranks) {
    const elements data(ranks, place::shared, 100, dtype::bf16);
    ranks.all_reduce(data.span(), {{}, "sum \"of\" all", 7, 3}).wait();
    const auto group = ranks.split(ranks.rank() % 2, 0);
    group->broadcast(data.span(), 0).wait();
    ranks.barrier().wait();
    const std::string text = ranks.operations();
    EXPECT_EQ(text, group->operations().substr(0, text.find("\"clock\"")) +
                        text.substr(text.find("\"clock\"")));
    const std::string own = std::to_string(ranks.rank());
    const std::string pair = "world/0:" + std::to_string(ranks.rank() % 2);
    std::size_t at = 0;
    for (const std::string& part :
         {std::string("\"zero.operations/1\", \"rank\": " + own), "\"name\": \"" + pair + "\"",
          std::string(
              "{\"group\": \"world\", \"sequence\": 0, \"operation\": \"all_reduce\", \"name\": "
              "\"sum \\\"of\\\" all\", \"in\": \"bf16\", \"out\": \"bf16\", \"count\": 100, "
              "\"mode\": "
              "\"overwrite\", \"root\": -1, \"tag\": 7, \"step\": 3, \"queued\": "),
          std::string("\"sequence\": 1, \"operation\": \"split\""),
          "{\"group\": \"" + pair + "\", \"sequence\": 0, \"operation\": \"broadcast\"",
          std::string("\"sequence\": 2, \"operation\": \"barrier\"")}) {
      at = text.find(part, at);
      ASSERT_NE(at, std::string::npos) << part << " is not in\n" << text;
    }
    EXPECT_EQ(text.find("\"ended\": 0}"), std::string::npos) << text;
    EXPECT_EQ(text.find("\"begun\": 0,"), std::string::npos) << text;
  });
}

}  // namespace zero::testing
