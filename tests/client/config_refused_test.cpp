// What a JSON configuration may not say, and the message word for word.

#include "config_texts.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace zero::test {
namespace {

struct refused {
  std::string text;
  std::string why;
};

// Nothing has changed, whatever the text also said.
void expect_refused(const std::vector<refused>& table) {
  zero_config before = defaults();
  before.stage = 2;
  before.prefetch = 5;
  for (const refused& r : table) {
    const taken got = of_json(r.text, before);
    EXPECT_EQ(got.status, ZERO_INVALID) << r.text.substr(0, 200);
    EXPECT_EQ(got.why, r.why) << r.text.substr(0, 200);
    EXPECT_TRUE(same(got.config, before)) << r.text.substr(0, 200);
  }
}

TEST(config_refused, values) {
  expect_refused({
      {R"({"zero_optimization": {"stage": 4}})",
       "zero_optimization.stage: 4 is not accepted; expected a whole number from 0 to 3"},
      {R"({"zero_optimization": {"stage": -1}})",
       "zero_optimization.stage: -1 is not accepted; expected a whole number from 0 to 3"},
      {R"({"zero_optimization": {"stage": 1.5}})",
       "zero_optimization.stage: 1.5 is not accepted; expected a whole number from 0 to 3"},
      {R"({"libzero": {"prefetch": 1, "stage": "3"}})",
       "libzero.stage: \"3\" is not accepted; expected a whole number from 0 to 3"},
      {R"({"libzero": {"stage": true}})",
       "libzero.stage: true is not accepted; expected a whole number from 0 to 3"},
      {R"({"libzero": {"stage": [3]}})",
       "libzero.stage: [3] is not accepted; expected a whole number from 0 to 3"},
      {R"({"libzero": {"device": -1}})",
       "libzero.device: -1 is not accepted; expected a whole number from 0 to 2147483647 or none"},
      {R"({"libzero": {"accumulate": 4294967297}})",
       "libzero.accumulate: 4294967297 is not accepted; expected a whole number from 0 to "
       "2147483647"},
      {R"({"libzero": {"seed": 18446744073709551616}})",
       "libzero.seed: 1.8446744073709552e+19 is not accepted; expected a whole number from 0 on"},
      {R"({"gradient_clipping": -0.5})",
       "gradient_clipping: -0.5 is not accepted; expected a number from 0 on"},
      {R"({"gradient_clipping": 1e300})",
       "gradient_clipping: 1e+300 is not accepted; expected a number from 0 on"},
      {R"({"optimizer": {"params": {"betas": [0.9]}}})",
       "optimizer.params.betas: [0.9] is not accepted; expected two numbers"},
      {R"({"optimizer": {"params": {"betas": [0.9, 1.0]}}})",
       "optimizer.params.betas[1]: 1.0 is not accepted; expected a number from 0 to below 1"},
      {R"({"optimizer": {"params": {"betas": [0.9, 0.99999999999]}}})",
       "optimizer.params.betas[1]: 0.99999999999 is not accepted; expected a number from 0 to "
       "below 1"},
      {R"({"optimizer": {"params": {"nesterov": 1}}})",
       "optimizer.params.nesterov: 1 is not accepted; expected true or false"},
      {R"({"optimizer": {"type": "Lamb"}})",
       "optimizer.type: \"Lamb\" is not accepted; expected one of Adam, AdamW, SGD, Lion, Adagrad"},
      {R"({"optimizer": {"type": "own"}})",
       "optimizer.type: \"own\" is not accepted; expected one of Adam, AdamW, SGD, Lion, Adagrad"},
      {R"({"optimizer": {"type": "SGD", "params": {"adam_w_mode": false}}})",
       "optimizer.params.adam_w_mode: false is not accepted; expected optimizer.type Adam beside "
       "it"},
  });
}

TEST(config_refused, values_of_sections) {
  expect_refused({
      {R"({"zero_optimization": {"offload_optimizer": {"device": "disk"}}})",
       "zero_optimization.offload_optimizer.device: \"disk\" is not accepted; expected one of "
       "none, cpu, nvme"},
      {R"({"zero_optimization": {"offload_optimizer": {"ratio": 1.5}}})",
       "zero_optimization.offload_optimizer.ratio: 1.5 is not accepted; expected a number from 0 "
       "to 1"},
      {R"({"libzero": {"memory_budget": "2 parsecs"}})",
       "libzero.memory_budget: \"2 parsecs\" is not accepted; expected bytes: 4096, \"512MiB\", "
       "\"1.5GB\""},
      {R"({"libzero": {"deadline": 0}})",
       "libzero.deadline: 0 is not accepted; expected a number above 0 to 1000000000"},
      {R"({"fp16": {"initial_scale_power": 33}})",
       "fp16.initial_scale_power: 33 is not accepted; expected a whole number from 0 to 32"},
      {R"({"fp16": {"loss_scale_window": 0}})",
       "fp16.loss_scale_window: 0 is not accepted; expected a whole number from 1 to 2147483647"},
      {R"({"fp16": {"enabled": 1}})", "fp16.enabled: 1 is not accepted; expected true or false"},
      {R"({"bf16": {"enabled": true, "check_grad_overflow": 2}})",
       "bf16.check_grad_overflow: 2 is not accepted; expected true or false"},
      {R"({"data_types": {"grad_accum_dtype": "bf16"}})",
       "data_types.grad_accum_dtype: \"bf16\" is not accepted; expected fp32"},
      {R"({"fp16": {"enabled": true}, "data_types": {"grad_accum_dtype": "bf16"}})",
       "data_types.grad_accum_dtype: \"bf16\" is not accepted; expected fp32 or fp16"},
      {R"({"zero_optimization": {"zero_hpz_partition_size": 0}})",
       "zero_optimization.zero_hpz_partition_size: 0 is not accepted; expected a whole number "
       "from 1 on"},
      {R"({"zero_optimization": {"mics_shard_size": 0}})",
       "zero_optimization.mics_shard_size: 0 is not accepted; expected -1 or a whole number from "
       "1 on"},
      {R"({"zero_optimization": {"stage3_param_persistence_threshold": 1e30}})",
       "zero_optimization.stage3_param_persistence_threshold: 1e+30 is not accepted; expected a "
       "count of elements, from 0 to 2^60"},
      {R"({"train_batch_size": 0})",
       "train_batch_size: 0 is not accepted; expected a whole number from 1 on"},
      {R"({"zero_optimization": {"reduce_bucket_size": -5}})",
       "zero_optimization.reduce_bucket_size: -5 is not accepted; expected a whole number from 0 "
       "on"},
      {R"({"zero_optimization": {"round_robin_gradients": "yes"}})",
       "zero_optimization.round_robin_gradients: \"yes\" is not accepted; expected true or false"},
      {"{\"libzero\": {\"nvme_path\": \"" + std::string(1024, 'a') + "\"}}",
       "libzero.nvme_path: \"" + std::string(59, 'a') +
           "... is not accepted; expected a text of at most 1023 bytes"},
      {R"({"libzero": {"nvme_path": "a\u0000b"}})",
       "libzero.nvme_path: \"a\\u0000b\" is not accepted; expected a text of at most 1023 bytes"},
  });
}

TEST(config_refused, what_is_known_and_not_supported) {
  expect_refused({
      {R"({"zero_optimization": {"overlap_comm": false}})",
       "zero_optimization.overlap_comm: false is not accepted; expected true or \"auto\": it is "
       "always so"},
      {R"({"zero_optimization": {"zero_quantized_weights": true}})",
       "zero_optimization.zero_quantized_weights: true is not accepted; expected false or "
       "\"auto\": what ranks exchange is not quantized"},
      {R"({"gradient_predivide_factor": 2})",
       "gradient_predivide_factor: 2 is not accepted; expected 1 or \"auto\": gradients are "
       "divided once, by the ranks"},
      {R"({"optimizer": {"params": {"dampening": 0.5}}})",
       "optimizer.params.dampening: 0.5 is not accepted; expected 0 or \"auto\": the update rule "
       "does not do that"},
      {R"({"scheduler": {"type": "WarmupLR"}})",
       "scheduler is known and not supported: the trainer gives the learning rate of every step"},
      {R"({"tensorboard": {"enabled": true}})",
       "tensorboard: {\"enabled\":true} is not accepted; expected an object with \"enabled\": "
       "false or \"auto\": the library prints nothing; zero_report_json says what it did"},
      {R"({"activation_checkpointing": {"profile": true}})",
       "activation_checkpointing: {\"profile\":true} is not accepted; expected an object in which "
       "all is false, 0 or null or \"auto\": that is the trainer's own business"},
      {R"({"zero_optimization": {"stage3_model_persistence_threshold": 1e6}})",
       "zero_optimization.stage3_model_persistence_threshold: 1000000.0 is not accepted; expected "
       "a number from 1e15 on, which is no limit, or \"auto\": say "
       "stage3_param_persistence_threshold"},
  });
}

TEST(config_refused, unknown_keys_name_the_nearest) {
  const std::string monster(500000, 'x');
  expect_refused({
      {R"({"zero_optimization": {"stagee": 3}})",
       "zero_optimization.stagee is not known; the nearest known key is zero_optimization.stage"},
      {R"({"zero_optimisation": {"stage": 3}})",
       "zero_optimisation is not known; the nearest known key is zero_optimization"},
      {R"({"stage": 3})", "stage is not known; the nearest known key is libzero.stage"},
      {R"({"zero_optimization": {"offload_param": {"nvmepath": ""}}})",
       "zero_optimization.offload_param.nvmepath is not known; the nearest known key is "
       "zero_optimization.offload_param.nvme_path"},
      {R"({"libzero": {"memory_budgets": 3}})",
       "libzero.memory_budgets is not known; the nearest known key is libzero.memory_budget"},
      {"{\"" + monster + "\": 1}",
       std::string(100, 'x') +
           "... is not known; the nearest known key is optimizer.params.maximize"},
      {R"({"fp16": true})", "fp16: true is not accepted; expected an object"},
      {R"({"zero_optimization": {"stage": {"x": 1}}})",
       "zero_optimization.stage: {\"x\":1} is not accepted; expected a whole number from 0 to 3"},
  });
}

TEST(config_refused, contradictions) {
  expect_refused({
      {R"({"zero_optimization": {"stage": 3}, "libzero": {"stage": 1}})",
       "libzero.stage: 1 contradicts zero_optimization.stage: 3"},
      {R"({"fp16": {"enabled": true}, "bf16": {"enabled": true}})",
       "fp16.enabled: \"fp16\" contradicts bf16.enabled: \"bf16\""},
      {R"({"zero_optimization": {"offload_param": {"nvme_path": "/a"},
                                 "offload_optimizer": {"nvme_path": "/b"}}})",
       "zero_optimization.offload_param.nvme_path: \"/a\" contradicts "
       "zero_optimization.offload_optimizer.nvme_path: \"/b\""},
      {R"({"train_batch_size": 13, "train_micro_batch_size_per_gpu": 2,
           "gradient_accumulation_steps": 3})",
       "train_batch_size: 13 is not accepted; expected a multiple of 6, which is 2 samples by 3 "
       "micro-batches"},
  });
  EXPECT_EQ(of_json(R"({"zero_optimization": {"stage": 3}, "libzero": {"stage": 3}})").status,
            ZERO_OK);
}

TEST(config_refused, texts_that_are_no_configuration) {
  const std::string deep = "{\"scheduler\": " + std::string(100000, '[') + std::string(100000, ']');
  expect_refused({
      {R"({"stage": 1, "stage": 1})", "the key \"stage\" is there twice"},
      {R"({"scheduler": [{"a": {"b": 1}}, {"b": 1, "b": 2}]})", "the key \"b\" is there twice"},
      {deep + "}", "more than 32 levels of nesting"},
      {"[]", "the text: [] is not accepted; expected a JSON object"},
      {"3", "the text: 3 is not accepted; expected a JSON object"},
  });
  for (const std::string text :
       {"", " ", "{", "{} {}", "{}x", "{\"libzero\": {\"seed\": NaN}}", "{'libzero': {}}",
        "{\"libzero\": {\"clip_norm\": Infinity}}", "{\"libzero\": {\"clip_norm\": 1e999}}",
        "{} // no comments", "{\"libzero\": {\"seed\": 1,}}",
        "{\"libzero\": {\"nvme_path\": \"\xff\"}}"}) {
    const taken got = of_json(text);
    EXPECT_EQ(got.status, ZERO_INVALID) << text;
    EXPECT_EQ(got.why.rfind("not JSON: ", 0), 0U) << text << ": " << got.why;
    EXPECT_EQ(got.why.find("json.exception"), std::string::npos) << got.why;
    EXPECT_TRUE(same(got.config, defaults())) << text;
  }
}

class config_file : public testing::Test {
 protected:
  config_file() {
    folder_ = std::filesystem::temp_directory_path() /
              ("config " + std::to_string(::testing::UnitTest::GetInstance()->random_seed()) +
               testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directories(folder_);
  }
  ~config_file() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& text) const {
    const std::string path = folder_ / "a b.json";
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  static taken of(const std::string& path) {
    taken result;
    zero_message why{};
    result.status = zero_config_file(&result.config, path.c_str(), &why);
    result.why = why.text;
    return result;
  }

  std::filesystem::path folder_;
};

TEST_F(config_file, is_taken) {
  const taken got = of(write(R"({"zero_optimization": {"stage": 3}})"));
  EXPECT_EQ(got.status, ZERO_OK) << got.why;
  EXPECT_EQ(got.config.stage, 3);
}

TEST_F(config_file, messages_begin_with_its_path) {
  const std::string path = write(R"({"gradient_clipping": "much"})");
  EXPECT_EQ(of(path).why,
            path + ": gradient_clipping: \"much\" is not accepted; expected a number from 0 on");
  EXPECT_TRUE(same(of(path).config, defaults()));
}

TEST_F(config_file, missing_too_large_or_none) {
  const std::string missing = folder_ / "none.json";
  EXPECT_EQ(of(missing).status, ZERO_INVALID);
  EXPECT_EQ(of(missing).why, missing + ": there is no such file");
  EXPECT_EQ(of(folder_).why, folder_.string() + ": is not a regular file");
  EXPECT_EQ(of("/dev/zero").why, "/dev/zero: is not a regular file");
  const std::string full = "{" + std::string((1 << 20) - 2, ' ') + "}";
  EXPECT_EQ(of(write(full)).status, ZERO_OK);
  const std::string path = write(full + " ");
  EXPECT_EQ(of(path).status, ZERO_INVALID);
  EXPECT_EQ(of(path).why, path + ": has more than 1048576 bytes");
}

}  // namespace
}  // namespace zero::test
