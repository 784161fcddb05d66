// What ranks are told when one of them does something else.
#include "support/expect_everywhere.hpp"

#include <zero/base/error.hpp>

#include <string>
#include <vector>

namespace zero::testing {
namespace {

using collectives::communicator;
using collectives::write_mode;

struct difference {
  const char* name;
  std::vector<std::string> words;
  void (*queue)(communicator& ranks, typed_span full, typed_span shard);
};

class desync_test : public ::testing::TestWithParam<difference> {};

// Everyone reduce_scatters; the odd one out does what the parameter says.
TEST_P(desync_test, names_the_odd_rank_everywhere) {
  for (const int size : {3, 4, 7}) {
    for (const int odd : {0, size / 2, size - 1}) {
      SCOPED_TRACE(std::to_string(odd) + " of " + std::to_string(size));
      std::vector<std::string> words = GetParam().words;
      words.push_back("rank " + std::to_string(odd) + " about to ");
      words.push_back("reduce_scatter 'usual' of 12 fp32 (tag 5)");
      expect_everywhere<desync>(size, {odd}, words, [&](communicator& ranks) {
        const auto n = static_cast<std::size_t>(ranks.size());
        const typed_span full = block(ranks, 12 * n);
        const typed_span shard = block(ranks, 12);
        for (std::size_t i = 0; i < 12 * n; ++i) static_cast<float*>(full.data)[i] = 3;
        static_cast<float*>(shard.data)[0] = 42;
        ranks.barrier().wait();
        completion last;
        try {
          if (ranks.rank() == odd) {
            GetParam().queue(ranks, full, shard);
          } else {
            ranks.reduce_scatter(full, shard, write_mode::overwrite, {{}, "usual", 5});
          }
          ranks.barrier().wait();
        } catch (const desync&) {
          EXPECT_EQ(static_cast<float*>(shard.data)[0], 42);  // nothing was moved
          EXPECT_EQ(static_cast<float*>(full.data)[0], 3);
          EXPECT_THROW(ranks.barrier(), desync);  // and again
          throw;
        }
      });
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    differences, desync_test,
    ::testing::Values(
        difference{"operation",
                   {"all_gather 'other' of 12 fp32 (tag 5)"},
                   [](communicator& ranks, typed_span full, typed_span shard) {
                     ranks.all_gather(shard, full, {{}, "other", 5});
                   }},
        difference{"barrier",
                   {"barrier (tag -1)"},
                   [](communicator& ranks, typed_span, typed_span) { ranks.barrier(); }},
        difference{
            "skipped",
            {"broadcast of 12 fp32 from rank 0 (tag -1)"},
            [](communicator& ranks, typed_span, typed_span shard) { ranks.broadcast(shard, 0); }},
        difference{"count",
                   {"reduce_scatter 'other' of 11 fp32 (tag 5)"},
                   [](communicator& ranks, typed_span full, typed_span shard) {
                     const auto n = static_cast<std::size_t>(ranks.size());
                     ranks.reduce_scatter(full.part(0, 11 * n), shard.part(0, 11),
                                          write_mode::overwrite, {{}, "other", 5});
                   }},
        difference{"tag",
                   {"reduce_scatter 'usual' of 12 fp32 (tag 6)"},
                   [](communicator& ranks, typed_span full, typed_span shard) {
                     ranks.reduce_scatter(full, shard, write_mode::overwrite, {{}, "usual", 6});
                   }},
        difference{"dtype",
                   {"reduce_scatter 'usual' of 12 bf16 (tag 5)"},
                   [](communicator& ranks, typed_span full, typed_span shard) {
                     full.type = shard.type = dtype::bf16;
                     ranks.reduce_scatter(full, shard, write_mode::overwrite, {{}, "usual", 5});
                   }},
        difference{"output_dtype",
                   {"reduce_scatter 'usual' of 12 bf16 into fp32 (tag 5)"},
                   [](communicator& ranks, typed_span full, typed_span shard) {
                     full.type = dtype::bf16;
                     ranks.reduce_scatter(full, shard, write_mode::overwrite, {{}, "usual", 5});
                   }},
        difference{"mode",
                   {"accumulating"},
                   [](communicator& ranks, typed_span full, typed_span shard) {
                     ranks.reduce_scatter(full, shard, write_mode::accumulate, {{}, "usual", 5});
                   }},
        difference{"split",
                   {"split"},
                   [](communicator& ranks, typed_span, typed_span) {
                     static_cast<void>(ranks.split(0, 0));
                   }}),
    [](const auto& test) { return test.param.name; });

TEST(desync_roots, differ) {
  expect_everywhere<desync>(3, {1}, {"from rank 1", "from rank 0"}, [](communicator& ranks) {
    ranks.broadcast(block(ranks, 4), ranks.rank() == 1 ? 1 : 0).wait();
  });
}

TEST(desync_parties, of_one_size_are_judged_by_the_lowest_rank) {
  expect_everywhere<desync>(4, {1, 3}, {"ranks 0 and 2 about to", "ranks 1 and 3 about to"},
                            [](communicator& ranks) {
                              ranks.barrier({{}, "", ranks.rank() % 2}).wait();
                            });
}

}  // namespace
}  // namespace zero::testing
