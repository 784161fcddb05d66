// Updates of packed spans as a device does them, every lane of every warp in turn between the
// barriers, against the host's reference, bit for bit.
#include "packed_warp.hpp"

#include "packed_problem.hpp"

#include <algorithm>
#include <memory>

namespace zero::testing {
namespace {

namespace detail = optim::detail;

// What update_blocks in packed.cu does, for one launch.
template <class Rule>
void launch(const packed_spans& s, algorithm a, const detail::run_batch& batch,
            const step_scalars& scalars) {
  std::vector<detail::run_scalars> runs;
  for (unsigned r = 0; r < batch.count; ++r) {
    const update_run& run = batch.runs[r];
    runs.push_back(
        {run.offset, run.offset + run.count, detail::make_scalars(a, run.constants, scalars)});
  }
  for (std::uint64_t block = batch.end_block; block-- > batch.first_block;) {
    std::vector<detail::packed_lane> lanes(detail::warp_lanes);
    bool touched = false;
    std::uint32_t largest[2] = {0, 0};
    for (unsigned lane = 0; lane < detail::warp_lanes; ++lane) {
      lanes[lane] = detail::update_lane<Rule>(s, a, runs.data(), batch.count, block, lane);
      touched |= lanes[lane].touched();
      for (int i = 0; i < 2; ++i) largest[i] = std::max(largest[i], lanes[lane].largest(i));
    }
    for (unsigned lane = detail::warp_lanes; touched && lane-- > 0;) {
      detail::store_lane<Rule>(s, a, scalars.step, lanes[lane], largest[0], largest[1], block,
                               lane);
    }
  }
}

int update_on_device(algorithm a, span<const update_run> runs, const step_scalars& scalars,
                     const packed_spans& s) {
  std::size_t next = 0;
  std::uint64_t block = 0;
  const auto batch = std::make_unique<detail::run_batch>();
  for (int launches = 0;; ++launches) {
    detail::next_batch(runs, next, block, *batch);
    if (batch->count == 0) return launches;
    detail::with_rule(a, [&]<class Rule>(Rule) { launch<Rule>(s, a, *batch, scalars); });
  }
}

TEST(packed_warp, equals_the_reference) {
  std::mt19937_64 random(31);
  for_each_packed_case([&](const packed_case& how) {
    for (const std::uint64_t first : {0, 128, 77}) {
      packed_problem device(how, 30 * 128);
      device.first_element = first;
      device.fill(random);
      packed_problem reference = device;
      const std::vector<update_run> runs = odd_runs(how.rule, device.count);
      update_on_device(how.rule, runs, {4, 0.37F}, device.spans());
      optim::update_packed_reference(how.rule, runs, {4, 0.37F}, reference.spans());
      expect_same(device, reference);
    }
  });
}

TEST(packed_warp, more_runs_than_a_launch_takes) {
  std::mt19937_64 random(32);
  const packed_case how{
      algorithm::adamw, dtype::bf16, {state_format::block8, master_format::remainder}, dtype::bf16};
  for (const std::size_t length : {1, 2, 5, 300}) {
    packed_problem device(how, 16 * 128 * std::min<std::size_t>(length, 20));
    device.fill(random);
    packed_problem reference = device;
    std::vector<update_run> runs;
    for (std::size_t at = 0; at + length <= device.count; at += length) {
      hyper h = constants_of(how.rule);
      h.learning_rate *= static_cast<float>(1 + runs.size() % 3);
      runs.push_back({at, length, h});
      if (runs.size() % 5 == 0) runs.push_back({at + length, 0, h});
    }
    const int launches = update_on_device(how.rule, runs, {4, 1.0F}, device.spans());
    optim::update_packed_reference(how.rule, runs, {4, 1.0F}, reference.spans());
    expect_same(device, reference);
    EXPECT_EQ(launches > 1, runs.size() > 2 * detail::most_runs) << length;
  }
}

// Every block of every run in exactly one launch that knows all its runs.
TEST(packed_warp, batches_cover_what_runs_cover) {
  std::mt19937_64 random(33);
  const auto batch = std::make_unique<detail::run_batch>();
  for (int round = 0; round < 200; ++round) {
    std::vector<update_run> runs;
    std::uint64_t at = random() % 300;
    const std::uint64_t longest = round % 3 == 0 ? 2 : round % 3 == 1 ? 200 : 5000;
    const std::size_t many = random() % 700;
    for (std::size_t i = 0; i < many; ++i) {
      const std::uint64_t n = random() % longest;
      runs.push_back({at, n, {}});
      at += n + (random() % 2 == 0 ? random() % longest : 0);
    }
    std::vector<int> done(at);  // how often, of each element
    std::size_t next = 0;
    std::uint64_t block = 0;
    std::uint64_t end = 0;
    for (;;) {
      detail::next_batch(runs, next, block, *batch);
      if (batch->count == 0) break;
      ASSERT_GE(batch->first_block, end);
      ASSERT_GT(batch->end_block, batch->first_block);
      end = batch->end_block;
      for (unsigned r = 0; r < batch->count; ++r) {
        const update_run& run = batch->runs[r];
        const std::uint64_t to = std::min(run.offset + run.count, batch->end_block * 128);
        for (std::uint64_t i = std::max(run.offset, batch->first_block * 128); i < to; ++i) {
          ++done[i];
        }
      }
    }
    std::vector<int> expected(at);
    for (const update_run& run : runs) {
      std::fill_n(expected.begin() + std::ptrdiff_t(run.offset), run.count, 1);
    }
    ASSERT_EQ(done, expected);
  }
}

TEST(packed_warp, elements_find_their_runs) {
  const detail::run_scalars runs[] = {{3, 5, {}}, {5, 6, {}}, {10, 20, {}}};
  for (std::uint64_t i = 0; i < 25; ++i) {
    unsigned expected = 3;
    for (unsigned r = 0; r < 3; ++r) {
      if (i >= runs[r].begin && i < runs[r].end) expected = r;
    }
    EXPECT_EQ(detail::run_of(runs, 3, i), expected) << i;
  }
  EXPECT_EQ(detail::run_of(runs, 0, 4), 0U);
}

}  // namespace
}  // namespace zero::testing
