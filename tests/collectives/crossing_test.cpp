// What crosses between hosts, by hand.
#include <zero/base/error.hpp>
#include <zero/collectives/crossing.hpp>

#include <gtest/gtest.h>

#include <numeric>

namespace zero::testing {
namespace {

using namespace zero::collectives;

const ranks_on_hosts two_by_two{{0, 0, 1, 1}, {}};
const ranks_on_hosts in_turn{{0, 1, 0, 1}, {}};
const ranks_on_hosts two_one_one{{4, 4, 9, 2}, {}};

moved_elements sums(std::uint64_t count, dtype in, dtype out,
                    write_mode mode = write_mode::overwrite) {
  return {moving::reduce_scatter, count, in, out, mode, 0};
}

TEST(crossing, of_what_is_only_copied) {
  const moved_elements gather{moving::all_gather, 10, dtype::bf16, dtype::bf16};
  EXPECT_EQ(bytes_crossing_from(two_by_two, gather, 0), 20u);
  EXPECT_EQ(bytes_crossing(two_by_two, gather), 80u);
  EXPECT_EQ(bytes_crossing(two_one_one, gather), 4u * 2 * 20);
  const moved_elements swap{moving::all_to_all, 10, dtype::fp32, dtype::fp32};
  EXPECT_EQ(bytes_crossing_from(two_one_one, swap, 0), 80u);   // to two ranks
  EXPECT_EQ(bytes_crossing_from(two_one_one, swap, 3), 120u);  // to three
  const moved_elements cast{moving::broadcast,     10, dtype::byte, dtype::byte,
                            write_mode::overwrite, 2};
  EXPECT_EQ(bytes_crossing_from(two_one_one, cast, 2), 20u);
  EXPECT_EQ(bytes_crossing_from(two_one_one, cast, 0), 0u);
  EXPECT_EQ(bytes_crossing(two_by_two, cast), 10u);
}

TEST(crossing, of_sums_goes_by_the_cheaper_way) {
  // Direct: each of 4 pieces from 2 ranks, 4 * 2 * 4 * c. Chain: 4 c to the second host for each
  // piece, and 4 c back for the two of the first: 24 c.
  const moved_elements wide = sums(10, dtype::fp32, dtype::fp32);
  EXPECT_EQ(way_of_sums(two_by_two, wide), sum_way::chain);
  EXPECT_EQ(bytes_crossing(two_by_two, wide), 240u);
  EXPECT_EQ(bytes_crossing_from(two_by_two, wide, 0), 80u);  // pieces 0 and 2, halfway
  EXPECT_EQ(bytes_crossing_from(two_by_two, wide, 3), 40u);  // the sum of rank 1
  // In 16 bits pieces are half as dear, and partial sums are not: 4 * 2 * 2 * c = 16 c.
  const moved_elements narrow = sums(10, dtype::bf16, dtype::fp32);
  EXPECT_EQ(way_of_sums(two_by_two, narrow), sum_way::direct);
  EXPECT_EQ(bytes_crossing(two_by_two, narrow), 160u);
  EXPECT_EQ(bytes_crossing_from(two_by_two, narrow, 1), 40u);
  // Two hosts of four in 16 bits: direct 8 * 4 * 2 c = 64 c; chain 8 * 4 c, and back 4 * 2 c,
  // rounded, or 4 * 4 c where the last addition is still to come.
  const ranks_on_hosts eight{{0, 0, 0, 0, 1, 1, 1, 1}, {}};
  EXPECT_EQ(bytes_crossing(eight, sums(10, dtype::bf16, dtype::bf16)), 400u);
  EXPECT_EQ(bytes_crossing(eight, sums(10, dtype::bf16, dtype::bf16, write_mode::accumulate)),
            480u);
}

TEST(crossing, needs_ranks_in_a_row_for_a_chain) {
  const moved_elements wide = sums(10, dtype::fp32, dtype::fp32);
  EXPECT_EQ(way_of_sums(in_turn, wide), sum_way::direct);
  EXPECT_EQ(bytes_crossing(in_turn, wide), 4u * 2 * 40);
  // In a row for the world, though not as the group numbers them.
  const ranks_on_hosts renumbered{{0, 1, 0, 1}, {0, 2, 1, 3}};
  EXPECT_EQ(way_of_sums(renumbered, wide), sum_way::chain);
  EXPECT_EQ(bytes_crossing(renumbered, wide), 240u);
  // In a row as the group numbers them, but not for the world.
  EXPECT_EQ(way_of_sums({{0, 0, 1, 1}, {0, 2, 1, 3}}, wide), sum_way::direct);
}

TEST(crossing, of_all_reduce_is_of_slices) {
  // 10 elements on 4 ranks: slices of 3, 3, 3 and 1.
  const moved_elements all{moving::all_reduce, 10, dtype::fp32, dtype::fp32};
  // Chain: 10 * 4 over, 6 * 4 back; gathered: 10 * 4.
  EXPECT_EQ(bytes_crossing(two_by_two, all), 40u + 24 + 40);
  // Rank 3 sends the sum of slice 1, and its own slice.
  EXPECT_EQ(bytes_crossing_from(two_by_two, all, 3), 12u + 4);
}

TEST(crossing, parts_add_up_and_do_not_overflow) {
  const std::uint64_t many = std::uint64_t{3} << 40;
  for (const ranks_on_hosts& where : {two_by_two, in_turn, two_one_one}) {
    for (const moving kind : {moving::all_gather, moving::reduce_scatter, moving::all_to_all,
                              moving::all_reduce, moving::broadcast}) {
      for (const std::uint64_t count : {std::uint64_t{0}, std::uint64_t{7}, many}) {
        const moved_elements what{kind, count, dtype::bf16, dtype::bf16};
        std::uint64_t all = 0;
        for (int r = 0; r < 4; ++r) all += bytes_crossing_from(where, what, r);
        EXPECT_EQ(all, bytes_crossing(where, what));
        EXPECT_EQ(all == 0, count == 0);
      }
    }
  }
}

TEST(crossing, is_nothing_on_one_host) {
  const ranks_on_hosts one{{5, 5, 5}, {}};
  for (const moving kind : {moving::all_gather, moving::reduce_scatter, moving::all_to_all,
                            moving::all_reduce, moving::broadcast}) {
    EXPECT_EQ(bytes_crossing(one, {kind, 1000, dtype::fp32, dtype::fp32}), 0u);
  }
}

TEST(crossing, refuses_what_is_no_group) {
  const moved_elements any{moving::all_gather, 1, dtype::fp32, dtype::fp32};
  EXPECT_THROW(static_cast<void>(bytes_crossing({{0, 1}, {0}}, any)), invalid_argument);
  EXPECT_THROW(static_cast<void>(bytes_crossing({{0, 1}, {0, 0}}, any)), invalid_argument);
  EXPECT_THROW(static_cast<void>(bytes_crossing({{0, 1}, {1, 2}}, any)), invalid_argument);
  EXPECT_THROW(static_cast<void>(bytes_crossing_from({{0, 1}, {}}, any, 2)), invalid_argument);
  EXPECT_THROW(static_cast<void>(bytes_crossing_from({{0, 1}, {}}, any, -1)), invalid_argument);
}

}  // namespace
}  // namespace zero::testing
