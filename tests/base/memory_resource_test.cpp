#include <zero/base/error.hpp>
#include <zero/base/memory_resource.hpp>

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <limits>

namespace zero::testing {
namespace {

TEST(page_resource, gives_zeroed_aligned_pages) {
  page_resource pages;
  for (const std::size_t bytes :
       {std::size_t{1}, page_size() - 1, page_size(), page_size() + 1, std::size_t{1} << 20}) {
    auto* block = static_cast<unsigned char*>(pages.allocate(bytes));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % page_size(), 0U);
    for (std::size_t i = 0; i < bytes; ++i) ASSERT_EQ(block[i], 0);
    std::memset(block, 0xff, bytes);
    pages.deallocate(block, bytes);
  }
}

TEST(page_resource, no_bytes_have_an_address_of_their_own) {
  page_resource pages;
  void* a = pages.allocate(0);
  void* b = pages.allocate(0);
  EXPECT_NE(a, nullptr);
  EXPECT_NE(a, b);
  pages.deallocate(a, 0);
  pages.deallocate(b, 0);
}

TEST(page_resource, gives_pages_back_to_the_system) {
  page_resource pages;
  const std::size_t bytes = 8 * page_size() + 1;
  void* block = pages.allocate(bytes);
  pages.deallocate(block, bytes);
  unsigned char resident[9];
  EXPECT_EQ(mincore(block, bytes, resident), -1);  // nothing is mapped there any more
}

TEST(page_resource, refuses_what_the_system_has_not) {
  page_resource pages;
  const std::size_t much = std::size_t{1} << 60;
  try {
    pages.deallocate(pages.allocate(much), much);
    ADD_FAILURE();
  } catch (const out_of_memory& e) {
    EXPECT_EQ(e.requested, much);
    EXPECT_EQ(e.kind(), error_class::resource);
  }
}

// Rounding such a size up to pages must not wrap around to a small one.
TEST(page_resource, refuses_the_largest_number) {
  page_resource pages;
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
  EXPECT_THROW(static_cast<void>(pages.allocate(most)), out_of_memory);
}

TEST(page_resource, has_no_second_mappings) {
  page_resource pages;
  EXPECT_EQ(pages.mappings(), nullptr);
  EXPECT_EQ(page_size() & (page_size() - 1), 0U);
}

}  // namespace
}  // namespace zero::testing
