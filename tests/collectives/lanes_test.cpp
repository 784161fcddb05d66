// Lanes of devices and what crosses them, on a device of threads: nothing is used before the event
// that says so, queueing waits for nobody's device, and errors let go of memory.
#include "collectives/run_joined.hpp"
#include "collectives/simulated_link.hpp"
#include "device/poll.hpp"
#include "nccl/exchange_ranks.hpp"
#include "one_device/one_device_ranks.hpp"

#include <zero/base/cuda.hpp>
#include <zero/base/error.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace zero::testing {
namespace {

using collectives::communicator;
using namespace std::chrono_literals;

// A world on one simulated device or on one a rank; the queues' streams are at hand.
struct simulated_world {
  simulated_world(bool one_device, int size, int pause_us = 0) : device(pause_us) {
    collectives::one_device_ranks peers(size);
    auto pages = std::make_shared<collectives::arena>(collectives::arena::create_exactly(size, 1));
    auto boxes = std::make_shared<mailboxes>(size);
    for (int rank = 0; rank < size; ++rank) {
      if (one_device) {
        auto queue = std::make_unique<simulated_queue>(device);
        queues.push_back(queue.get());
        lanes.push_back(&queue->work());
        ranks.push_back(peers.join(rank, std::move(queue)));
        continue;
      }
      auto queue = std::make_shared<simulated_queue>(device);
      lanes.push_back(&queue->work());
      collectives::exchange_staging staging;
      staging.bytes = 64u << 10;
      staging.memory = {static_cast<std::byte*>(device.memory().allocate(64u << 10)),
                        [this](std::byte* at) { device.memory().deallocate(at, 64u << 10); }};
      ranks.push_back(collectives::join_exchange(
          pages, rank, queue, staging, std::make_shared<simulated_link>(boxes, rank, queue->work()),
          {queue, &device.memory()}, "simulated"));
    }
  }

  simulated_device device;
  std::vector<queued_stream*> lanes;
  std::vector<simulated_queue*> queues;  // of one device
  joined_ranks ranks;
};

class lanes : public ::testing::TestWithParam<bool> {};

INSTANTIATE_TEST_SUITE_P(kinds, lanes, ::testing::Bool(), [](const auto& test) {
  return std::string(test.param ? "one_device" : "device_each");
});

// Memory of the communicator and what the client's own stream does with it.
struct floats {
  floats(communicator& ranks, std::size_t n)
      : memory(ranks.memory()), count(n), at(static_cast<float*>(memory.allocate(n * 4))) {}
  floats(const floats&) = delete;
  floats& operator=(const floats&) = delete;
  ~floats() { memory.deallocate(at, count * 4); }
  [[nodiscard]] typed_span span() const { return {at, count, dtype::fp32}; }
  [[nodiscard]] float* host() const { return host_address(at); }

  memory_resource& memory;
  std::size_t count;
  float* at;
};

// The client's stream writes, the lanes sum and spread, the client's stream reads and writes again,
// and the host waits for nothing until the end; memory comes and goes all the while.
TEST_P(lanes, hand_memory_over_by_events_alone) {
  for (const int size : {2, 3}) {
    simulated_world world(GetParam(), size, 300);
    std::atomic<int> wrong{0};
    run_joined(world.ranks, [&](communicator& ranks) {
      const auto compute = world.device.make_stream();
      const auto n = static_cast<std::size_t>(size);
      const floats full(ranks, 700 * n), other(ranks, 700 * n), piece(ranks, 700);
      const auto sum = static_cast<float>(size * (size + 1) / 2);
      for (int round = 0; round < 40; ++round) {
        const auto scale = static_cast<float>(round + 1);
        compute->run([&, scale] {
          const float own = static_cast<float>(ranks.rank() + 1) * scale;
          std::fill_n(full.host(), full.count, own);
          std::fill_n(other.host(), other.count, -1.0f);
        });
        const completion written = compute->record();
        ranks.reduce_scatter(full.span(), piece.span(), collectives::write_mode::overwrite,
                             {written, "sum", round});
        ranks.all_to_all(full.span(), other.span(), {written, "spread", round});
        completion last = ranks.all_gather(piece.span(), full.span());
        if (round % 3 == 0) last = ranks.all_reduce(piece.span());
        last.order(*compute);
        compute->run([&, scale, round] {
          const float summed = round % 3 == 0 ? static_cast<float>(size) : 1.0f;
          for (std::size_t i = 0; i < full.count; ++i) {
            wrong += full.host()[i] != sum * scale;
            wrong += other.host()[i] != static_cast<float>(i / 700 + 1) * scale;
          }
          for (std::size_t i = 0; i < 700; ++i) wrong += piece.host()[i] != sum * scale * summed;
        });
        // Pages that are given back here are given out to others at once.
        const floats passing(ranks, 5000 + 700 * static_cast<std::size_t>(round));
        std::fill_n(passing.host(), passing.count, 1e9f);
      }
      compute->record().wait();
      ranks.barrier().wait();
    });
    EXPECT_EQ(wrong.load(), 0);
  }
}

TEST_P(lanes, queueing_and_ordering_do_not_wait_for_the_device) {
  simulated_world world(GetParam(), 3);
  std::promise<void> opened;
  const std::shared_future<void> gate(opened.get_future());
  std::atomic<int> queued{0};
  run_joined(world.ranks, [&](communicator& ranks) {
    const auto compute = world.device.make_stream();
    const floats value(ranks, 5);
    compute->run([&] {
      gate.wait();
      std::fill_n(value.host(), 5, 2.0f);
    });
    const completion summed = ranks.all_reduce(value.span(), {compute->record(), "held", 0});
    for (int i = 0; i < 5; ++i) ranks.broadcast(value.span(), i % 3);
    const completion last = ranks.barrier();
    summed.order(*compute);  // all of this while nothing can be done
    last.order(*compute);
    EXPECT_FALSE(summed.ready());
    EXPECT_FALSE(last.ready());
    if (++queued == 3) opened.set_value();
    last.wait();
    EXPECT_EQ(value.host()[4], 6.0f);
  });
}

// An operation is not done for a rank before its peers have read the rank's memory.
TEST(one_device_lanes, a_completion_means_that_no_peer_reads_any_more) {
  simulated_world world(true, 2);
  std::promise<void> opened;
  const std::shared_future<void> gate(opened.get_future());
  world.queues[1]->before_sum = [&] { gate.wait(); };  // its lane is slow to read
  run_joined(world.ranks, [&](communicator& ranks) {
    const floats full(ranks, 20), piece(ranks, 10);
    std::fill_n(full.host(), 20, 1.0f);
    ranks.barrier().wait();
    const completion done = ranks.reduce_scatter(full.span(), piece.span());
    const auto compute = world.device.make_stream();
    done.order(*compute);
    compute->run([&] { std::fill_n(full.host(), 20, 7.0f); });  // ours again
    const completion filled = compute->record();
    if (ranks.rank() == 0) {
      world.lanes[0]->record().wait();
      EXPECT_FALSE(done.ready());
      // Never; but who orders only the rank's own part has it at once.
      EXPECT_FALSE(collectives::poll([&] { return filled.ready(); }, 20ms));
      opened.set_value();
    }
    done.wait();
    filled.wait();
    ranks.barrier().wait();
    EXPECT_EQ(piece.host()[9], 2.0f);
  });
}

TEST_P(lanes, a_device_that_hangs_is_told_by_the_deadline) {
  simulated_world world(GetParam(), 2);
  std::promise<void> opened;
  const std::shared_future<void> gate(opened.get_future());
  world.lanes[1]->run([&] { gate.wait(); });
  std::atomic<int> told{0};
  const auto errors = try_joined(world.ranks, [&](communicator& ranks) {
    ranks.set_deadline(200ms);
    const floats value(ranks, 3);
    try {
      ranks.all_reduce(value.span(), {{}, "stuck", 4}).wait();
    } catch (...) {
      if (++told == 2) opened.set_value();
      gate.wait();  // the one case in which memory is still in use: the device did not let go of it
      for (queued_stream* lane : world.lanes) {
        try {
          lane->record().wait();
        } catch (const std::exception&) {
          continue;  // its link was cut
        }
      }
      throw;
    }
  });
  for (const auto& error : errors) {
    try {
      ASSERT_TRUE(error);
      std::rethrow_exception(error);
    } catch (const peer_lost& lost) {
      EXPECT_NE(std::string(lost.what()).find("operation 0, all_reduce 'stuck'"), std::string::npos)
          << lost.what();
    }
  }
}

TEST_P(lanes, a_device_that_fails_is_told_as_it_is_and_to_the_peers) {
  simulated_world world(GetParam(), 3);
  const auto errors = try_joined(world.ranks, [&](communicator& ranks) {
    const floats value(ranks, 3);
    ranks.barrier().wait();
    if (ranks.rank() == 1) {
      world.lanes[1]->run([] { throw cuda_error("a kernel", 700, "illegal address"); });
    }
    ranks.set_deadline(5s);
    while (true) ranks.all_reduce(value.span()).wait();
  });
  int own = 0;
  for (std::size_t rank = 0; rank < 3; ++rank) {
    ASSERT_TRUE(errors[rank]);
    try {
      std::rethrow_exception(errors[rank]);
    } catch (const cuda_error& failed) {
      EXPECT_EQ(failed.code, 700);
      ++own;
    } catch (const error& told) {
      EXPECT_EQ(told.kind(), error_class::peer_lost);
    }
  }
  EXPECT_GE(own, 1);
}

TEST_P(lanes, ranks_that_differ_are_told_before_anything_is_moved) {
  simulated_world world(GetParam(), 3);
  const auto errors = try_joined(world.ranks, [&](communicator& ranks) {
    const floats full(ranks, 30), piece(ranks, 10);
    std::fill_n(full.host(), 30, 3.0f);
    std::fill_n(piece.host(), 10, 42.0f);
    ranks.barrier().wait();
    try {
      if (ranks.rank() == 2) {
        ranks.all_gather(piece.span(), full.span(), {{}, "other", 5});
      } else {
        ranks.reduce_scatter(full.span(), piece.span(), collectives::write_mode::overwrite,
                             {{}, "usual", 5});
      }
      ranks.barrier().wait();
    } catch (const desync&) {
      EXPECT_EQ(piece.host()[0], 42.0f);
      EXPECT_EQ(full.host()[0], 3.0f);
      EXPECT_THROW(ranks.barrier(), desync);
      throw;
    }
  });
  for (const auto& error : errors) {
    try {
      ASSERT_TRUE(error);
      std::rethrow_exception(error);
    } catch (const desync& differ) {
      EXPECT_EQ(differ.ranks, std::vector<int>{2});
      EXPECT_NE(std::string(differ.what()).find("all_gather 'other'"), std::string::npos);
    }
  }
}

TEST_P(lanes, throwing_means_that_memory_may_go) {
  // Given up in the middle of much work; memory is given back to the system at once, so that who
  // still reads or writes it is ended by a signal.
  for (int round = 0; round < 8; ++round) {
    simulated_world world(GetParam(), 3, 100);
    const auto errors = try_joined(world.ranks, [&](communicator& ranks) {
      const floats full(ranks, 300'000), other(ranks, 300'000);
      std::thread breaker;
      if (ranks.rank() == round % 3) {
        breaker = std::thread([&] {
          std::this_thread::sleep_for(round * 700us);  // anywhere in an operation
          ranks.abort("test");
        });
      }
      try {
        while (true) ranks.all_to_all(full.span(), other.span());
      } catch (...) {
        if (breaker.joinable()) breaker.join();
        throw;
      }
    });
    for (const auto& error : errors) {
      ASSERT_TRUE(error);
      EXPECT_THROW(std::rethrow_exception(error), peer_lost);
    }
  }
}

// What becomes ready when told, and blocks whoever orders it: a disk, say.
class manual_source final : public completion_source {
 public:
  void wait(std::uint64_t) override { result_.get(); }
  [[nodiscard]] bool ready(std::uint64_t) const noexcept override {
    return result_.wait_for(0s) == std::future_status::ready;
  }
  void done() { promise_.set_value(); }
  void fail() { promise_.set_exception(std::make_exception_ptr(io_error("reading", "x", EIO))); }

 private:
  std::promise<void> promise_;
  std::shared_future<void> result_{promise_.get_future()};
};

TEST_P(lanes, work_of_the_host_before_an_operation_holds_up_the_lane_alone) {
  manual_source late;
  simulated_world world(GetParam(), 2);
  run_joined(world.ranks, [&](communicator& ranks) {
    const floats value(ranks, 3);
    std::fill_n(value.host(), 3, 1.0f);
    const auto after = ranks.rank() == 0 ? completion(late, 0) : completion();
    const completion done = ranks.all_reduce(value.span(), {after, "late", 0});
    EXPECT_FALSE(ranks.rank() == 0 && done.ready());
    if (ranks.rank() == 0) {
      std::fill_n(value.host(), 3, 4.0f);  // still ours
      late.done();
    }
    done.wait();
    EXPECT_EQ(value.host()[0], 5.0f);
  });
}

TEST_P(lanes, work_before_that_fails_is_thrown_as_it_is) {
  for (const bool at_once : {true, false}) {
    manual_source source;
    if (at_once) source.fail();
    simulated_world world(GetParam(), 2);
    const auto errors = try_joined(world.ranks, [&](communicator& ranks) {
      ranks.set_deadline(5s);
      const auto after = ranks.rank() == 1 ? completion(source, 0) : completion();
      const completion done = ranks.barrier({after, "", 0});
      if (ranks.rank() == 1 && !at_once) source.fail();
      done.wait();
    });
    ASSERT_TRUE(errors[0] && errors[1]);
    EXPECT_THROW(std::rethrow_exception(errors[0]), peer_lost);
    EXPECT_THROW(std::rethrow_exception(errors[1]), io_error);
  }
}

TEST(one_device_worlds, refuse_what_cannot_be) {
  simulated_device device;
  EXPECT_THROW(collectives::one_device_ranks(0), invalid_argument);
  EXPECT_THROW(collectives::one_device_ranks(65), invalid_argument);
  collectives::one_device_ranks world(2);
  EXPECT_THROW(static_cast<void>(world.join(2, device.make_queue())), invalid_argument);
  const auto first = world.join(0, device.make_queue());
  EXPECT_THROW(static_cast<void>(world.join(0, device.make_queue())), invalid_argument);
  EXPECT_STREQ(first->backend(), "one_device");
}

}  // namespace
}  // namespace zero::testing
