// The contract, first part: every element arrives where it should, from every kind of memory.
#include "contract/communicator_contract.hpp"
#include "support/sampling.hpp"

#include <algorithm>

namespace zero::testing {
namespace {

// Kinds of memory a case is tried with: all, or of a sample one, in turn.
constexpr int variants = 3;
constexpr int each_variant = sampled_each > 1 ? variants : 1;
constexpr int first_variant(int turn) { return turn % each_variant; }

}  // namespace

TEST_P(communicator_contract, all_gather_puts_every_shard_in_its_place) {
  each_world([](communicator& ranks) {
    const auto size = static_cast<std::size_t>(ranks.size());
    for (const dtype type : {dtype::fp32, dtype::bf16, dtype::byte}) {
      for (const std::size_t count : counts) {
        for (int variant = 0; variant < variants; ++variant) {
          SCOPED_TRACE(describe(type, count, variant));
          const place where = place_of(variant, ranks.rank());
          elements shard(ranks, where, count, type);
          elements full(ranks, where, count * size, type);
          shard.fill([&](std::size_t i) { return pattern(ranks.rank(), i); });
          ranks.all_gather(shard.span(), full.span()).wait();
          EXPECT_EQ(full.wrong([&](std::size_t i) {
            return pattern(static_cast<int>(i / count), i % count);
          }),
                    0u);
        }
      }
    }
  });
}

TEST_P(communicator_contract, all_gather_in_place) {
  each_world([](communicator& ranks) {
    const auto size = static_cast<std::size_t>(ranks.size());
    const auto me = static_cast<std::size_t>(ranks.rank());
    for (const std::size_t count : counts) {
      for (int variant = 0; variant < variants; ++variant) {
        SCOPED_TRACE(describe(dtype::fp16, count, variant));
        elements full(ranks, place_of(variant, ranks.rank()), count * size, dtype::fp16);
        full.fill([&](std::size_t i) {  // only the own piece is right
          return i / std::max<std::size_t>(count, 1) == me ? pattern(ranks.rank(), i % count) : 77;
        });
        ranks.all_gather(full.span().part(me * count, count), full.span()).wait();
        EXPECT_EQ(full.wrong([&](std::size_t i) {
          return pattern(static_cast<int>(i / count), i % count);
        }),
                  0u);
      }
    }
  });
}

TEST_P(communicator_contract, all_to_all_gives_every_rank_its_piece_of_everyones) {
  each_world([](communicator& ranks) {
    const auto size = static_cast<std::size_t>(ranks.size());
    const auto me = static_cast<std::size_t>(ranks.rank());
    for (const dtype type : {dtype::fp32, dtype::bf16, dtype::fp16, dtype::byte}) {
      for (const std::size_t count : counts) {
        for (int variant = 0; variant < 4; ++variant) {
          SCOPED_TRACE(describe(type, count, variant));
          // The last: only outputs foreign.
          elements in(ranks, place_of(variant % 3, ranks.rank()), count * size, type);
          elements out(ranks, place_of(variant == 3 ? 1 : variant, ranks.rank()), count * size,
                       type);
          const auto sent = [&](int rank, std::size_t i) { return pattern(rank, i + i / 7); };
          in.fill([&](std::size_t i) { return sent(ranks.rank(), i); });
          out.fill([](std::size_t) { return 77.0f; });
          ranks.all_to_all(in.span(), out.span()).wait();
          EXPECT_EQ(out.wrong([&](std::size_t i) {
            return sent(static_cast<int>(i / count), me * count + i % count);
          }),
                    0u);
          EXPECT_EQ(in.wrong([&](std::size_t i) { return sent(ranks.rank(), i); }), 0u);
        }
      }
    }
  });
}

TEST_P(communicator_contract, all_to_all_twice_gives_back_what_was_sent) {
  each_world([](communicator& ranks) {
    const std::size_t count = 1009 * static_cast<std::size_t>(ranks.size());
    elements first(ranks, place::shared, count, dtype::bf16);
    elements second(ranks, place::shared, count, dtype::bf16);
    first.fill([&](std::size_t i) { return pattern(ranks.rank(), i * i); });
    ranks.all_to_all(first.span(), second.span());
    ranks.broadcast(first.span(), 0);  // what was sent is overwritten in between
    ranks.all_to_all(second.span(), first.span()).wait();
    EXPECT_EQ(first.wrong([&](std::size_t i) { return pattern(ranks.rank(), i * i); }), 0u);
  });
}

TEST_P(communicator_contract, reduce_scatter_sums_whole_numbers_exactly) {
  each_world([](communicator& ranks) {
    const auto size = static_cast<std::size_t>(ranks.size());
    const auto me = static_cast<std::size_t>(ranks.rank());
    const auto check = [&](dtype type, dtype out, std::size_t count, write_mode mode, int variant) {
      SCOPED_TRACE(describe(type, count, variant));
      const place where = place_of(variant, ranks.rank());
      elements full(ranks, where, count * size, type);
      elements shard(ranks, where, count, out);
      full.fill([&](std::size_t i) { return pattern(ranks.rank(), i); });
      shard.fill([](std::size_t) { return 100.0f; });
      ranks.reduce_scatter(full.span(), shard.span(), mode).wait();
      EXPECT_EQ(shard.wrong([&](std::size_t i) {
        float expected = mode == write_mode::accumulate ? 100 : 0;
        for (int r = 0; r < ranks.size(); ++r) expected += pattern(r, me * count + i);
        return expected;
      }),
                0u);
      EXPECT_EQ(full.wrong([&](std::size_t i) { return pattern(ranks.rank(), i); }), 0u);
    };
    int tried = 0;
    for (const dtype type : arithmetic) {
      for (const dtype out : {type, dtype::fp32}) {
        for (const std::size_t count : counts) {
          for (const write_mode mode : {write_mode::overwrite, write_mode::accumulate}) {
            for (int variant = first_variant(tried++); variant < variants;
                 variant += each_variant) {
              check(type, out, count, mode, variant);
            }
          }
        }
      }
    }
  });
}

TEST_P(communicator_contract, reduce_scatter_has_the_bits_of_a_scalar_sum_by_rank) {
  each_world([](communicator& ranks) {
    const auto size = static_cast<std::size_t>(ranks.size());
    const auto me = static_cast<std::size_t>(ranks.rank());
    const std::size_t count = 4099;
    const auto check = [&](dtype type, dtype out, write_mode mode, int variant) {
      SCOPED_TRACE(describe(type, count, variant));
      elements full(ranks, place_of(variant, 0), count * size, type);
      elements shard(ranks, place_of(variant, 0), count, out);
      randomize(full.copy(), 1000 + me);
      full.put();
      randomize(shard.copy(), 2000 + me);
      shard.put();
      std::vector<std::uint32_t> expected(count);
      std::memcpy(expected.data(), shard.copy().data, shard.span().bytes());
      std::vector<std::uint32_t> other(count * size);
      std::vector<float> total(count);
      for (std::size_t r = 0; r < size; ++r) {
        randomize({other.data(), count * size, type}, 1000 + r);
        for (std::size_t i = 0; i < count; ++i) {
          const float value = read(other.data(), type, me * count + i);
          total[i] = r == 0 ? value : total[i] + value;
        }
      }
      for (std::size_t i = 0; i < count; ++i) {
        const float before = read(expected.data(), out, i);
        write(expected.data(), out, i,
              mode == write_mode::accumulate ? before + total[i] : total[i]);
      }
      ranks.reduce_scatter(full.span(), shard.span(), mode).wait();
      shard.get();
      EXPECT_EQ(differing(shard.copy(), expected.data()), 0u);
    };
    for (const dtype type : arithmetic) {
      for (const dtype out : {type, dtype::fp32}) {
        for (const write_mode mode : {write_mode::overwrite, write_mode::accumulate}) {
          for (int variant = 0; variant < 2; ++variant) check(type, out, mode, variant);
        }
      }
    }
  });
}

TEST_P(communicator_contract, reduce_scatter_in_place) {
  each_world([](communicator& ranks) {
    const auto size = static_cast<std::size_t>(ranks.size());
    const auto me = static_cast<std::size_t>(ranks.rank());
    for (const std::size_t count : counts) {
      for (const write_mode mode : {write_mode::overwrite, write_mode::accumulate}) {
        for (int variant = 0; variant < variants; ++variant) {
          SCOPED_TRACE(describe(dtype::bf16, count, variant));
          elements full(ranks, place_of(variant, ranks.rank()), count * size, dtype::bf16);
          full.fill([&](std::size_t i) { return pattern(ranks.rank(), i); });
          ranks.reduce_scatter(full.span(), full.span().part(me * count, count), mode).wait();
          EXPECT_EQ(full.wrong([&](std::size_t i) {
            float expected = pattern(ranks.rank(), i);
            if (i / std::max<std::size_t>(count, 1) == me) {
              if (mode == write_mode::overwrite) expected = 0;
              for (int r = 0; r < ranks.size(); ++r) expected += pattern(r, i);
            }
            return expected;
          }),
                    0u);
        }
      }
    }
  });
}

TEST_P(communicator_contract, all_reduce_gives_every_rank_the_same_sum) {
  each_world([](communicator& ranks) {
    for (const dtype type : arithmetic) {
      for (const std::size_t count : {0, 1, 2, 3, 5, 1009, 300007}) {
        for (int variant = 0; variant < variants; ++variant) {
          SCOPED_TRACE(describe(type, count, variant));
          elements data(ranks, place_of(variant, ranks.rank()), count, type);
          data.fill([&](std::size_t i) { return pattern(ranks.rank(), i); });
          ranks.all_reduce(data.span()).wait();
          EXPECT_EQ(data.wrong([&](std::size_t i) {
            float expected = 0;
            for (int r = 0; r < ranks.size(); ++r) expected += pattern(r, i);
            return expected;
          }),
                    0u);
        }
      }
    }
  });
}

TEST_P(communicator_contract, all_reduce_has_the_bits_of_a_scalar_sum_by_rank) {
  each_world([](communicator& ranks) {
    const std::size_t count = 5003;
    for (const dtype type : arithmetic) {
      for (int variant = 0; variant < variants; ++variant) {
        SCOPED_TRACE(describe(type, count, variant));
        elements data(ranks, place_of(variant, ranks.rank()), count, type);
        randomize(data.copy(), 3000 + static_cast<std::uint64_t>(ranks.rank()));
        data.put();
        std::vector<std::uint32_t> other(count), expected(count);
        std::vector<float> total(count);
        for (int r = 0; r < ranks.size(); ++r) {
          randomize({other.data(), count, type}, 3000 + static_cast<std::uint64_t>(r));
          for (std::size_t i = 0; i < count; ++i) {
            total[i] =
                r == 0 ? read(other.data(), type, i) : total[i] + read(other.data(), type, i);
          }
        }
        for (std::size_t i = 0; i < count; ++i) write(expected.data(), type, i, total[i]);
        ranks.all_reduce(data.span()).wait();
        data.get();
        EXPECT_EQ(differing(data.copy(), expected.data()), 0u);
      }
    }
  });
}

TEST_P(communicator_contract, broadcast_from_every_root) {
  each_world([](communicator& ranks) {
    for (int root = 0; root < ranks.size(); ++root) {
      for (const dtype type : {dtype::byte, dtype::fp32}) {
        for (const std::size_t count : {0, 1, 1009, 600011}) {
          for (int variant = first_variant(root); variant < variants; variant += each_variant) {
            SCOPED_TRACE(describe(type, count, variant));
            elements data(ranks, place_of(variant, ranks.rank()), count, type);
            data.fill([&](std::size_t i) { return pattern(ranks.rank(), i); });
            ranks.broadcast(data.span(), root).wait();
            EXPECT_EQ(data.wrong([&](std::size_t i) { return pattern(root, i); }), 0u);
          }
        }
      }
    }
  });
}

}  // namespace zero::testing
