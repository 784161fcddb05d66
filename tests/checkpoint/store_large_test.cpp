// States of several chunks and several buffers: sums that belong to one place alone, the thread
// that writes, and what it meets.

#include "small_state.hpp"
#include "store_use.hpp"
#include "support/failing_files.hpp"
#include "support/memory_files.hpp"
#include "support/run_ranks.hpp"

#include <zero/base/error.hpp>
#include <zero/checkpoint/store.hpp>

#include <gtest/gtest.h>

#include <set>

namespace zero::checkpoint::testing {
namespace {

using zero::testing::memory_files;
using zero::testing::run_ranks;

// One parameter of zeros for each rank, 3 MiB and a little with its states.
class zeros_source final : public source {
 public:
  zeros_source(int rank, int size)
      : size_(size), where_{static_cast<std::size_t>(rank), 0, count} {}
  [[nodiscard]] manifest describe() const override {
    manifest m;
    m.algorithm = "adamw";
    m.states = {"exp_avg", "exp_avg_sq"};
    for (int r = 0; r < size_; ++r) {
      m.parameters.push_back({std::to_string(r), {count}, dtype::fp32, true, 0, ""});
    }
    m.groups.resize(1);
    return m;
  }
  [[nodiscard]] std::vector<shard_extent> extents() const override { return {where_}; }
  void read(const read_shard_function& see) override {
    shard_values v;
    v.where = where_;
    v.weights = {zeros_.data(), count, dtype::fp32};
    v.states[0] = v.states[1] = zeros_.data();
    v.state_count = 2;
    see(v);
  }

 private:
  static constexpr std::size_t count = (std::size_t{1} << 18U) + 100;
  int size_;
  shard_extent where_;
  std::vector<float> zeros_ = std::vector<float>(count);
};

// Though they hold the same, no chunk of one save, rank or place has the sum of another.
TEST(LargeStates, NoChunkHasTheSumOfAnother) {
  std::set<std::uint64_t> sums;
  std::size_t chunks = 0;
  for (const std::uint64_t nonces : {1, 2}) {
    const auto files = std::make_shared<memory_files>();
    run_ranks(
        2,
        [&](collectives::communicator& ranks) {
          store to(ranks, "", with(files, nonces));
          zeros_source state(ranks.rank(), 2);
          to.save(state, 5);
          to.save(state, 6);
        },
        small_world);
    for (const std::string& folder : catalog(*files)) {
      const manifest m = read_manifest(*files, folder);
      for (const saved_file& f : m.files) {
        ASSERT_EQ(f.checksums.size(), 4U);
        sums.insert(f.checksums.begin() + 1, f.checksums.end());  // the first has the header
        chunks += f.checksums.size() - 1;
      }
    }
  }
  EXPECT_EQ(chunks, 24U);
  EXPECT_EQ(sums.size(), chunks);
}

// More than the buffers hold: several parts, the last one not full.
TEST(LargeStates, GoThroughTheBuffersAndBack) {
  const small_model large{600'000};  // 50 MB
  for (const bool direct : {true, false}) {
    const auto files = std::make_shared<memory_files>();
    files->direct = direct;
    save_steps(files, 2, {3}, large);
    const std::string folder = catalog(*files).at(0);
    EXPECT_EQ(read_manifest(*files, folder).files[0].checksums.size(), 25U);
    verify(*files, folder);
    run_ranks(
        3,
        [&](collectives::communicator& ranks) {
          store from(ranks, "", with(files));
          small_target into(large, ranks.rank(), 3);
          loaded out;
          EXPECT_TRUE(from.load(into, out));
          EXPECT_EQ(into.wrong(3), "");
        },
        small_world);
    // Byte 11'534'336 of that file: rank 1 begins with element 2'100'000, in extents of 200'004,
    // each 2'400'048 bytes of three arrays; so it lies in the last third of the fifth.
    auto image = files->image();
    image.folders[folder]["rank-00001-of-00002.safetensors"][12'345'678] ^= 8;
    const auto spoiled = std::make_shared<memory_files>(image);
    try {
      verify(*spoiled, folder);
      ADD_FAILURE() << "nothing was found";
    } catch (const corrupt_data& e) {
      EXPECT_EQ(e.offset, 12'345'678 / chunk_bytes * chunk_bytes);
      EXPECT_NE(std::string(e.what()).find("tensor 'exp_avg_sq/embed@2900016'"), std::string::npos)
          << e.what();
    }
  }
}

// What the writing thread meets is thrown where the state is read.
TEST(LargeStates, AWriteThatFailsInTheMiddle) {
  const small_model large{600'000};
  const auto memory = std::make_shared<memory_files>();
  const auto errors = zero::testing::try_ranks(
      2,
      [&](collectives::communicator& ranks) {
        const auto files = std::make_shared<zero::testing::failing_files>(memory);
        store to(ranks, "", with(files));
        small_source state(large, ranks.rank(), 2, 1);
        if (ranks.rank() == 1) files->arm(4, zero::testing::file_fault::eio, false);
        to.save(state, 1);
      },
      small_world);
  EXPECT_EQ(text_of(errors[0]), text_of(errors[1]));
  EXPECT_NE(text_of(errors[0]).find("rank 1: write 'memory/.staging-000000000001-1-"),
            std::string::npos)
      << text_of(errors[0]);
  EXPECT_NE(text_of(errors[0]).find("' at byte 8388608: Input/output error"), std::string::npos)
      << text_of(errors[0]);
  EXPECT_TRUE(memory->image().folders.empty());
}

}  // namespace
}  // namespace zero::checkpoint::testing
