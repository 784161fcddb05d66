// zero_config as a struct: its defaults, and clients whose header is older or newer.

#include "config_texts.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>
#include <vector>

namespace zero::test {
namespace {

TEST(config_struct, every_default) {
  const zero_config c = defaults();
  EXPECT_EQ(c.struct_size, sizeof(zero_config));
  EXPECT_EQ(c.stage, 0);
  EXPECT_EQ(c.shard_group, 0);
  EXPECT_EQ(c.rule, ZERO_ADAMW);
  EXPECT_EQ(c.own_states, 0);
  EXPECT_EQ(c.extra_states, 0);
  EXPECT_EQ(c.gradients, ZERO_MEAN);
  EXPECT_EQ(c.gradient_dtype, ZERO_FP32);
  EXPECT_EQ(c.accumulate, 1);
  EXPECT_EQ(c.reduce_at, ZERO_EVERY_MICRO_BATCH);
  EXPECT_EQ(c.clip_norm, 0);
  EXPECT_EQ(c.loss_scale, 1);
  EXPECT_EQ(c.apply_non_finite, 0);
  EXPECT_EQ(c.seed, 1U);
  EXPECT_EQ(c.group.struct_size, sizeof(zero_group));
  EXPECT_EQ(c.group.learning_rate_factor, 1);
  EXPECT_EQ(c.group.weight_decay, 0);
  EXPECT_EQ(c.group.beta1, 0.9F);
  EXPECT_EQ(c.group.beta2, 0.999F);
  EXPECT_EQ(c.group.epsilon, 1e-8F);
  EXPECT_EQ(c.group.momentum, 0);
  EXPECT_EQ(c.group.nesterov, 0);
  EXPECT_EQ(c.learning_rate, 1e-3);
  EXPECT_EQ(c.secondary_group, 0);
  EXPECT_EQ(c.dtype, -1);
  EXPECT_EQ(c.micro_batch, 0);
  EXPECT_EQ(c.batch, 0);
  EXPECT_EQ(c.first_loss_scale, 65536);
  EXPECT_EQ(c.loss_scale_window, 1000);
  EXPECT_EQ(c.loss_scale_hysteresis, 2);
  EXPECT_EQ(c.least_loss_scale, 1);
  EXPECT_EQ(c.optimizer_tier, ZERO_ON_DEVICE);
  EXPECT_EQ(c.gradient_tier, -1);
  EXPECT_EQ(c.parameter_tier, ZERO_ON_DEVICE);
  EXPECT_EQ(c.optimizer_ratio, 1);
  EXPECT_EQ(c.memory_budget, 0U);
  EXPECT_STREQ(c.disk_path, "");
  EXPECT_EQ(c.prefetch, 1);
  EXPECT_EQ(c.stable_addresses, 1);
  EXPECT_EQ(c.resident_bytes, 0U);
  EXPECT_EQ(c.device, -1);
  EXPECT_EQ(c.deadline_seconds, 30);
}

TEST(config_struct, sizes_that_cannot_be_are_refused) {
  zero_config config;
  std::memset(&config, 0x5A, sizeof config);
  const zero_config before = config;
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{8}, std::size_t{17},
                                 sizeof config - 1, std::size_t{65544}, SIZE_MAX}) {
    EXPECT_EQ(zero_config_init_sized(&config, size), ZERO_INVALID) << size;
    EXPECT_TRUE(same(config, before)) << size;
    zero_config asked = defaults();
    asked.struct_size = size;
    const zero_config as_was = asked;
    zero_message why{};
    EXPECT_EQ(zero_config_json(&asked, "{}", &why), ZERO_INVALID) << size;
    EXPECT_NE(std::string(why.text).find("struct_size: " + std::to_string(size)),
              std::string::npos);
    EXPECT_TRUE(same(asked, as_was)) << size;
  }
  EXPECT_EQ(zero_config_init_sized(nullptr, sizeof config), ZERO_INVALID);
}

TEST(config_struct, null_pointers_are_refused) {
  zero_config config = defaults();
  zero_message why{};
  EXPECT_EQ(zero_config_json(nullptr, "{}", &why), ZERO_INVALID);
  EXPECT_EQ(zero_config_json(&config, nullptr, &why), ZERO_INVALID);
  EXPECT_STREQ(why.text, "the JSON text: NULL is not accepted");
  EXPECT_EQ(zero_config_file(&config, nullptr, &why), ZERO_INVALID);
  EXPECT_EQ(zero_config_environment(nullptr, &why), ZERO_INVALID);
  EXPECT_EQ(zero_config_json(&config, "{", nullptr), ZERO_INVALID);
  EXPECT_TRUE(same(config, defaults()));
}

// A client whose zero_config ends before `device`; what lies behind it is not the library's.
TEST(config_struct, an_older_client_keeps_what_lies_behind_its_struct) {
  const std::size_t size = offsetof(zero_config, resident_bytes);
  std::vector<char> memory(sizeof(zero_config), '\x5A');
  auto* config = reinterpret_cast<zero_config*>(memory.data());
  ASSERT_EQ(zero_config_init_sized(config, size), ZERO_OK);
  EXPECT_EQ(config->struct_size, size);
  EXPECT_EQ(config->stable_addresses, 1);
  zero_message why{};
  ASSERT_EQ(zero_config_json(config, R"({"zero_optimization": {"stage": 2}})", &why), ZERO_OK);
  EXPECT_EQ(config->stage, 2);
  EXPECT_EQ(config->struct_size, size);
  EXPECT_EQ(zero_config_json(config, R"({"libzero": {"stage": 1, "device": 0}})", &why),
            ZERO_INVALID);
  EXPECT_STREQ(why.text,
               "libzero.device: this program was compiled with an older zero_config, which has no "
               "such field");
  EXPECT_EQ(config->stage, 2);
  for (std::size_t i = size; i < memory.size(); ++i) ASSERT_EQ(memory[i], '\x5A') << i;
}

TEST(config_struct, a_newer_client_may_set_no_field_that_is_not_known) {
  std::vector<char> memory(sizeof(zero_config) + 16, '\x5A');
  auto* config = reinterpret_cast<zero_config*>(memory.data());
  ASSERT_EQ(zero_config_init_sized(config, memory.size()), ZERO_OK);
  zero_message why{};
  EXPECT_EQ(zero_config_json(config, R"({"libzero": {"prefetch": 4}})", &why), ZERO_OK);
  EXPECT_EQ(config->prefetch, 4);
  memory.back() = 1;
  EXPECT_EQ(zero_config_json(config, R"({"libzero": {"prefetch": 5}})", &why), ZERO_INVALID);
  EXPECT_NE(std::string(why.text).find("older than the header"), std::string::npos) << why.text;
  EXPECT_EQ(config->prefetch, 4);
}

}  // namespace
}  // namespace zero::test
