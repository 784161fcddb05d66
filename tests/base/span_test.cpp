#include <zero/base/rank.hpp>
#include <zero/base/span.hpp>
#include <zero/base/typed_span.hpp>

#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace zero::testing {
namespace {

TEST(span, borrows_containers_and_arrays) {
  std::vector<int> v{1, 2, 3, 4};
  const span<int> of_vector(v);
  EXPECT_EQ(of_vector.data(), v.data());
  EXPECT_EQ(of_vector.size(), 4U);
  EXPECT_EQ(of_vector.size_bytes(), 4 * sizeof(int));
  of_vector[2] = 30;
  EXPECT_EQ(v[2], 30);
  const std::vector<int>& constant = v;
  const span<const int> read_only(constant);
  int sum = 0;
  for (const int x : read_only) sum += x;
  EXPECT_EQ(sum, 37);
  int raw[3] = {5, 6, 7};
  EXPECT_EQ(span<int>(raw).size(), 3U);
  std::array<int, 2> array{8, 9};
  EXPECT_EQ(span<const int>(array)[1], 9);
  const span<const int> narrowed(of_vector);  // from span<int>
  EXPECT_EQ(narrowed.data(), v.data());
}

TEST(span, empty) {
  const span<int> none;
  EXPECT_TRUE(none.empty());
  EXPECT_EQ(none.begin(), none.end());
  std::vector<int> v;
  EXPECT_TRUE(span<int>(v).empty());
}

TEST(span, subspan) {
  std::vector<int> v{1, 2, 3, 4, 5};
  const span<int> part = span<int>(v).subspan(1, 3);
  EXPECT_EQ(part.size(), 3U);
  EXPECT_EQ(part[0], 2);
  EXPECT_TRUE(span<int>(v).subspan(5, 0).empty());
}

TEST(typed_span, parts_count_elements_not_bytes) {
  std::array<std::uint16_t, 8> values{};
  const typed_span all{values.data(), values.size(), dtype::bf16};
  EXPECT_EQ(all.bytes(), 16U);
  const typed_span part = all.part(3, 2);
  EXPECT_EQ(part.data, values.data() + 3);
  EXPECT_EQ(part.count, 2U);
  EXPECT_EQ(part.bytes(), 4U);
  const const_typed_span borrowed = all;
  EXPECT_EQ(borrowed.part(5, 3).data, values.data() + 5);
  EXPECT_EQ(borrowed.type, dtype::bf16);
  EXPECT_EQ(const_typed_span(values.data(), 2, dtype::fp32).bytes(), 8U);
}

TEST(world, is_alone_by_default) {
  EXPECT_EQ(world{}.rank, 0);
  EXPECT_EQ(world{}.size, 1);
}

}  // namespace
}  // namespace zero::testing
