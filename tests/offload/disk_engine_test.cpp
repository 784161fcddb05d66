// Every engine does the same, and a queue over it is told in full or in errors.
#include "offload/scratch.hpp"
#include "support/failing_disk.hpp"

#include <zero/base/error.hpp>
#include <zero/offload/disk_engine.hpp>
#include <zero/offload/transfer_queue.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <set>
#include <string>
#include <vector>

namespace zero::testing {
namespace {

using namespace zero::offload;
using namespace std::chrono_literals;

class open_file {
 public:
  open_file(const std::string& path, int flags) : number_(open(path.c_str(), flags, 0600)) {
    if (number_ < 0) throw io_error("open", path, errno);
  }
  open_file(const open_file&) = delete;
  open_file& operator=(const open_file&) = delete;
  ~open_file() { close(number_); }
  [[nodiscard]] int number() const noexcept { return number_; }

 private:
  int number_;
};

class engines : public ::testing::TestWithParam<disk_engine_kind> {
 protected:
  // nullptr, and the test is skipped, where the machine has no such engine.
  static std::unique_ptr<disk_engine> make(const disk_engine_options& options = {}) {
    try {
      return make_disk_engine(GetParam(), options);
    } catch (const io_error&) {
      return nullptr;
    }
  }
  scratch_directory scratch_;
  open_file file_{scratch_ / "file", O_RDWR | O_CREAT};
};

#define REQUIRE_ENGINE(engine) \
  if ((engine) == nullptr) GTEST_SKIP() << "the kernel refuses io_uring here"

constexpr auto soon = 20s;

std::vector<disk_result> reap_all(disk_engine& engine, std::size_t count) {
  std::vector<disk_result> all;
  std::vector<disk_result> some(3);
  while (all.size() < count) {
    const std::size_t n = engine.reap(some, disk_engine::clock::now() + soon);
    if (n == 0) break;
    all.insert(all.end(), some.begin(), some.begin() + static_cast<std::ptrdiff_t>(n));
  }
  return all;
}

// Where it is asked for and refused, the build is to blame only if it was not compiled in.
TEST(uring, is_compiled_in_or_says_that_it_is_not) {
  try {
    EXPECT_STREQ(make_disk_engine(disk_engine_kind::uring)->name(), "uring");
    EXPECT_TRUE(uring_compiled());
  } catch (const io_error& e) {
    const bool blames_the_build = std::string(e.what()).find("liburing") != std::string::npos;
    EXPECT_EQ(blames_the_build, !uring_compiled()) << e.what();
  }
}

TEST_P(engines, write_and_read_back_out_of_many) {
  auto engine = make({7, 3});
  REQUIRE_ENGINE(engine);
  ASSERT_EQ(engine->depth(), 7U);
  constexpr std::size_t bytes = 4099, blocks = 41;
  std::vector<unsigned char> out(bytes * blocks), in(bytes * blocks);
  for (std::size_t b = 0; b < blocks; ++b) fill(&out[b * bytes], bytes, b, 0);
  for (const direction way : {direction::write, direction::read}) {
    unsigned char* const memory = way == direction::write ? out.data() : in.data();
    std::set<std::uint64_t> tags;
    std::size_t next = 0;
    while (tags.size() < blocks) {
      std::size_t begun = 0;
      while (next < blocks && engine->submit({way, file_.number(), next * bytes,
                                              memory + next * bytes, bytes, next}) == 0) {
        ++next, ++begun;
      }
      for (const disk_result& r : reap_all(*engine, 1)) {
        EXPECT_EQ(r.value, static_cast<std::int64_t>(bytes));
        EXPECT_TRUE(tags.insert(r.tag).second);
      }
    }
  }
  EXPECT_EQ(in, out);
}

TEST_P(engines, accept_no_more_than_their_depth) {
  auto engine = make({2, 1});
  REQUIRE_ENGINE(engine);
  std::vector<char> memory(64);
  const disk_request request{direction::write, file_.number(), 0, memory.data(), 64, 5};
  EXPECT_EQ(engine->submit(request), 0);
  EXPECT_EQ(engine->submit(request), 0);
  EXPECT_EQ(engine->submit(request), EAGAIN);
  EXPECT_EQ(reap_all(*engine, 2).size(), 2U);
  EXPECT_EQ(engine->submit(request), 0);
  EXPECT_EQ(reap_all(*engine, 1).size(), 1U);
}

TEST_P(engines, report_errors_and_ends_of_files_as_they_are) {
  auto engine = make();
  REQUIRE_ENGINE(engine);
  std::vector<char> memory(100);
  ASSERT_EQ(pwrite(file_.number(), memory.data(), 30, 0), 30);
  const auto result_of = [&](const disk_request& request) {
    EXPECT_EQ(engine->submit(request), 0);
    const auto results = reap_all(*engine, 1);
    return results.size() == 1 ? results[0].value : -9999;
  };
  EXPECT_EQ(result_of({direction::read, file_.number(), 10, memory.data(), 100, 0}), 20);
  EXPECT_EQ(result_of({direction::read, file_.number(), 30, memory.data(), 100, 0}), 0);
  EXPECT_EQ(result_of({direction::read, 9999, 0, memory.data(), 100, 0}), -EBADF);
  const open_file unwritable(scratch_ / "file", O_RDONLY);
  EXPECT_EQ(result_of({direction::write, unwritable.number(), 0, memory.data(), 9, 0}), -EBADF);
}

TEST_P(engines, wait_no_longer_than_told) {
  auto engine = make();
  REQUIRE_ENGINE(engine);
  std::vector<disk_result> results(1);
  EXPECT_EQ(engine->reap(results, disk_engine::clock::time_point::max()), 0U);  // nothing to come
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  std::vector<char> memory(1);
  // pread does not do pipes; what matters is that a wait for something slow ends.
  if (std::string(engine->name()) == "uring") {
    const auto whenever = static_cast<std::uint64_t>(-1);
    ASSERT_EQ(engine->submit({direction::read, ends[0], whenever, memory.data(), 1, 8}), 0);
    const auto begin = disk_engine::clock::now();
    EXPECT_EQ(engine->reap(results, begin + 30ms), 0U);
    EXPECT_GE(disk_engine::clock::now(), begin + 30ms);
    EXPECT_EQ(engine->reap(results, {}), 0U);
    ASSERT_EQ(write(ends[1], "x", 1), 1);
    ASSERT_EQ(reap_all(*engine, 1).size(), 1U);
    EXPECT_EQ(memory[0], 'x');
  }
  close(ends[0]);
  close(ends[1]);
}

TEST_P(engines, registered_files_and_memory_move_the_same_bytes) {
  auto engine = make();
  REQUIRE_ENGINE(engine);
  constexpr std::size_t bytes = 64 << 10;
  const aligned_memory memory(4 * bytes), other(bytes);
  engine->register_file(file_.number());
  if (!engine->register_memory(memory.get(), 2 * bytes)) {
    EXPECT_TRUE(std::string(engine->name()) == "threads" || !engine->note().empty());
  }
  engine->register_memory(memory.get() + 3 * bytes, bytes);
  engine->unregister_memory(memory.get() + 3 * bytes);
  fill(memory.get(), 4 * bytes, 1, 1);
  // Within what is registered, across its end, beyond it.
  for (const std::size_t at : {std::size_t{0}, bytes + 512, 3 * bytes}) {
    ASSERT_EQ(engine->submit({direction::write, file_.number(), at, memory.get() + at, bytes, 0}),
              0);
    ASSERT_EQ(reap_all(*engine, 1).at(0).value, static_cast<std::int64_t>(bytes));
    ASSERT_EQ(engine->submit({direction::read, file_.number(), at, other.get(), bytes, 0}), 0);
    ASSERT_EQ(reap_all(*engine, 1).at(0).value, static_cast<std::int64_t>(bytes));
    EXPECT_EQ(std::memcmp(other.get(), memory.get() + at, bytes), 0);
  }
  std::memset(memory.get(), 0, bytes);
  ASSERT_EQ(engine->submit({direction::read, file_.number(), 0, memory.get(), bytes, 0}), 0);
  ASSERT_EQ(reap_all(*engine, 1).at(0).value, static_cast<std::int64_t>(bytes));
  EXPECT_EQ(first_difference(memory.get(), bytes, 1, 1), -1);
  engine->unregister_memory(memory.get());
  engine->unregister_file(file_.number());
  ASSERT_EQ(engine->submit({direction::read, file_.number(), 0, memory.get(), bytes, 0}), 0);
  ASSERT_EQ(reap_all(*engine, 1).at(0).value, static_cast<std::int64_t>(bytes));
}

TEST_P(engines, finish_what_is_under_way_when_destroyed) {
  std::vector<char> memory(1 << 20, 'x');
  {
    auto engine = make({16, 2});
    REQUIRE_ENGINE(engine);
    for (std::uint64_t i = 0; i < 2; ++i) {
      ASSERT_EQ(engine->submit(
                    {direction::write, file_.number(), i << 20, memory.data(), memory.size(), i}),
                0);
    }
  }
  SUCCEED();  // that nothing still reads `memory` is for the address sanitizer to say
}

INSTANTIATE_TEST_SUITE_P(all, engines,
                         ::testing::Values(disk_engine_kind::uring, disk_engine_kind::threads),
                         [](const auto& test) {
                           return test.param == disk_engine_kind::uring ? "uring" : "threads";
                         });

TEST(disk_engine, refuses_options_that_cannot_be) {
  EXPECT_THROW((void)make_disk_engine(disk_engine_kind::threads, {0}), invalid_argument);
  EXPECT_THROW((void)make_disk_engine(disk_engine_kind::automatic, {4097}), invalid_argument);
  EXPECT_THROW((void)make_disk_engine(disk_engine_kind::threads, {1, -1}), invalid_argument);
}

// ---- transfer_queue ----------------------------------------------------------------------------

class transfers : public ::testing::Test {
 protected:
  static constexpr std::uint64_t bytes = 32768;

  transfer_outcome run(direction way, const fault_plan& plan,
                       std::chrono::nanoseconds deadline = soon) {
    auto failing = make_failing_disk(make_disk_engine(disk_engine_kind::automatic, {4, 2}), plan);
    where_ = failing.where;
    queue_ = std::make_unique<transfer_queue>(std::move(failing.engine), 4096, deadline);
    queue_->start({way, file_.number(), 4096, memory_.get(), bytes, 77});
    std::vector<transfer_outcome> outcomes(3);
    EXPECT_EQ(queue_->finish(outcomes, transfer_queue::wait_for::one), 1U);
    EXPECT_EQ(queue_->under_way(), 0U);
    EXPECT_EQ(outcomes[0].tag, 77U);
    return outcomes[0];
  }

  scratch_directory scratch_;
  open_file file_{scratch_ / "file", O_RDWR | O_CREAT};
  aligned_memory memory_{bytes};
  failing_disk* where_ = nullptr;
  std::unique_ptr<transfer_queue> queue_;
};

TEST_F(transfers, short_ones_go_on_where_a_block_begins) {
  fill(memory_.get(), bytes, 3, 4);
  // 32768 -> half moved -> 16384 left -> half -> 8192 left -> half, which is one block, and so on
  EXPECT_EQ(run(direction::write, {disk_fault::half, 0, 3}).error_number, 0);
  EXPECT_EQ(where_->requests(), 4U);
  std::vector<unsigned char> found(bytes);
  ASSERT_EQ(pread(file_.number(), found.data(), bytes, 4096), static_cast<ssize_t>(bytes));
  EXPECT_EQ(first_difference(found.data(), bytes, 3, 4), -1);
  std::memset(memory_.get(), 0, bytes);
  EXPECT_EQ(run(direction::read, {disk_fault::half, 0, 3}).error_number, 0);
  EXPECT_EQ(first_difference(memory_.get(), bytes, 3, 4), -1);
  // Less than a block is no progress, but may be followed by some.
  EXPECT_EQ(run(direction::read, {disk_fault::odd, 0, 2}).error_number, 0);
  EXPECT_EQ(where_->requests(), 3U);
}

TEST_F(transfers, interruptions_are_tried_again_until_the_deadline) {
  for (const disk_fault fault : {disk_fault::eintr, disk_fault::eagain}) {
    EXPECT_EQ(run(direction::write, {fault, 0, 5}).error_number, 0);
    EXPECT_EQ(where_->requests(), 6U);
    const auto begin = disk_engine::clock::now();
    EXPECT_EQ(run(direction::write, {fault}, 150ms).error_number, ETIMEDOUT);
    EXPECT_GE(disk_engine::clock::now() - begin, 150ms);
    EXPECT_GT(where_->requests(), 5U);
    EXPECT_LT(where_->requests(), 150U);  // it paused between attempts
  }
}

TEST_F(transfers, what_cannot_be_ends_them_with_its_errno_and_place) {
  struct expected {
    disk_fault fault;
    int error_number;
  };
  for (const expected& e :
       {expected{disk_fault::eio, EIO}, expected{disk_fault::enospc, ENOSPC},
        expected{disk_fault::zero, ENODATA}, expected{disk_fault::too_much, EPROTO},
        expected{disk_fault::refused, ENOMEM}}) {
    for (const direction way : {direction::write, direction::read}) {
      const transfer_outcome outcome = run(way, {e.fault, 0, 1});
      EXPECT_EQ(outcome.error_number, e.error_number);
      EXPECT_EQ(outcome.offset, 4096U);
    }
  }
  // The file ends in the middle: the second block is not there.
  ASSERT_EQ(ftruncate(file_.number(), 4096 + 4096), 0);
  const transfer_outcome outcome = run(direction::read, {});
  EXPECT_EQ(outcome.error_number, ENODATA);
  EXPECT_EQ(outcome.offset, 8192U);
}

TEST_F(transfers, silence_ends_at_the_deadline_and_costs_a_place) {
  EXPECT_EQ(run(direction::write, {disk_fault::silence}, 50ms).error_number, ETIMEDOUT);
  std::vector<transfer_outcome> outcomes(8);
  EXPECT_FALSE(queue_->drain());  // it waits once more, in vain
  where_->change({});
  for (int i = 0; i < 3; ++i) {
    queue_->start({direction::write, file_.number(), 0, memory_.get(), 4096, 1});
  }
  EXPECT_THROW(queue_->start({direction::write, file_.number(), 0, memory_.get(), 4096, 1}),
               invalid_argument);
  std::size_t done = 0;
  while (done < 3) done += queue_->finish(outcomes, transfer_queue::wait_for::one);
  EXPECT_EQ(queue_->finish(outcomes, transfer_queue::wait_for::one), 0U);
}

TEST_F(transfers, nothing_to_move_is_done) {
  run(direction::write, {});
  queue_->start({direction::read, -1, 0, nullptr, 0, 9});
  std::vector<transfer_outcome> outcomes(1);
  ASSERT_EQ(queue_->finish(outcomes, transfer_queue::wait_for::none), 1U);
  EXPECT_EQ(outcomes[0].error_number, 0);
}

}  // namespace
}  // namespace zero::testing
