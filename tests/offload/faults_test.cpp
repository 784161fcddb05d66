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
#include <thread>
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
  std::uint64_t repaired = 0;  // as the store counts
  std::string notes;
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
  out.repaired = store.reads().repaired;
  for (const std::string& note : store.notes()) out.notes += note + "\n";
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
  bool mended_once;  // what follows is right; for good nothing is
  // Of the io_error, which is of class resource; 0: bytes are wrong. Those that were read wrong
  // once are right when read again, those that were written wrong are corrupt_data.
  int error_number;
};

const fault_case every_fault[] = {
    {disk_fault::eio, "eio", false, EIO},
    {disk_fault::enospc, "enospc", false, ENOSPC},
    {disk_fault::refused, "refused", false, ENOMEM},
    {disk_fault::eintr, "eintr", true, ETIMEDOUT},
    {disk_fault::eagain, "eagain", true, ETIMEDOUT},
    {disk_fault::odd, "odd", true, ETIMEDOUT},
    {disk_fault::silence, "silence", false, ETIMEDOUT},
    {disk_fault::half, "half", true, ETIMEDOUT},
    {disk_fault::zero, "zero", false, ENODATA},
    {disk_fault::too_much, "too_much", false, EPROTO},
    {disk_fault::nothing, "nothing", false, 0},
    {disk_fault::torn, "torn", false, 0},
    {disk_fault::flipped_bit, "flipped_bit", false, 0},
    {disk_fault::old_generation, "old_generation", false, 0},
    {disk_fault::neighbour, "neighbour", false, 0},
};

// What a fault comes to.
enum class ending : unsigned char { right, repaired, error };

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

  static void judge(const fault_plan& plan, ending expected) {
    const auto& [fault, kind] = GetParam();
    const auto begin = std::chrono::steady_clock::now();
    const bool late = expected == ending::error && fault.error_number == ETIMEDOUT;
    outcome out = run(kind, plan, late ? shortly : patiently);
    // Where the machine is too busy to get as far as the fault in time, time is what it needs.
    for (auto longer = 8 * shortly; out.spoiled == 0 && longer < patiently; longer *= 8) {
      ASSERT_FALSE(out.wrong_bytes);
      out = run(kind, plan, longer);
    }
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 60s);
    ASSERT_GT(out.spoiled, 0U);
    ASSERT_FALSE(out.wrong_bytes);
    ASSERT_EQ(out.failed.has_value(), expected == ending::error) << out.text;
    const bool says_so =
        out.notes.find("was read wrong and, once more, right") != std::string::npos;
    EXPECT_EQ(says_so, out.repaired > 0) << out.notes;
    if (expected != ending::error) {
      EXPECT_EQ(out.repaired, expected == ending::repaired ? 1U : 0U);
      return;
    }
    EXPECT_EQ(*out.failed, fault.error_number == 0 ? error_class::corrupt : error_class::resource);
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
      const bool mended = fault.mended_once || all_that_counts(fault.fault, call);
      const bool repaired = fault.error_number == 0 && !write;
      judge({fault.fault, call, 1, !write, write}, mended     ? ending::right
                                                   : repaired ? ending::repaired
                                                              : ending::error);
    }
  }
}

TEST_P(faults, every_call_for_good) {
  const fault_case& fault = std::get<0>(GetParam());
  const std::uint64_t always = std::numeric_limits<std::uint64_t>::max();
  // Each that runs into its deadline takes its time.
  const std::uint64_t step = fault.error_number == ETIMEDOUT ? 4 : 1;
  for (std::uint64_t first = 0; first < generations * sizes.size() - 1; first += step) {
    for (const auto& [reads, writes] : {std::pair{true, false}, {false, true}, {true, true}}) {
      SCOPED_TRACE("from " + std::to_string(first) + (reads ? " reads" : "") +
                   (writes ? " writes" : ""));
      judge({fault.fault, first, always, reads, writes}, ending::error);
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

// Three records written `rounds` times, and one of them read under the plan, which counts from the
// last round on.
std::string text_of(const fault_plan& plan, std::uint64_t rounds, std::size_t read = 1) {
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
    store.read(read, memory.get()).wait();
  } catch (const corrupt_data& found) {
    EXPECT_EQ(found.offset, 4096U * read);
    return found.what();
  }
  EXPECT_EQ(first_difference(memory.get(), 4096, read, rounds), -1);
  return store.notes().empty() ? "right" : store.notes().back();
}

void finds(const std::string& text, const std::string& words) {
  EXPECT_NE(text.find(words), std::string::npos) << text;
}

TEST(corrupt_records, are_told_apart) {
  finds(text_of({disk_fault::nothing, 1, 1, false, true}, 5), "it is still generation 4");
  finds(text_of({disk_fault::old_generation, 0, 2, true, false}, 5), "it is still generation 4");
  finds(text_of({disk_fault::neighbour, 0, 2, true, false}, 2), "it is record 2");
  finds(text_of({disk_fault::neighbour, 2, 1, false, true}, 2, 0), "it is record 2");
  finds(text_of({disk_fault::neighbour, 1, 1, false, true}, 2), "it is still generation 1");
  finds(text_of({disk_fault::flipped_bit, 0, 2, true, false}, 1), "its checksum is ");
}

TEST(corrupt_records, are_read_twice_before_they_are_called_so) {
  for (const disk_fault fault : {disk_fault::flipped_bit, disk_fault::nothing, disk_fault::torn,
                                 disk_fault::old_generation, disk_fault::neighbour}) {
    const std::string once = text_of({fault, 0, 1, true, false}, 3);
    finds(once, "record 1 was read wrong and, once more, right (1 such reads)");
    finds(text_of({fault, 0, 2, true, false}, 3), "record 1 is not what generation 3 wrote");
  }
  finds(text_of({}, 3), "right");
}

// What is queued after a read must not be on the disk when that is read once more, nor in its way.
TEST(corrupt_records, are_read_again_before_they_are_written_anew) {
  const scratch_directory scratch;
  auto failing = make_failing_disk(make_disk_engine(disk_engine_kind::automatic, {2}), {});
  record_store store(std::move(failing.engine), swap_file(scratch.path()), {20000, 4096, 4096},
                     {"", patiently});
  const aligned_memory in(20480), out(20480), other(4096);
  fill(in.get(), 20000, 0, 1);
  store.write(0, in.get(), 1).wait();
  store.write(1, other.get(), 1).wait();
  failing.where->change({disk_fault::flipped_bit, 0, 1, true, false});
  fill(out.get(), 20000, 0, 2);
  const completion read = store.read(0, in.get());
  const completion beside = store.read(1, other.get());
  const completion written = store.write(0, out.get(), 2);
  EXPECT_EQ(store.reads().repaired, 1U);  // by now
  read.wait();
  EXPECT_EQ(first_difference(in.get(), 20000, 0, 1), -1);
  beside.wait();
  written.wait();
  store.read(0, in.get()).wait();
  EXPECT_EQ(first_difference(in.get(), 20000, 0, 2), -1);
  EXPECT_EQ(store.reads().records, 3U);
  EXPECT_EQ(store.reads().bytes, 3 * 20480U + 4096);
}

// The second reading may fail in its own way.
TEST(corrupt_records, second_reading_that_fails_is_the_disks_failure) {
  const scratch_directory scratch;
  auto failing = make_failing_disk(make_disk_engine(), {});
  record_store store(std::move(failing.engine), swap_file(scratch.path()), {5000},
                     {"mine", patiently});
  const aligned_memory memory(8192);
  store.write(0, memory.get(), 1).wait();
  failing.where->change({disk_fault::flipped_bit, 0, 1, true, false});
  const completion read = store.read(0, memory.get());
  while (!read.ready()) std::this_thread::yield();
  failing.where->change({disk_fault::eio, 0, 1, true, false});
  try {
    read.wait();
    ADD_FAILURE() << "nobody noticed";
  } catch (const io_error& failed) {
    EXPECT_EQ(failed.error_number, EIO);
    finds(failed.what(), "mine: record 0: reading");
  }
}

// ---- the script that whole jobs are run under --------------------------------------------------

// Two owners with two stores each, whose calls a script counts together.
TEST(fault_scripts, spoil_the_calls_they_name_of_the_owner_they_name) {
  const auto swap = [](const fault_script& script, int owner) -> std::string {
    const scratch_directory scratch;
    const aligned_memory memory(4096);
    try {
      for (std::uint64_t store = 0; store < 2; ++store) {
        record_store records(script.engines_of(owner)(), swap_file(scratch.path()), {4096, 4096});
        for (std::size_t i = 0; i < 2; ++i) {
          fill(memory.get(), 4096, i, store);
          records.write(i, memory.get(), store).wait();
        }
        records.read(0, memory.get()).wait();
        if (first_difference(memory.get(), 4096, 0, store) != -1) return "wrong";
      }
    } catch (const io_error& failed) {
      return std::to_string(failed.error_number);
    }
    return "right";
  };
  const fault_script script(2, {{1, {disk_fault::enospc, 3, 1, false, true}}});
  EXPECT_EQ(swap(script, 0), "right");
  EXPECT_EQ(swap(script, 1), std::to_string(ENOSPC));
  EXPECT_EQ(script.tally(0).writes, 4U);
  EXPECT_EQ(script.tally(0).reads, 2U);
  EXPECT_EQ(script.tally(0).spoiled, 0U);
  EXPECT_EQ(script.tally(1).writes, 4U);
  EXPECT_EQ(script.tally(1).reads, 1U);
  EXPECT_EQ(script.tally(1).spoiled, 1U);
}

}  // namespace
}  // namespace zero::testing
