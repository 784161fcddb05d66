// sum_of_squares as a device does it, every thread in turn between the barriers, against the
// host's reference, bit for bit.
#include "block_sums.hpp"

#include "elements.hpp"
#include "typed_elements.hpp"

#include <zero/optim/elementwise.hpp>

#include <algorithm>
#include <memory>
#include <vector>

namespace zero::testing {
namespace {

namespace detail = optim::detail;

void fold(double* sums, unsigned size, unsigned threads) {
  for (unsigned width = 1; width < size; width *= 2) {
    for (unsigned thread = threads; thread-- > 0;) detail::fold_level(thread, width, size, sums);
  }
}

template <bool Packed, class T>
double sum_of_group(const T* values, std::size_t count, unsigned group) {
  const auto shared = std::make_unique<detail::group_memory>();
  std::fill_n(&shared->partial[0][0], sizeof shared->partial / sizeof(double), -1.0);
  for (unsigned thread = 0; thread < detail::threads_of_block; ++thread) {
    detail::sum_parts<Packed>(values, count, group, thread, *shared);
  }
  for (unsigned thread = 0; thread < detail::threads_of_block; ++thread) {
    detail::fold_block(thread, *shared);
  }
  fold(shared->sums, detail::blocks_a_group, detail::threads_of_block);
  return shared->sums[0];
}

double sum_of_tree(const std::vector<double>& values) {
  std::vector<double> sums(detail::threads_of_tree);
  for (unsigned thread = 0; thread < detail::threads_of_tree; ++thread) {
    detail::fold_own(values.data(), values.size(), thread, sums.data());
  }
  fold(sums.data(), detail::threads_of_tree, detail::threads_of_tree);
  return sums[0];
}

template <class T>
double sum_on_device(const T* values, std::size_t count) {
  const bool packed = reinterpret_cast<std::uintptr_t>(values) % (4 * sizeof(T)) == 0;
  std::vector<double> groups;
  for (std::size_t begin = 0; begin < count; begin += detail::group_elements) {
    const auto group = static_cast<unsigned>(groups.size());
    groups.push_back(packed ? sum_of_group<true>(values, count, group)
                            : sum_of_group<false>(values, count, group));
  }
  return groups.size() == 1 ? groups[0] : sum_of_tree(groups);
}

TEST(block_sums, equal_the_reference) {
  std::mt19937_64 random(21);
  for (const dtype type : {dtype::fp32, dtype::bf16, dtype::fp16}) {
    for (const std::size_t count : {1, 3, 4, 31, 32, 33, 1023, 2047, 2048, 2049, 4096, 65'535,
                                    65'536, 65'537, 200'003, 65'536 * 5 + 2048 * 3 + 7}) {
      for (const std::size_t offset : {0, 1, 4}) {
        elements values(type, count, offset);
        values.fill(
            [&] { return std::ldexp(normal_value(random), static_cast<int>(random() % 12)); });
        double device = -1.0;
        detail::with_type(type, const_typed_span(values.span()).data,
                          [&](const auto* p) { device = sum_on_device(p, count); });
        ASSERT_EQ(device, optim::sum_of_squares_reference(values.span()))
            << name_of(type) << " " << count << " " << offset;
      }
    }
  }
}

// The tree alone, with more numbers than threads, against pairs added level by level.
TEST(block_sums, the_tree_adds_neighbouring_pairs) {
  std::mt19937_64 random(22);
  for (const std::size_t count : {1, 2, 3, 1000, 1024, 1025, 2049, 65'535, 65'536}) {
    std::vector<double> values(count);
    for (double& v : values) v = std::ldexp(1.0 + normal_value(random), int(random() % 60));
    std::vector<double> level = values;
    for (; level.size() > 1; level.resize((level.size() + 1) / 2)) {
      for (std::size_t i = 0; i < level.size(); i += 2) {
        level[i / 2] = i + 1 < level.size() ? level[i] + level[i + 1] : level[i];
      }
    }
    EXPECT_EQ(sum_of_tree(values), level[0]) << count;
    detail::pairwise_sum streamed;
    for (const double v : values) streamed.add(v);
    EXPECT_EQ(streamed.total(), level[0]) << count;
  }
  EXPECT_EQ(detail::pairwise_sum().total(), 0.0);
}

// What is longer than a tree is cut into trees: that is the same tree one level up.
TEST(block_sums, trees_of_trees_are_one_tree) {
  std::mt19937_64 random(23);
  std::vector<double> values(8 * 64 + 5);
  for (double& v : values) v = std::ldexp(1.0 + normal_value(random), int(random() % 60));
  std::vector<double> trees;
  for (std::size_t i = 0; i < values.size(); i += 64) {
    const auto end = std::min(i + 64, values.size());
    trees.push_back(
        sum_of_tree({values.begin() + std::ptrdiff_t(i), values.begin() + std::ptrdiff_t(end)}));
  }
  EXPECT_EQ(sum_of_tree(trees), sum_of_tree(values));
  EXPECT_EQ(detail::tree_elements & (detail::tree_elements - 1), 0U);
}

}  // namespace
}  // namespace zero::testing
