// The contract, first part: every element arrives where it should, from every kind of memory.
#include "contract/communicator_contract.hpp"

#include <algorithm>

namespace zero::testing {

TEST_P(communicator_contract, all_gather_puts_every_shard_in_its_place) {
  each_world([](communicator& ranks) {
    const auto size = static_cast<std::size_t>(ranks.size());
    for (const dtype type : {dtype::fp32, dtype::bf16, dtype::byte}) {
      for (const std::size_t count : counts) {
        for (int variant = 0; variant < 3; ++variant) {
          SCOPED_TRACE(describe(type, count, variant));
          const place where = place_of(variant, ranks.rank());
          const elements shard(ranks, where, count, type);
          const elements full(ranks, where, count * size, type);
          for (std::size_t i = 0; i < count; ++i) {
            write(shard.data(), type, i, pattern(ranks.rank(), i));
          }
          ranks.all_gather(shard.span(), full.span()).wait();
          std::size_t wrong = 0;
          for (std::size_t i = 0; i < count * size; ++i) {
            const float expected = pattern(static_cast<int>(i / count), i % count);
            wrong += read(full.data(), type, i) != expected;
          }
          EXPECT_EQ(wrong, 0u);
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
      for (int variant = 0; variant < 3; ++variant) {
        SCOPED_TRACE(describe(dtype::fp16, count, variant));
        const elements full(ranks, place_of(variant, ranks.rank()), count * size, dtype::fp16);
        const typed_span own = full.span().part(me * count, count);
        for (std::size_t i = 0; i < count; ++i) {
          write(own.data, own.type, i, pattern(ranks.rank(), i));
        }
        ranks.all_gather(own, full.span()).wait();
        std::size_t wrong = 0;
        for (std::size_t i = 0; i < count * size; ++i) {
          const float expected = pattern(static_cast<int>(i / count), i % count);
          wrong += read(full.data(), dtype::fp16, i) != expected;
        }
        EXPECT_EQ(wrong, 0u);
      }
    }
  });
}

TEST_P(communicator_contract, reduce_scatter_sums_whole_numbers_exactly) {
  each_world([](communicator& ranks) {
    const auto size = static_cast<std::size_t>(ranks.size());
    const auto me = static_cast<std::size_t>(ranks.rank());
    for (const dtype type : arithmetic) {
      for (const dtype out : {type, dtype::fp32}) {
        for (const std::size_t count : counts) {
          for (const write_mode mode : {write_mode::overwrite, write_mode::accumulate}) {
            for (int variant = 0; variant < 3; ++variant) {
              SCOPED_TRACE(describe(type, count, variant));
              const place where = place_of(variant, ranks.rank());
              const elements full(ranks, where, count * size, type);
              const elements shard(ranks, where, count, out);
              for (std::size_t i = 0; i < count * size; ++i) {
                write(full.data(), type, i, pattern(ranks.rank(), i));
              }
              for (std::size_t i = 0; i < count; ++i) write(shard.data(), out, i, 100);
              ranks.reduce_scatter(full.span(), shard.span(), mode).wait();
              std::size_t wrong = 0;
              for (std::size_t i = 0; i < count; ++i) {
                float expected = mode == write_mode::accumulate ? 100 : 0;
                for (int r = 0; r < ranks.size(); ++r) expected += pattern(r, me * count + i);
                wrong += read(shard.data(), out, i) != expected;
              }
              for (std::size_t i = 0; i < count * size; ++i) {  // full is left as it was
                wrong += read(full.data(), type, i) != pattern(ranks.rank(), i);
              }
              EXPECT_EQ(wrong, 0u);
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
    for (const dtype type : arithmetic) {
      for (const dtype out : {type, dtype::fp32}) {
        for (const write_mode mode : {write_mode::overwrite, write_mode::accumulate}) {
          for (int variant = 0; variant < 2; ++variant) {
            SCOPED_TRACE(describe(type, count, variant));
            const elements full(ranks, place_of(variant, 0), count * size, type);
            const elements shard(ranks, place_of(variant, 0), count, out);
            randomize(full.span(), 1000 + me);
            randomize(shard.span(), 2000 + me);
            std::vector<std::uint32_t> expected(count);
            std::memcpy(expected.data(), shard.data(), shard.span().bytes());
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
            std::size_t wrong = 0;
            for (std::size_t i = 0; i < count; ++i) {
              wrong += !same_value(shard.data(), expected.data(), out, i);
            }
            EXPECT_EQ(wrong, 0u);
          }
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
        for (int variant = 0; variant < 3; ++variant) {
          SCOPED_TRACE(describe(dtype::bf16, count, variant));
          const elements full(ranks, place_of(variant, ranks.rank()), count * size, dtype::bf16);
          for (std::size_t i = 0; i < count * size; ++i) {
            write(full.data(), dtype::bf16, i, pattern(ranks.rank(), i));
          }
          const typed_span own = full.span().part(me * count, count);
          ranks.reduce_scatter(full.span(), own, mode).wait();
          std::size_t wrong = 0;
          for (std::size_t i = 0; i < count * size; ++i) {
            float expected = pattern(ranks.rank(), i);
            if (i / std::max<std::size_t>(count, 1) == me) {
              if (mode == write_mode::overwrite) expected = 0;
              for (int r = 0; r < ranks.size(); ++r) expected += pattern(r, i);
            }
            wrong += read(full.data(), dtype::bf16, i) != expected;
          }
          EXPECT_EQ(wrong, 0u);
        }
      }
    }
  });
}

TEST_P(communicator_contract, all_reduce_gives_every_rank_the_same_sum) {
  each_world([](communicator& ranks) {
    for (const dtype type : arithmetic) {
      for (const std::size_t count : {0, 1, 2, 3, 5, 1009, 300007}) {
        for (int variant = 0; variant < 3; ++variant) {
          SCOPED_TRACE(describe(type, count, variant));
          const elements data(ranks, place_of(variant, ranks.rank()), count, type);
          for (std::size_t i = 0; i < count; ++i) {
            write(data.data(), type, i, pattern(ranks.rank(), i));
          }
          ranks.all_reduce(data.span()).wait();
          std::size_t wrong = 0;
          for (std::size_t i = 0; i < count; ++i) {
            float expected = 0;
            for (int r = 0; r < ranks.size(); ++r) expected += pattern(r, i);
            wrong += read(data.data(), type, i) != expected;
          }
          EXPECT_EQ(wrong, 0u);
        }
      }
    }
  });
}

TEST_P(communicator_contract, all_reduce_has_the_bits_of_a_scalar_sum_by_rank) {
  each_world([](communicator& ranks) {
    const std::size_t count = 5003;
    for (const dtype type : arithmetic) {
      for (int variant = 0; variant < 3; ++variant) {
        SCOPED_TRACE(describe(type, count, variant));
        const elements data(ranks, place_of(variant, ranks.rank()), count, type);
        randomize(data.span(), 3000 + static_cast<std::uint64_t>(ranks.rank()));
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
        std::size_t wrong = 0;
        for (std::size_t i = 0; i < count; ++i) {
          wrong += !same_value(data.data(), expected.data(), type, i);
        }
        EXPECT_EQ(wrong, 0u);
      }
    }
  });
}

TEST_P(communicator_contract, broadcast_from_every_root) {
  each_world([](communicator& ranks) {
    for (int root = 0; root < ranks.size(); ++root) {
      for (const dtype type : {dtype::byte, dtype::fp32}) {
        for (const std::size_t count : {0, 1, 1009, 600011}) {
          for (int variant = 0; variant < 3; ++variant) {
            SCOPED_TRACE(describe(type, count, variant));
            const elements data(ranks, place_of(variant, ranks.rank()), count, type);
            for (std::size_t i = 0; i < count; ++i) {
              write(data.data(), type, i, pattern(ranks.rank(), i));
            }
            ranks.broadcast(data.span(), root).wait();
            std::size_t wrong = 0;
            for (std::size_t i = 0; i < count; ++i) {
              wrong += read(data.data(), type, i) != pattern(root, i);
            }
            EXPECT_EQ(wrong, 0u);
          }
        }
      }
    }
  });
}

}  // namespace zero::testing
