// Every call of a store's path to the disk failed on purpose, once and for good, in every way: what
// is read is right, or an error that says which record of whose, where, and why. Never anything
// else, and never for ever.
#include "offload/scratch.hpp"
#include "support/failing_disk.hpp"

#include <zero/base/error.hpp>
#include <zero/offload/record_store.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace zero::testing {
namespace {

using namespace zero::offload;
using namespace std::chrono_literals;

const std::vector<std::uint64_t> sizes{5000, 4096, 20011, 8192, 1};
constexpr std::uint64_t generations = 3;
// Deadlines of a store: what is to run into one has a short one, the rest none that a slow machine
// could reach.
constexpr std::chrono::nanoseconds shortly = 30ms, patiently = 30s;

struct outcome {
  std::optional<error_class> failed;
  std::string text;
  int error_number = 0;
  bool wrong_bytes = false;
  std::uint64_t spoiled = 0;
};

// Writes every record and reads it back, generation after generation, several under way.
void write_and_read(record_store& store, unsigned char* memory, bool& wrong) {
  const record_layout& layout = store.layout();
  const auto at = [&](std::size_t i) { return memory + layout[i].offset; };
  for (std::uint64_t generation = 1; generation <= generations; ++generation) {
    for (std::size_t i = 0; i < sizes.size(); ++i) fill(at(i), sizes[i], i, generation);
    completion done;
    for (std::size_t i = 0; i < sizes.size(); ++i) done = store.write(i, at(i), generation);
    done.wait();
    std::fill_n(memory, layout.bytes(), static_cast<unsigned char>(0x77));
    std::vector<completion> reads;
    for (std::size_t i = 0; i < sizes.size(); ++i) reads.push_back(store.read(i, at(i)));
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      reads[i].wait();
      wrong = wrong || first_difference(at(i), sizes[i], i, generation) != -1;
    }
  }
}

outcome run(disk_engine_kind kind, const fault_plan& plan, std::chrono::nanoseconds deadline) {
  const scratch_directory scratch;
  outcome out;
  // Before the store, so that it outlives what a store that timed out may have left under way.
  const aligned_memory memory(record_layout(sizes).bytes());
  auto failing = make_failing_disk(make_disk_engine(kind, {3, 2, 1000ms}), plan);
  record_store store(std::move(failing.engine), swap_file(scratch.path()), sizes,
                     {"states of host 3", deadline});
  try {
    write_and_read(store, memory.get(), out.wrong_bytes);
  } catch (const corrupt_data& found) {
    out.failed = found.kind();
    out.text = found.what();
  } catch (const io_error& found) {
    out.failed = found.kind();
    out.text = found.what();
    out.error_number = found.error_number;
  }
  out.spoiled = failing.where->spoiled();
  if (out.failed) {  // and it stays so, and the memory is the caller's again
    if (out.error_number != ETIMEDOUT) {
      EXPECT_EQ(failing.where->outstanding(), 0U);
    }
    EXPECT_THROW((void)store.write(0, memory.get(), 9), error);
  }
  return out;
}

struct fault_case {
  disk_fault fault;
  const char* name;
  bool harmless_once;  // what follows is right; for good nothing is
  error_class kind;    // of the error otherwise
  int error_number;    // of an io_error; 0: corrupt_data
};

const fault_case every_fault[] = {
    {disk_fault::eio, "eio", false, error_class::failure, EIO},
    {disk_fault::enospc, "enospc", false, error_class::resource, ENOSPC},
    {disk_fault::refused, "refused", false, error_class::resource, ENOMEM},
    {disk_fault::eintr, "eintr", true, error_class::failure, ETIMEDOUT},
    {disk_fault::eagain, "eagain", true, error_class::failure, ETIMEDOUT},
    {disk_fault::odd, "odd", true, error_class::failure, ETIMEDOUT},
    {disk_fault::silence, "silence", false, error_class::failure, ETIMEDOUT},
    {disk_fault::half, "half", true, error_class::failure, ETIMEDOUT},
    {disk_fault::zero, "zero", false, error_class::failure, ENODATA},
    {disk_fault::too_much, "too_much", false, error_class::failure, EPROTO},
    {disk_fault::nothing, "nothing", false, error_class::corrupt, 0},
    {disk_fault::torn, "torn", false, error_class::corrupt, 0},
    {disk_fault::flipped_bit, "flipped_bit", false, error_class::corrupt, 0},
    {disk_fault::old_generation, "old_generation", false, error_class::corrupt, 0},
    {disk_fault::neighbour, "neighbour", false, error_class::corrupt, 0},
};

using parameters = std::tuple<fault_case, disk_engine_kind>;

class faults : public ::testing::TestWithParam<parameters> {
 protected:
  void SetUp() override {
    try {
      (void)make_disk_engine(std::get<1>(GetParam()));
    } catch (const io_error&) {
      GTEST_SKIP() << "the kernel refuses io_uring here";
    }
  }

  static void judge(const fault_plan& plan, bool harmless) {
    const auto& [fault, kind] = GetParam();
    const auto begin = std::chrono::steady_clock::now();
    const bool late = !harmless && fault.error_number == ETIMEDOUT;
    outcome out = run(kind, plan, late ? shortly : patiently);
    // Where the machine is too busy to get as far as the fault in time, time is what it needs.
    for (auto longer = 8 * shortly; out.spoiled == 0 && longer < patiently; longer *= 8) {
      ASSERT_FALSE(out.wrong_bytes);
      out = run(kind, plan, longer);
    }
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 60s);
    ASSERT_GT(out.spoiled, 0U);
    ASSERT_FALSE(out.wrong_bytes);
    if (harmless) {
      EXPECT_FALSE(out.failed) << out.text;
      return;
    }
    ASSERT_TRUE(out.failed) << "nobody noticed";
    EXPECT_EQ(*out.failed, fault.kind) << out.text;
    EXPECT_EQ(out.error_number, fault.error_number) << out.text;
    for (const char* const word : {"states of host 3", ": record ", "(unnamed)"}) {
      EXPECT_NE(out.text.find(word), std::string::npos) << out.text;
    }
  }
};

// The last record is one byte, which half of a block holds as well.
bool all_that_counts(disk_fault fault, std::uint64_t call) {
  return fault == disk_fault::torn && call % sizes.size() == 4;
}

TEST_P(faults, every_call_once) {
  const fault_case& fault = std::get<0>(GetParam());
  for (std::uint64_t call = 0; call < generations * sizes.size(); ++call) {
    for (const bool write : {false, true}) {
      SCOPED_TRACE((write ? "write " : "read ") + std::to_string(call));
      judge({fault.fault, call, 1, !write, write},
            fault.harmless_once || all_that_counts(fault.fault, call));
    }
  }
}

TEST_P(faults, every_call_for_good) {
  const fault_case& fault = std::get<0>(GetParam());
  const std::uint64_t always = std::numeric_limits<std::uint64_t>::max();
  for (const std::uint64_t first : {0, 3, 7, 11}) {
    for (const auto& [reads, writes] : {std::pair{true, false}, {false, true}, {true, true}}) {
      SCOPED_TRACE("from " + std::to_string(first) + (reads ? " reads" : "") +
                   (writes ? " writes" : ""));
      judge({fault.fault, first, always, reads, writes}, false);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(all, faults,
                         ::testing::Combine(::testing::ValuesIn(every_fault),
                                            ::testing::Values(disk_engine_kind::uring,
                                                              disk_engine_kind::threads)),
                         [](const auto& test) {
                           return std::string(std::get<0>(test.param).name) +
                                  (std::get<1>(test.param) == disk_engine_kind::uring ? "_uring"
                                                                                      : "_threads");
                         });

// ---- what is said of bytes that are wrong ------------------------------------------------------

std::string text_of(const fault_plan& plan, std::uint64_t rounds) {
  const scratch_directory scratch;
  auto failing = make_failing_disk(make_disk_engine(), {});
  record_store store(std::move(failing.engine), swap_file(scratch.path()), {4096, 4096, 4096},
                     {"", patiently});
  const aligned_memory memory(4096);
  for (std::uint64_t generation = 1; generation <= rounds; ++generation) {
    if (generation == rounds) failing.where->change(plan);
    for (std::size_t i = 0; i < 3; ++i) {
      fill(memory.get(), 4096, i, generation);
      store.write(i, memory.get(), generation).wait();
    }
  }
  try {
    store.read(1, memory.get()).wait();
  } catch (const corrupt_data& found) {
    EXPECT_EQ(found.offset, 4096U);
    return found.what();
  }
  return "nothing was found";
}

TEST(corrupt_records, are_told_apart) {
  const auto finds = [](const std::string& text, const std::string& words) {
    EXPECT_NE(text.find(words), std::string::npos) << text;
  };
  finds(text_of({disk_fault::nothing, 1, 1, false, true}, 5), "it is still generation 4");
  finds(text_of({disk_fault::old_generation, 0, 1, true, false}, 5), "it is still generation 4");
  finds(text_of({disk_fault::neighbour, 0, 1, true, false}, 2), "it is record 2");
  finds(text_of({disk_fault::neighbour, 1, 1, false, true}, 2), "it is still generation 1");
  finds(text_of({disk_fault::flipped_bit, 0, 1, true, false}, 1), "its checksum is ");
}

}  // namespace
}  // namespace zero::testing
