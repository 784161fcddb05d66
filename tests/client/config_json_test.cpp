// zero_config from JSON: what each key becomes, and the exact words for what is refused.

#include "config_texts.hpp"

#include <gtest/gtest.h>

#include <random>

namespace zero::test {
namespace {

std::string own(const example& e) { return "{\"libzero\": {\"" + e.name + "\": " + e.json + "}}"; }

TEST(config_json, every_field_by_name) {
  for (const example& e : every_field()) {
    EXPECT_FALSE(e.holds(defaults())) << e.name;
    const taken got = of_json(own(e));
    EXPECT_EQ(got.status, ZERO_OK) << e.name << ": " << got.why;
    EXPECT_STREQ(got.why.c_str(), "");
    EXPECT_TRUE(e.holds(got.config)) << e.name;
    for (const example& other : every_field()) {
      EXPECT_EQ(other.holds(got.config), other.name == e.name) << e.name << " " << other.name;
    }
    const taken back = of_json("{\"libzero\": {\"" + e.name + "\": \"auto\"}}", got.config);
    EXPECT_TRUE(same(back.config, got.config)) << e.name;
  }
}

TEST(config_json, all_fields_together_leave_none_out) {
  std::string text;
  for (const example& e : every_field()) {
    text += (text.empty() ? "{\"libzero\": {" : ", ") + ("\"" + e.name + "\": " + e.json);
  }
  const taken got = of_json(text + "}}");
  ASSERT_EQ(got.status, ZERO_OK) << got.why;
  for (const example& e : every_field()) EXPECT_TRUE(e.holds(got.config)) << e.name;
}

// As a file that a trainer of another kind comes with.
constexpr const char* customary = R"({
  "fp16": {"enabled": "auto", "loss_scale": 0, "loss_scale_window": 1000,
           "initial_scale_power": 16, "hysteresis": 2, "min_loss_scale": 1},
  "bf16": {"enabled": true},
  "optimizer": {"type": "AdamW",
                "params": {"lr": 3e-5, "betas": [0.8, 0.95], "eps": 1e-7, "weight_decay": "auto"}},
  "zero_optimization": {
    "stage": 3,
    "offload_optimizer": {"device": "cpu", "pin_memory": true, "ratio": 0.5},
    "offload_param": {"device": "nvme", "nvme_path": "/local", "buffer_count": 5,
                      "buffer_size": 1e8, "max_in_cpu": 1e9, "pin_memory": false},
    "overlap_comm": true, "contiguous_gradients": true, "reduce_scatter": true,
    "sub_group_size": 1e9, "reduce_bucket_size": "auto", "stage3_prefetch_bucket_size": 5e7,
    "stage3_param_persistence_threshold": 1e5, "stage3_model_persistence_threshold": 1e18,
    "stage3_max_live_parameters": 1e9, "stage3_max_reuse_distance": 1e9,
    "stage3_gather_16bit_weights_on_model_save": true, "round_robin_gradients": true,
    "zero_hpz_partition_size": 4, "leaf_module": null},
  "gradient_accumulation_steps": 8, "gradient_clipping": 1.0, "steps_per_print": 2000,
  "train_batch_size": 64, "train_micro_batch_size_per_gpu": "auto",
  "wall_clock_breakdown": false, "tensorboard": {"enabled": false, "output_path": "x"},
  "activation_checkpointing": {"partition_activations": false, "number_checkpoints": null}})";

TEST(config_json, a_customary_file_means_what_it_says) {
  const taken got = of_json(customary);
  ASSERT_EQ(got.status, ZERO_OK) << got.why;
  zero_config expected = defaults();
  expected.dtype = ZERO_BF16;
  expected.learning_rate = 3e-5;
  expected.group.beta1 = 0.8F;
  expected.group.beta2 = 0.95F;
  expected.group.epsilon = 1e-7F;
  expected.stage = 3;
  expected.optimizer_tier = ZERO_ON_HOST;
  expected.optimizer_ratio = 0.5;
  expected.parameter_tier = ZERO_ON_DISK;
  std::strcpy(expected.disk_path, "/local");
  expected.resident_bytes = 200000;  // elements of two bytes
  expected.secondary_group = 4;
  expected.accumulate = 8;
  expected.clip_norm = 1;
  expected.batch = 64;
  EXPECT_TRUE(same(got.config, expected));
}

TEST(config_json, auto_and_null_are_accepted_everywhere) {
  for (const char* nothing : {"\"auto\"", "null"}) {
    std::string text = customary;
    for (const char* value : {"true", "false", "3e-5", "0.5", "1e5", "1e8", "\"nvme\"", "\"AdamW\"",
                              "[0.8, 0.95]", "2000", "\"cpu\"", "\"/local\""}) {
      const std::string old = std::string(": ") + value;
      for (std::size_t at = text.find(old); at != std::string::npos; at = text.find(old)) {
        text.replace(at, old.size(), std::string(": ") + nothing);
      }
    }
    EXPECT_EQ(of_json(text).status, ZERO_OK) << of_json(text).why;
  }
}

// Whatever a text is made into, it is taken or refused, and what is refused changes nothing.
TEST(config_json, texts_with_faults_are_taken_or_refused) {
  std::mt19937 random(7);
  const std::string original = customary;
  const std::string letters = "{}[]\",:0123456789.eE+-tfn \\x\xff\n";
  int refused = 0;
  for (int round = 0; round < 2000; ++round) {
    std::string text = original;
    for (unsigned faults = 1 + random() % 3; faults > 0; --faults) {
      const std::size_t at = random() % text.size();
      switch (random() % 3) {
        case 0:
          text[at] = letters[random() % letters.size()];
          break;
        case 1:
          text.erase(at, 1 + random() % 9);
          break;
        default:
          text.insert(at, text.substr(random() % text.size(), random() % 40));
      }
    }
    const taken got = of_json(text);
    if (got.status == ZERO_OK) continue;
    ++refused;
    ASSERT_EQ(got.status, ZERO_INVALID) << text << got.why;
    ASSERT_FALSE(got.why.empty()) << text;
    ASSERT_TRUE(same(got.config, defaults())) << text;
  }
  EXPECT_GT(refused, 1000);
}

TEST(config_json, optimizers) {
  const auto rule = [](const std::string& type, const std::string& params = "{}") {
    return of_json(R"({"optimizer": {"params": )" + params + R"(, "type": ")" + type + "\"}}")
        .config;
  };
  EXPECT_EQ(rule("Adam").rule, ZERO_ADAMW);  // as DeepSpeed has it
  EXPECT_EQ(rule("Adam", R"({"adam_w_mode": true})").rule, ZERO_ADAMW);
  EXPECT_EQ(rule("Adam", R"({"adam_w_mode": false})").rule, ZERO_ADAM);
  EXPECT_EQ(rule("adamw").rule, ZERO_ADAMW);
  EXPECT_EQ(rule("LION").group.beta2, 0.99F);
  EXPECT_EQ(rule("Lion", R"({"betas": [0.5, 0.25]})").group.beta2, 0.25F);
  EXPECT_EQ(rule("Adagrad").group.epsilon, 1e-10F);
  const zero_config sgd = rule("SGD", R"({"momentum": 0.9, "nesterov": true, "dampening": 0})");
  EXPECT_EQ(sgd.rule, ZERO_SGD);
  EXPECT_EQ(sgd.group.momentum, 0.9F);
  EXPECT_EQ(sgd.group.nesterov, 1);
}

TEST(config_json, a_rule_that_was_there_keeps_its_constants) {
  zero_config before = defaults();
  before.group.beta1 = 0.5F;
  EXPECT_EQ(of_json(R"({"optimizer": {"type": "AdamW"}})", before).config.group.beta1, 0.5F);
  EXPECT_EQ(of_json(R"({"optimizer": {"type": "Lion"}})", before).config.group.beta1, 0.9F);
}

TEST(config_json, loss_scales_of_fp16) {
  const zero_config on = of_json(R"({"fp16": {"hysteresis": 3, "min_loss_scale": 2,
      "loss_scale_window": 7, "initial_scale_power": 4, "enabled": true}})")
                             .config;
  EXPECT_EQ(on.dtype, ZERO_FP16);
  EXPECT_EQ(on.loss_scale, 0);  // dynamic, unless a number is said
  EXPECT_EQ(on.first_loss_scale, 16);
  EXPECT_EQ(on.loss_scale_window, 7);
  EXPECT_EQ(on.loss_scale_hysteresis, 3);
  EXPECT_EQ(on.least_loss_scale, 2);
  EXPECT_EQ(of_json(R"({"fp16": {"enabled": true, "loss_scale": 128}})").config.loss_scale, 128);
  const taken off = of_json(R"({"fp16": {"enabled": false, "loss_scale": 128}})");
  EXPECT_EQ(off.status, ZERO_OK) << off.why;
  EXPECT_TRUE(same(off.config, defaults()));
  zero_config half = defaults();
  half.dtype = ZERO_FP16;
  EXPECT_EQ(of_json(R"({"fp16": {"enabled": "auto", "loss_scale": 8}})", half).config.loss_scale,
            8);
}

TEST(config_json, persistence_counts_elements_of_the_dtype) {
  const std::string threshold =
      R"("zero_optimization": {"stage3_param_persistence_threshold": 10})";
  EXPECT_EQ(of_json("{" + threshold + "}").config.resident_bytes, 40U);
  EXPECT_EQ(of_json(R"({"fp16": {"enabled": true}, )" + threshold + "}").config.resident_bytes,
            20U);
}

TEST(config_json, groups_of_ranks) {
  const auto zero = [](const std::string& what) {
    return of_json(R"({"zero_optimization": {)" + what + "}}").config;
  };
  EXPECT_EQ(zero(R"("zero_hpz_partition_size": 1)").secondary_group, 0);
  EXPECT_EQ(zero(R"("mics_shard_size": -1)").shard_group, 0);
  EXPECT_EQ(zero(R"("mics_shard_size": 8)").shard_group, 8);
}

TEST(config_json, batches) {
  EXPECT_EQ(of_json(R"({"train_batch_size": 12, "train_micro_batch_size_per_gpu": 2,
                        "gradient_accumulation_steps": 3})")
                .config.accumulate,
            3);
  const zero_config open =
      of_json(R"({"train_batch_size": 12, "train_micro_batch_size_per_gpu": 2})").config;
  EXPECT_EQ(open.accumulate, 0);  // from the number of ranks, once that is known
  EXPECT_EQ(open.batch, 12);
  EXPECT_EQ(open.micro_batch, 2);
  EXPECT_EQ(of_json(R"({"train_batch_size": 12})").config.accumulate, 1);
}

TEST(config_json, checks_of_bf16) {
  EXPECT_EQ(of_json(R"({"bf16": {"enabled": true, "check_grad_overflow": false}})")
                .config.apply_non_finite,
            1);
  EXPECT_EQ(of_json(R"({"bf16": {"enabled": false, "check_grad_overflow": false}})")
                .config.apply_non_finite,
            0);
}

TEST(config_json, a_later_text_may_say_otherwise) {
  const zero_config first = of_json(R"({"zero_optimization": {"stage": 3}})").config;
  EXPECT_EQ(of_json(R"({"libzero": {"stage": 1}})", first).config.stage, 1);
}

}  // namespace
}  // namespace zero::test
