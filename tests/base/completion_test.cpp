#include <zero/base/completion.hpp>
#include <zero/base/error.hpp>

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace zero::testing {
namespace {

class recorded_source final : public completion_source {
 public:
  void wait(std::uint64_t ticket) override {
    waited.push_back(ticket);
    if (ticket >= failing) throw peer_lost("[test] peer", {1});
    done = ticket > done ? ticket : done;
  }
  [[nodiscard]] bool ready(std::uint64_t ticket) const noexcept override { return ticket <= done; }

  std::uint64_t done = 0;
  std::uint64_t failing = 100;
  std::vector<std::uint64_t> waited;
};

TEST(completion, of_nothing_is_done) {
  const completion c;
  EXPECT_TRUE(c.ready());
  EXPECT_NO_THROW(c.wait());
}

TEST(completion, asks_its_source) {
  recorded_source source;
  const completion first(source, 1);
  const completion second(source, 2);
  EXPECT_FALSE(first.ready());
  second.wait();
  EXPECT_TRUE(first.ready());
  const completion copy = first;
  copy.wait();
  EXPECT_EQ(source.waited, (std::vector<std::uint64_t>{2, 1}));
}

TEST(completion, throws_at_every_wait) {
  recorded_source source;
  const completion c(source, 100);
  EXPECT_THROW(c.wait(), peer_lost);
  EXPECT_THROW(c.wait(), peer_lost);
  EXPECT_FALSE(c.ready());
}

}  // namespace
}  // namespace zero::testing
