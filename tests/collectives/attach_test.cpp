// An arena reached by its descriptor, at another address than its creator's. Apart from the other
// tests because the thread sanitizer takes one page at two addresses for two.
#include <zero/base/error.hpp>
#include <zero/collectives/shared_memory.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace zero::testing {
namespace {

using collectives::shared_memory_world;

TEST(attach, by_descriptor) {
  auto world = shared_memory_world::create(2, 1 << 20);
  EXPECT_NE(fcntl(world.descriptor(), F_GETFD) & FD_CLOEXEC, 0);
  const int copy = dup(world.descriptor());
  auto other = shared_memory_world::attach(copy);
  EXPECT_EQ(other.descriptor(), copy);
  EXPECT_NE(fcntl(copy, F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_EQ(other.size(), 2);
  // Two mappings of one arena, as two processes have them.
  auto first = world.join(0);
  auto second = other.join(1);
  EXPECT_THROW(static_cast<void>(world.join(1)), invalid_argument);
  auto* const a = static_cast<float*>(first->memory().allocate(4));
  auto* const b = static_cast<float*>(second->memory().allocate(4));
  *a = 1;
  *b = 2;
  const completion done = first->all_reduce({a, 1, dtype::fp32});
  second->all_reduce({b, 1, dtype::fp32}).wait();
  done.wait();
  EXPECT_EQ(*a, 3);
  EXPECT_EQ(*b, 3);
  EXPECT_EQ(first->traffic().staged, 0u);
}

TEST(attach, refuses_descriptors_of_something_else) {
  const int file = memfd_create("other", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  EXPECT_THROW(shared_memory_world::attach(file), invalid_argument);  // not sealed
  ASSERT_EQ(ftruncate(file, 1 << 20), 0);
  ASSERT_EQ(fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
  EXPECT_THROW(shared_memory_world::attach(file), invalid_argument);  // no header
  EXPECT_NE(fcntl(file, F_GETFD), -1);                                // still ours
  close(file);
  const int plain = open("/dev/null", O_RDONLY | O_CLOEXEC);
  EXPECT_THROW(shared_memory_world::attach(plain), invalid_argument);
  close(plain);
  EXPECT_THROW(shared_memory_world::attach(-1), invalid_argument);
}

TEST(attach, refuses_an_arena_of_another_version) {
  auto world = shared_memory_world::create(1, 1 << 20);
  auto* const header = static_cast<std::uint32_t*>(
      mmap(nullptr, page_size(), PROT_READ | PROT_WRITE, MAP_SHARED, world.descriptor(), 0));
  ASSERT_NE(header, MAP_FAILED);
  ++header[2];  // after the 8 bytes that say what it is
  const int copy = dup(world.descriptor());
  EXPECT_THROW(shared_memory_world::attach(copy), invalid_argument);
  close(copy);
  munmap(header, page_size());
}

}  // namespace
}  // namespace zero::testing
