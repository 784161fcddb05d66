#include "sample_models.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>

namespace zero::partition::testing {
namespace {

using shape = std::vector<std::uint64_t>;

constexpr std::uint64_t two_to(int power) { return std::uint64_t{1} << power; }

TEST(element_count, of_shapes) {
  EXPECT_EQ(element_count(shape{}), 1U);
  EXPECT_EQ(element_count(shape{0}), 0U);
  EXPECT_EQ(element_count(shape{7}), 7U);
  EXPECT_EQ(element_count(shape{3, 5, 7}), 105U);
  EXPECT_EQ(element_count(shape{two_to(40), two_to(40), 0}), 0U);
  EXPECT_EQ(element_count(shape{0, two_to(40), two_to(40)}), 0U);
}

TEST(element_count, largest_and_one_more) {
  EXPECT_EQ(element_count(shape{two_to(63) - 1}), two_to(63) - 1);
  EXPECT_EQ(element_count(shape{7, (two_to(63) - 1) / 7}), two_to(63) - 1);  // 7 divides 2^63 - 1
  EXPECT_THROW(static_cast<void>(element_count(shape{two_to(63)})), invalid_argument);
  EXPECT_THROW(static_cast<void>(element_count(shape{two_to(32), two_to(31)})), invalid_argument);
  EXPECT_THROW(static_cast<void>(element_count(shape{two_to(40), two_to(40)})), invalid_argument);
}

TEST(element_count, of_models_counts_tied_parameters_once) {
  EXPECT_EQ(element_count(model_spec{}), 0U);
  EXPECT_EQ(element_count(model_of_sizes({3, 0, 11})), 14U);
  EXPECT_EQ(element_count(mixed_model()), 97U * 12 + 12 + 12 * 31 + 1 + 5 + 97);
}

TEST(element_count, of_models_names_the_parameter_that_is_too_much) {
  EXPECT_EQ(element_count(model_of_sizes({two_to(62), two_to(62) - 1})), two_to(63) - 1);
  try {
    static_cast<void>(element_count(model_of_sizes({two_to(62), two_to(62)})));
    FAIL() << "accepted";
  } catch (const invalid_argument& refused) {
    EXPECT_NE(std::string(refused.what()).find("'p1'"), std::string::npos) << refused.what();
  }
}

}  // namespace
}  // namespace zero::partition::testing
