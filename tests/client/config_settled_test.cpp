// A zero_config as it is used: what a client may have filled in by hand, for a number of ranks.

#include "config_settled.hpp"

#include "config_texts.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <limits>

namespace zero::test {
namespace {

std::string why(const zero_config* config, int ranks) {
  try {
    static_cast<void>(client::settled(config, ranks));
  } catch (const invalid_argument& e) {
    return e.what();
  }
  return "";
}

TEST(config_settled, defaults_and_every_field_are_accepted) {
  const zero_config config = defaults();
  EXPECT_EQ(why(&config, 7), "");
  const zero_config same_again = client::settled(&config, 7);
  EXPECT_TRUE(same(same_again, config));
}

TEST(config_settled, every_field_is_checked) {
  const auto check = [](void (*spoil)(zero_config&), const std::string& expected) {
    zero_config config = defaults();
    spoil(config);
    EXPECT_EQ(why(&config, 4), expected);
  };
  check([](zero_config& c) { c.stage = 4; },
        "stage: 4 is not accepted; expected a whole number from 0 to 3");
  check([](zero_config& c) { c.rule = 17; },
        "rule: 17 is not accepted; expected one of adamw, adam, sgd, lion, adagrad, own");
  check([](zero_config& c) { c.gradient_dtype = ZERO_BF16; },
        "gradient_dtype: 1 is not accepted; expected one of fp32, same");
  check([](zero_config& c) { c.clip_norm = std::nan(""); },
        "clip_norm: null is not accepted; expected a number from 0 on");
  check([](zero_config& c) { c.group.beta1 = 1; },
        "beta1: 1.0 is not accepted; expected a number from 0 to below 1");
  check([](zero_config& c) { c.group.nesterov = 2; },
        "nesterov: 2 is not accepted; expected true or false");
  check([](zero_config& c) { c.device = -2; },
        "device: -2 is not accepted; expected a whole number from 0 to 2147483647 or none");
  check([](zero_config& c) { std::memset(c.disk_path, 'a', sizeof c.disk_path); },
        "nvme_path: null is not accepted; expected a text of at most 1023 bytes");
  check([](zero_config& c) { c.deadline_seconds = std::numeric_limits<double>::infinity(); },
        "deadline: null is not accepted; expected a number above 0 to 1000000000");
}

TEST(config_settled, fields_that_do_not_go_together) {
  const auto check = [](void (*spoil)(zero_config&), const std::string& expected) {
    zero_config config = defaults();
    spoil(config);
    EXPECT_EQ(why(&config, 6), expected);
  };
  check([](zero_config& c) { c.shard_group = 4; },
        "shard_group: 4 is not accepted; expected a divisor of the 6 ranks");
  check([](zero_config& c) { c.stage = 3, c.secondary_group = 4; },
        "secondary_group: 4 is not accepted; expected a divisor of the 6 ranks");
  check([](zero_config& c) { c.stage = 2, c.secondary_group = 2; },
        "secondary_group: 2 is not accepted; expected stage 3 beside it");
  check([](zero_config& c) { c.stage = 3, c.secondary_group = 2, c.shard_group = 2; },
        "secondary_group: 2 is not accepted; expected shard_group 0 beside it");
  check([](zero_config& c) { c.stage = 2, c.parameter_tier = ZERO_ON_HOST; },
        "offload_parameters: \"cpu\" is not accepted; expected stage 3 beside it, where "
        "parameters are sharded");
  check([](zero_config& c) { c.stage = 1, c.gradient_tier = ZERO_ON_DISK; },
        "offload_gradients: \"nvme\" is not accepted; expected stage 2 or 3 beside it, where "
        "gradients are sharded");
  check([](zero_config& c) { c.own_states = 1; },
        "own_states: 1 is not accepted; expected 0, or rule own beside it");
  check([](zero_config& c) { c.loss_scale = 0, c.least_loss_scale = 65537; },
        "first_loss_scale: 65536.0 is not accepted; expected at least least_loss_scale, which is "
        "65537.0");
}

TEST(config_settled, micro_batches_follow_from_batches_and_ranks) {
  zero_config config = defaults();
  config.batch = 24;
  config.micro_batch = 2;
  config.accumulate = 0;
  EXPECT_EQ(client::settled(&config, 4).accumulate, 3);
  EXPECT_EQ(client::settled(&config, 1).accumulate, 12);
  EXPECT_EQ(why(&config, 7),
            "batch: 24 is not accepted; expected a multiple of 2 samples by 7 ranks");
  config.accumulate = 3;
  EXPECT_EQ(why(&config, 4), "");
  EXPECT_EQ(why(&config, 1),
            "batch: 24 is not accepted; expected 6, which is 2 samples by 1 rank by 3 "
            "micro-batches");
  config.batch = 0;
  EXPECT_EQ(why(&config, 1), "");
  config.accumulate = 0;
  EXPECT_EQ(why(&config, 1),
            "accumulate: 0 is not accepted; expected 1 or more, or batch and micro_batch beside "
            "it");
}

TEST(config_settled, a_disk_has_a_directory) {
  const char* const before = std::getenv("TMPDIR");
  const std::string kept = before == nullptr ? "" : before;
  zero_config config = defaults();
  config.optimizer_tier = ZERO_ON_DISK;
  ASSERT_EQ(setenv("TMPDIR", "/of the user", 1), 0);
  EXPECT_STREQ(client::settled(&config, 1).disk_path, "/of the user");
  ASSERT_EQ(setenv("TMPDIR", std::string(1024, 'x').c_str(), 1), 0);
  EXPECT_EQ(why(&config, 1).rfind("TMPDIR: ", 0), 0U);
  std::strcpy(config.disk_path, "/said");
  EXPECT_STREQ(client::settled(&config, 1).disk_path, "/said");
  ASSERT_EQ(unsetenv("TMPDIR"), 0);
  config.disk_path[0] = '\0';
  const std::string usual = client::settled(&config, 1).disk_path;
  EXPECT_TRUE(usual == "/var/tmp" || usual == "/tmp") << usual;
  if (before != nullptr) setenv("TMPDIR", kept.c_str(), 1);
}

TEST(config_settled, an_older_struct_has_defaults_for_the_rest) {
  zero_config config = defaults();
  config.device = 12345;  // beyond what the older header has
  config.deadline_seconds = -1;
  config.struct_size = offsetof(zero_config, resident_bytes);
  const zero_config got = client::settled(&config, 1);
  EXPECT_EQ(got.device, -1);
  EXPECT_EQ(got.deadline_seconds, 30);
  EXPECT_EQ(got.struct_size, sizeof got);
  EXPECT_EQ(why(nullptr, 1), "zero_config: NULL is not accepted");
}

}  // namespace
}  // namespace zero::test
