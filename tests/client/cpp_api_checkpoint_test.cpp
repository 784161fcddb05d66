// Checkpoints in C++: what was saved is found again, at another world too, and errors are
// exceptions that leave the optimizer of use.

#include "cpp_api_model.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <type_traits>
#include <utility>

static_assert(!std::is_copy_constructible_v<zero::checkpoint_directory>);
static_assert(std::is_nothrow_move_constructible_v<zero::checkpoint_directory>);
static_assert(std::is_nothrow_move_assignable_v<zero::checkpoint_directory>);

namespace zero::test {
namespace {

class scratch {
 public:
  scratch() {
    std::string name = ::testing::TempDir() + "/zero_cpp_XXXXXX";
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path = name;
  }
  ~scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  std::string path;
};

TEST(cpp_checkpoints, are_found_again_at_another_world) {
  const scratch at;
  std::string saved;
  std::vector<float> whole;
  everywhere(3, [&](ranks& among) {
    optimizer z(config_of(2, ZERO_ADAMW), among);
    model m(z);
    checkpoint_directory kept(z, at.path);
    EXPECT_EQ(kept.load().found, 0);
    for (int step = 0; step < 2; ++step) {
      m.gradients(step);
      z.step(0.125);
    }
    kept.save(20, {{"text", "page 7"}, {"empty", ""}});
    EXPECT_EQ(kept.finish().step, 20U);
    const std::string digest = z.digest();
    const std::vector<float> now = m.whole();
    if (z.rank() != 0) return;
    saved = digest;
    whole = now;
  });
  everywhere(2, [&](ranks& among) {
    optimizer z(config_of(3, ZERO_ADAMW), among);
    model m(z);
    checkpoint_config how;
    how.background = 1;
    checkpoint_directory opened(z, at.path, how);
    checkpoint_directory kept(std::move(opened));
    const zero_checkpoint_report found = kept.load();
    EXPECT_EQ(found.step, 20U);
    EXPECT_EQ(found.updates, 2U);
    EXPECT_EQ(kept.attachment("text"), "page 7");
    EXPECT_EQ(kept.attachment("empty"), "");
    EXPECT_TRUE(kept.passed_over().empty());
    EXPECT_EQ(z.digest(), saved);
    EXPECT_EQ(m.whole(), whole);
    m.gradients(2);
    z.step(0.125);
    kept.save(21);
    EXPECT_EQ(kept.close(), ZERO_OK);
    EXPECT_THROW(kept.save(22), refused_call);
  });
  EXPECT_TRUE(std::filesystem::exists(at.path + "/step-000000000021"));
}

TEST(cpp_checkpoints, throw_what_the_call_came_to_and_poison_nothing) {
  const scratch at;
  everywhere(1, [&](ranks& among) {
    optimizer z(config_of(1, ZERO_ADAMW), among);
    model m(z);
    checkpoint_directory kept(z, at.path);
    EXPECT_THROW(checkpoint_directory(z, at.path), refused_call);
    kept.save(3);
    EXPECT_THROW(kept.save(3), refused_call);
    EXPECT_THROW(static_cast<void>(kept.attachment("nothing")), refused_call);
    std::filesystem::remove_all(at.path);
    try {
      kept.save(4);
      ADD_FAILURE() << "there is no directory";
    } catch (const client_error& e) {
      EXPECT_FALSE(e.poisoned());
    }
    m.gradients(0);
    z.step(0.125);
    z.close();
    EXPECT_THROW(kept.save(5), refused_call);
  });
}

}  // namespace
}  // namespace zero::test
