// Files that `zero plan` takes and makes: shapes of models, ceilings, configurations.

#include "cli/ran.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

namespace zero::test {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::json;
using words = std::vector<std::string>;

class PlanFiles : public ::testing::Test {
 protected:
  PlanFiles() {
    std::string pattern = (fs::temp_directory_path() / "zero files XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
  }
  ~PlanFiles() override { fs::remove_all(folder_); }

  [[nodiscard]] std::string at(const std::string& name) const { return (folder_ / name).string(); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(at(name), std::ios::binary) << text;
    return at(name);
  }
  [[nodiscard]] static ran zero(const std::string& subcommand, const words& options) {
    words command{ZERO_COMMAND, subcommand};
    command.insert(command.end(), options.begin(), options.end());
    return run(command);
  }
  [[nodiscard]] static json planned(words options) {
    options.emplace_back("--json");
    const ran r = zero("plan", options);
    EXPECT_EQ(r.exit_code, 0) << r.errors;
    return json::parse(r.output);
  }
  [[nodiscard]] json read(const std::string& name) const {
    std::ifstream file(at(name));
    return json::parse(file);
  }
  static void expect_refused(const ran& r, const std::string& part, int code = 2) {
    EXPECT_EQ(r.exit_code, code) << part;
    EXPECT_EQ(r.output, "") << part;
    EXPECT_NE(r.errors.find(part), std::string::npos) << r.errors;
    EXPECT_EQ(lines_in(r.errors), 1) << r.errors;
  }
  void expect_ceilings_read_strictly(json other) const {
    other["schema"] = "zero.ceilings/2";
    const words reading{"--ceilings", write("other.json", other.dump())};
    expect_refused(zero("plan", reading),
                   "'zero.ceilings/2' is not accepted; expected zero.ceilings/1");
    other["schema"] = "zero.ceilings/1";
    other["disk_read"] = -1;
    write("other.json", other.dump());
    expect_refused(zero("plan", reading), "\"disk_read\": -1 is not accepted");
    for (const double far : {1e308, 1e-300}) {
      other["disk_read"] = far;
      write("other.json", other.dump());
      expect_refused(zero("plan", reading), "is not accepted; expected 0, or 1e-15 to 1e+18");
    }
    other.erase("disk_read");
    write("other.json", other.dump());
    expect_refused(zero("plan", reading), "there is no \"disk_read\"");
  }

  fs::path folder_;
};

words with(words all, const words& more) {
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

// The counts their makers publish.
TEST_F(PlanFiles, ModelsHaveAsManyParametersAsTheirMakersSay) {
  const json llama2{{"model_type", "llama"},        {"hidden_size", 4096},
                    {"intermediate_size", 11008},   {"num_hidden_layers", 32},
                    {"num_attention_heads", 32},    {"vocab_size", 32000},
                    {"tie_word_embeddings", false}, {"rms_norm_eps", 1e-5}};
  json llama3 = llama2;
  llama3["intermediate_size"] = 14336;
  llama3["num_key_value_heads"] = 8;
  llama3["vocab_size"] = 128256;
  json mixtral = llama3;
  mixtral["model_type"] = "mixtral";
  mixtral["vocab_size"] = 32000;
  mixtral["num_local_experts"] = 8;
  mixtral["num_experts_per_tok"] = 2;
  const json qwen2{{"model_type", "qwen2"},     {"hidden_size", 896},
                   {"intermediate_size", 4864}, {"num_hidden_layers", 24},
                   {"num_attention_heads", 14}, {"num_key_value_heads", 2},
                   {"vocab_size", 151936},      {"tie_word_embeddings", true}};
  const json qwen3{
      {"model_type", "qwen3"},   {"hidden_size", 1024},       {"intermediate_size", 3072},
      {"num_hidden_layers", 28}, {"num_attention_heads", 16}, {"num_key_value_heads", 8},
      {"head_dim", 128},         {"vocab_size", 151936},      {"tie_word_embeddings", true}};
  const json gpt2{{"model_type", "gpt2"}, {"n_embd", 768},      {"n_layer", 12},
                  {"n_head", 12},         {"n_inner", nullptr}, {"n_positions", 1024},
                  {"vocab_size", 50257}};
  const std::pair<json, std::uint64_t> all[] = {{llama2, 6738415616},   {llama3, 8030261248},
                                                {mixtral, 46702792704}, {qwen2, 494032768},
                                                {qwen3, 596049920},     {gpt2, 124439808}};
  for (const auto& [config, parameters] : all) {
    const std::string file = write("config.json", config.dump());
    const json report = planned({"--model-file", file, "--ranks", "3", "--stages", "3"});
    EXPECT_EQ(report.at("model").at("parameters"), parameters) << config;
    EXPECT_EQ(report.at("transients"), "planned");
  }
  const json same = planned({"--model", "gpt2", "--ranks", "3", "--stages", "3"});
  const json from =
      planned({"--model-file", write("config.json", gpt2.dump()), "--ranks", "3", "--stages", "3"});
  EXPECT_EQ(from.at("runs"), same.at("runs"));
}

TEST_F(PlanFiles, ASafetensorsFileIsThatModel) {
  const words tiny{"--layers",     "2",   "--channels", "24", "--heads", "3",
                   "--vocabulary", "257", "--context",  "8"};
  write("text", std::string(5000, 'a'));
  words train = tiny;
  train.insert(train.end(),
               {"--text", at("text"), "--steps", "1", "--export", at("model.safetensors")});
  ASSERT_EQ(zero("train", train).exit_code, 0);
  const words world{"--ranks", "2", "--stages", "3", "--offload", "none"};
  words named = tiny;
  named.insert(named.end(), world.begin(), world.end());
  words file{"--model-file", at("model.safetensors")};
  file.insert(file.end(), world.begin(), world.end());
  const json from = planned(file);
  EXPECT_EQ(from.at("model").at("parameters"), planned(named).at("model").at("parameters"));
  EXPECT_EQ(from.at("model").at("units"), 5);  // wpe, wte, two blocks, ln_f
  std::uint64_t header = 0;  // its first eight bytes say how long it is; the data is not needed
  std::ifstream(at("model.safetensors")).read(reinterpret_cast<char*>(&header), sizeof header);
  std::filesystem::resize_file(at("model.safetensors"), header + sizeof header);
  EXPECT_EQ(planned(file).at("runs"), from.at("runs"));
  // What is not all of it says so, and so do numbers that leave something out.
  EXPECT_EQ(from.at("activations"), "left out");
  const ran whole = zero("plan", file);
  EXPECT_EQ(whole.errors, "");
  EXPECT_NE(whole.output.find("Activations are not known"), std::string::npos) << whole.output;
  EXPECT_EQ(planned(named).at("activations"), "planned");
  fs::copy_file(at("model.safetensors"), at("model-00002-of-00004.safetensors"));
  const ran part = zero("plan", {"--model-file", at("model-00002-of-00004.safetensors")});
  EXPECT_EQ(part.exit_code, 0) << part.errors;
  EXPECT_NE(part.errors.find("is one file of 4: "), std::string::npos) << part.errors;
  std::filesystem::resize_file(at("model.safetensors"), header + sizeof header - 1);
  expect_refused(zero("plan", file), "--model-file '" + at("model.safetensors") + "'");
  std::ofstream(at("model.safetensors"), std::ios::in) << "broken";
  expect_refused(zero("plan", file), "--model-file '" + at("model.safetensors") + "'");
  expect_refused(zero("plan", {"--model-file", write("short.safetensors", "abc")}), "safetensors");
  expect_refused(zero("plan", {"--model-file", at("none.safetensors")}), "no such regular file");
}

TEST_F(PlanFiles, WhatIsNoModelIsRefusedInOneLine) {
  const std::string heads = R"("num_hidden_layers":2,"vocab_size":8,"intermediate_size":8)";
  const std::pair<std::string, std::string> all[] = {
      {"", "is no JSON"},
      {"[1]", "is no JSON object"},
      {"{\"model_type\":\"gpt2\"", "is no JSON"},
      {"{} {}", "is no JSON"},
      {std::string(100, '['), "has more than 32 levels"},
      {R"({"a":1,"a":2})", "has the key \"a\" twice"},
      {"{}", "there is no \"model_type\""},
      {R"({"model_type":7})", "\"model_type\": 7 is not accepted; expected a text"},
      {R"({"model_type":"bert"})", "\"model_type\": 'bert' is not accepted; expected gpt2"},
      // What would steer a terminal is not shown to it.
      {R"({"model_type":"\u001b[31m\u009bK\n"})", "\"model_type\": '?[31m??K ' is not accepted"},
      {R"({"model_type":"llama"})", "there is no \"hidden_size\""},
      {R"({"model_type":"llama","hidden_size":-4})", "\"hidden_size\": -4 is not accepted"},
      {R"({"model_type":"llama","hidden_size":1e300})", "\"hidden_size\": 1e+300 is not accepted"},
      {R"({"model_type":"llama","hidden_size":8,"num_attention_heads":3,)" + heads + "}",
       "expected a divisor of hidden_size, 8"},
      {R"({"model_type":"llama","hidden_size":8,"num_attention_heads":4,)"
       R"("num_key_value_heads":3,)" +
           heads + "}",
       "\"num_key_value_heads\": 3 is not accepted; expected a divisor of the 4 heads"},
      {R"({"model_type":"mixtral","hidden_size":8,"num_attention_heads":4,)"
       R"("num_local_experts":4096,"num_experts_per_tok":2,"num_hidden_layers":16000,)"
       R"("vocab_size":8,"intermediate_size":8})",
       "are more than 1000000 tensors"},
      {R"({"model_type":"qwen3_moe","hidden_size":8,"num_attention_heads":4,"num_experts":4,)"
       R"("num_experts_per_tok":2,"moe_intermediate_size":8,"mlp_only_layers":[0],)" +
           heads + "}",
       "\"mlp_only_layers\" is not accepted"},
      {R"({"model_type":"gpt2","n_embd":9,"n_layer":1,"n_head":2,"n_positions":8,"vocab_size":8})",
       "\"n_head\": 2 is not accepted; expected a divisor of n_embd, 9"},
  };
  for (const auto& [text, part] : all) {
    const std::string file = write("config.json", text);
    expect_refused(zero("plan", {"--model-file", file}), part);
  }
  expect_refused(zero("plan", {"--model-file", at("none.json")}), "there is no such file");
  expect_refused(zero("plan", {"--model-file", folder_.string()}), "is not a regular file");
  expect_refused(zero("plan", {"--model-file", write("config.json", "{}"), "--model", "gpt2"}),
                 "exclude each other");
  write("large.json", std::string((1U << 20U) + 1, ' '));
  expect_refused(zero("plan", {"--model-file", at("large.json")}), "has more than 1048576 bytes");
}

// What is measured is read back, and passes of the same model stand in the place of its operations.
TEST_F(PlanFiles, CeilingsAreMeasuredWrittenAndRead) {
  for (const char* ranks : {"1", "2"}) {
    const words model{"--model", "gpt-3m", "--ranks", ranks, "--ceilings", at("ceilings.json")};
    words measuring = model;
    measuring.emplace_back("--calibrate");
    const json now = planned(measuring);
    const json ceilings = read("ceilings.json");
    EXPECT_EQ(ceilings.at("schema"), "zero.ceilings/1");
    EXPECT_EQ(ceilings.at("ranks").dump(), ranks);
    for (const char* rate : {"memory_copy", "memory_update", "host_update", "matrix", "disk_read",
                             "disk_written", "disk_both", "host_to_device", "device_to_host"}) {
      EXPECT_GT(ceilings.at(rate), 0.0) << rate;
    }
    for (const char* rate : {"all_gather", "reduce_scatter", "call_seconds"}) {
      EXPECT_EQ(ceilings.at(rate) > 0.0, ranks[0] == '2') << rate;
    }
    for (const char* factor : {"gathered_on_demand", "gathered_ahead"}) {
      const json& times = ceilings.at("passes").at(factor);
      if (ranks[0] == '1') {
        EXPECT_EQ(times, 1.0) << factor;
      }
      EXPECT_GE(times, 1.0) << factor;
    }
    const json later = planned(model);
    EXPECT_EQ(later.at("runs"), now.at("runs"));
    EXPECT_EQ(later.at("recommendation"), now.at("recommendation"));
    // Four blocks, an embedding, a norm, and a head of 256 entries.
    double seconds = 0;
    for (const char* way : {"forward", "backward"}) {
      const json& part = ceilings.at("passes").at(way);
      seconds += 4 * part.at("block").get<double>() + part.at("embedding").get<double>() +
                 part.at("norm").get<double>() + 256 * part.at("head_entry").get<double>();
    }
    const json& run = later.at("runs").at(0);
    EXPECT_NEAR(run.at("busy_seconds").at("compute").get<double>(), seconds, 1e-9 * seconds);
    EXPECT_GE(run.at("step_seconds").at("estimate"), seconds);
  }
  json other = read("ceilings.json");
  // Only where parameters are gathered, ranks wait for each other at every unit.
  other["passes"]["gathered_ahead"] = 2.0;
  other["passes"]["gathered_on_demand"] = 5.0;
  const auto computing = [&](const std::string& stage, const std::string& ahead) {
    const json report =
        planned({"--model", "gpt-3m", "--ranks", "2", "--stages", stage, "--prefetch", ahead,
                 "--ceilings", write("waiting.json", other.dump())});
    return report.at("runs").at(0).at("busy_seconds").at("compute").get<double>();
  };
  const double free = computing("2", "0");
  EXPECT_DOUBLE_EQ(computing("0", "1"), free);
  EXPECT_NEAR(computing("3", "1"), 2 * free, 1e-9 * free);
  EXPECT_NEAR(computing("3", "2"), 2 * free, 1e-9 * free);
  EXPECT_NEAR(computing("3", "0"), 5 * free, 1e-9 * free);
  expect_ceilings_read_strictly(std::move(other));
  expect_refused(zero("plan", {"--ceilings", at("none")}), "there is no such file");
  expect_refused(zero("plan", {"--calibrate", "--ceilings", at("none/there")}), "--ceilings");
  expect_refused(zero("plan", {"--calibrate", "--parameters", "1e6"}), "--calibrate");
  expect_refused(zero("plan", {"--calibrate", "--nvme-path", at("none")}), "--nvme-path");
  expect_refused(zero("plan", {"--calibrate", "--ranks", "1000"}), "--calibrate");
}

// Ceilings as somebody made them up: nothing that was not measured looks as if it were fast.
TEST_F(PlanFiles, CeilingsOfSomethingElseAreRefused) {
  static_cast<void>(planned(
      {"--model", "gpt-3m", "--ranks", "2", "--ceilings", at("waiting.json"), "--calibrate"}));
  const json other = read("waiting.json");
  // What was told of the processor stands in the place of what it was seen to do.
  const auto told = [&](const std::string& flops) {
    return planned({"--model", "gpt-3m", "--ranks", "2", "--ceilings", at("waiting.json"),
                    "--flops", flops})
        .at("runs")
        .at(0)
        .at("busy_seconds")
        .at("compute")
        .get<double>();
  };
  EXPECT_NEAR(told("1e9"), 10 * told("1e10"), 1e-6 * told("1e9"));
  // Of as many ranks and the same numbers there is nothing to say.
  const words as_measured{"--model", "gpt-3m", "--ceilings", at("waiting.json"), "--ranks", "2"};
  EXPECT_EQ(zero("plan", as_measured).errors, "");
  const ran differs = zero("plan", with(as_measured, {"--dtype", "bf16"}));
  EXPECT_EQ(differs.exit_code, 0);
  EXPECT_NE(differs.errors.find("are of fp32 with 2 ranks: seconds of bf16 with 2 ranks"),
            std::string::npos)
      << differs.errors;
  const ran wider = zero("plan", with(as_measured, {"--sequence", "32"}));
  EXPECT_EQ(wider.exit_code, 0);
  EXPECT_NE(wider.errors.find("has passes of 256 channels, 4 heads and 64 tokens, not of 256, 4"),
            std::string::npos)
      << wider.errors;
  // A rate that was not measured is not one of which nothing is faster.
  json lacking = other;
  lacking["disk_read"] = 0;
  const words on_disk{"--ranks", "2", "--ceilings", write("lacking.json", lacking.dump())};
  expect_refused(zero("plan", on_disk), "has no rates of a disk");
  EXPECT_EQ(zero("plan", with(on_disk, {"--offload", "none,cpu"})).exit_code, 0);
  EXPECT_EQ(zero("plan", with(on_disk, {"--nvme-bandwidth", "1GB"})).exit_code, 0);
  lacking = other;
  lacking["all_gather"] = 0;
  write("lacking.json", lacking.dump());
  expect_refused(zero("plan", on_disk), "has no rates of collectives");
  lacking = other;
  lacking["device"] = "cuda";
  write("lacking.json", lacking.dump());
  expect_refused(zero("plan", on_disk), "'cuda' is not accepted with --device cpu");
  lacking["dtype"] = "fp99";
  write("lacking.json", lacking.dump());
  expect_refused(zero("plan", on_disk), "\"dtype\": 'fp99' is not accepted; expected fp32, bf16");
}

// Bytes of the largest model there may be are not cut off at 64 bits.
TEST_F(PlanFiles, CountsTheBytesOfTheLargestModel) {
  const json report = planned({"--parameters", "1e16", "--stages", "0", "--offload", "none"});
  EXPECT_EQ(report.at("runs").at(0).at("memory").at(0).at("state"), 160'000'000'000'000'000U);
}

TEST_F(PlanFiles, SaysWhyWhatFitsIsNotRecommended) {
  const ran r = zero("plan", {"--ranks", "4", "--stages", "hybrid1", "--shard-group", "2"});
  EXPECT_EQ(r.exit_code, 0) << r.errors;
  EXPECT_NE(r.output.find("a configuration cannot say"), std::string::npos) << r.output;
}

// What is recommended for a budget runs inside it, and the bytes are those of the plan.
TEST_F(PlanFiles, ARecommendationIsTrained) {
  write("text", std::string(5000, 'b'));
  for (const char* budget : {"40MiB", "30MiB", "27MiB", "24MiB", "21MiB"}) {
    const words common{"--model", "gpt-3m", "--ranks", "2", "--nvme-path", folder_.string()};
    words plan = common;
    plan.insert(plan.end(), {"--dtype", "bf16", "--batch", "4", "--memory-budget", budget,
                             "--recommend", at("config.json")});
    const json report = planned(plan);
    const json& recommended = report.at("recommendation");
    ASSERT_FALSE(recommended.is_null()) << budget;
    EXPECT_NE(recommended.at("reason"), "");
    EXPECT_EQ(read("config.json"), recommended.at("config"));
    EXPECT_EQ(recommended.at("config").at("libzero").at("offload_gradients"),
              recommended.at("offload_gradients"))
        << "left open, a budget would move them";
    words train = common;
    train.insert(train.end(), {"--text", at("text"), "--steps", "1", "--config", at("config.json"),
                               "--json", at("run.json")});
    const ran trained = zero("train", train);
    ASSERT_EQ(trained.exit_code, 0) << trained.errors;
    std::ifstream file(at("run.json"));
    std::string last;
    for (std::string line; std::getline(file, line);) last = line;
    const json run = json::parse(last);
    EXPECT_EQ(run.at("dtype"), "bf16");
    EXPECT_EQ(run.at("batch"), 4);
    for (const char* same : {"policy", "offload_optimizer", "offload_gradients",
                             "offload_parameters", "offload_ratio", "accumulate"}) {
      EXPECT_EQ(run.at(same), recommended.at(same)) << budget << " " << same;
    }
    for (const json& rank : run.at("memory")) {
      EXPECT_EQ(rank.at("measured").at("peak"), recommended.at("peak")) << budget;
    }
    // What is given beside it counts.
    train.insert(train.end(), {"--dtype", "fp32", "--memory-budget", "1GiB"});
    EXPECT_EQ(zero("train", train).exit_code, 0);
  }
  expect_refused(zero("plan", {"--model", "gpt-3m", "--memory-budget", "1MiB", "--recommend",
                               at("none.json")}),
                 "nothing that was looked at fits", 6);
  EXPECT_FALSE(fs::exists(at("none.json")));
}

TEST_F(PlanFiles, ConfigurationsThatNoTrainingCanHaveAreRefused) {
  const std::pair<std::string, std::string> all[] = {
      {R"({"libzero":{"rule":"own"}})", "libzero.rule: own is not accepted"},
      {R"({"libzero":{"extra_states":1}})", "libzero.extra_states: 1 is not accepted"},
      {R"({"libzero":{"gradients":"sum"}})", "libzero.gradients"},
      {R"({"libzero":{"shard_group":2}})", "libzero.shard_group: 2 is not accepted"},
      {R"({"libzero":{"stage":4}})", "libzero.stage: 4 is not accepted"},
      {R"({"libzero":{"depth":4}})", "libzero.depth is not known"},
      {R"({"libzero":{"batch":7,"micro_batch":2,"accumulate":0}})", "libzero.batch: 7"},
      {"broken", "not JSON"},
  };
  for (const auto& [text, part] : all) {
    expect_refused(zero("train", {"--config", write("config.json", text)}), part);
  }
  expect_refused(zero("train", {"--config", at("none")}), "--config");
  write("config.json", R"({"libzero":{"batch":2}})");
  expect_refused(
      zero("train", {"--ranks", "3", "--config", at("config.json")}),
      "--batch 2 is not accepted with 3 ranks; expected a sequence for each (--config '");
}

}  // namespace
}  // namespace zero::test
