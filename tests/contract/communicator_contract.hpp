#pragma once
// What every communicator promises, as one suite. A backend instantiates it with a way to run a
// body on all ranks of a world:
//
//   INSTANTIATE_TEST_SUITE_P(name, communicator_contract, ::testing::Values(backend{...}));
//
// Expected values are closed forms over small integers, exact in every dtype, or a scalar loop of
// its own over the reference conversions.

#include <zero/base/dtype.hpp>
#include <zero/base/error.hpp>
#include <zero/base/float16.hpp>
#include <zero/base/typed_span.hpp>
#include <zero/collectives/communicator.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <ostream>
#include <random>
#include <string>
#include <vector>

namespace zero::testing {

using collectives::call;
using collectives::communicator;
using collectives::write_mode;

struct backend {
  std::string name;
  std::vector<int> sizes;
  // Runs the body on every rank of a fresh world; a failed expectation or exception of any rank
  // fails the test.
  std::function<void(int size, const std::function<void(communicator&)>&)> run;
};

inline std::ostream& operator<<(std::ostream& out, const backend& b) { return out << b.name; }

// ---- elements ---------------------------------------------------------------------------------

inline float read(const void* data, dtype type, std::size_t i) {
  switch (type) {
    case dtype::fp32:
      return static_cast<const float*>(data)[i];
    case dtype::bf16:
      return to_float(static_cast<const bf16_t*>(data)[i]);
    case dtype::fp16:
      return to_float(static_cast<const fp16_t*>(data)[i]);
    case dtype::byte:
      return static_cast<float>(static_cast<const std::uint8_t*>(data)[i]);
  }
  return 0;
}

inline void write(void* data, dtype type, std::size_t i, float value) {
  switch (type) {
    case dtype::fp32:
      static_cast<float*>(data)[i] = value;
      break;
    case dtype::bf16:
      static_cast<bf16_t*>(data)[i] = to_bf16(value);
      break;
    case dtype::fp16:
      static_cast<fp16_t*>(data)[i] = to_fp16(value);
      break;
    case dtype::byte:
      static_cast<std::uint8_t*>(data)[i] = static_cast<std::uint8_t>(value);
      break;
  }
}

// Random bits: denormals, infinities and NaN included.
inline void randomize(typed_span span, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  auto* const bytes = static_cast<std::uint8_t*>(span.data);
  for (std::size_t i = 0; i < span.bytes(); ++i) bytes[i] = static_cast<std::uint8_t>(random());
}

// The same bits, or both NaN.
inline bool same_value(const void* a, const void* b, dtype type, std::size_t i) {
  const std::size_t width = size_of(type);
  if (type != dtype::byte && std::isnan(read(a, type, i))) return std::isnan(read(b, type, i));
  return std::memcmp(static_cast<const char*>(a) + i * width,
                     static_cast<const char*>(b) + i * width, width) == 0;
}

// ---- memory -----------------------------------------------------------------------------------

enum class place { shared, foreign };

// Elements from the communicator's memory or from the heap.
class elements {
 public:
  elements(communicator& ranks, place where, std::size_t count, dtype type)
      : ranks_(ranks), where_(where), bytes_(count * size_of(type)) {
    if (where == place::shared) {
      span_ = {ranks.memory().allocate(bytes_), count, type};
    } else {
      heap_.resize(bytes_ / 4 + 1);
      span_ = {heap_.data(), count, type};
    }
  }
  elements(const elements&) = delete;
  elements& operator=(const elements&) = delete;
  ~elements() {
    if (where_ == place::shared) ranks_.memory().deallocate(span_.data, bytes_);
  }
  [[nodiscard]] typed_span span() const { return span_; }
  [[nodiscard]] void* data() const { return span_.data; }

 private:
  communicator& ranks_;
  place where_;
  std::size_t bytes_;
  std::vector<std::uint32_t> heap_;
  typed_span span_;
};

// ---- the suite --------------------------------------------------------------------------------

class communicator_contract : public ::testing::TestWithParam<backend> {
 protected:
  // Odd ones, none, fewer than ranks, one that needs several staged pieces.
  static constexpr std::size_t counts[] = {0, 1, 2, 31, 1009, 40009};
  static constexpr dtype arithmetic[] = {dtype::fp32, dtype::bf16, dtype::fp16};

  static void each_world(const std::function<void(communicator&)>& body) {
    for (const int size : GetParam().sizes) {
      SCOPED_TRACE("world of " + std::to_string(size));
      GetParam().run(size, body);
    }
  }

  // A small integer that tells rank and position.
  static float pattern(int rank, std::size_t i) {
    return static_cast<float>((static_cast<std::size_t>(rank) * 3 + i) % 11);
  }

  static place place_of(int variant, int rank) {
    // 0: all shared, 1: all foreign, 2: every other rank foreign
    return variant == 1 || (variant == 2 && rank % 2 == 1) ? place::foreign : place::shared;
  }
};

inline std::string describe(dtype type, std::size_t count, int variant) {
  return std::string(name_of(type)) + " count " + std::to_string(count) + " variant " +
         std::to_string(variant);
}

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

// Each operation reads what the one before wrote, on its own and on other ranks, without a wait
// between. Every ten rounds all is read and set to 1 again.
inline void check_order(communicator& ranks, std::size_t count, int rounds) {
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

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(communicator_contract);

}  // namespace zero::testing
