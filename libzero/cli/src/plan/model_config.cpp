// Shapes by a config.json: names and shapes are those of Hugging Face's checkpoints.

#include "json_file.hpp"
#include "plan/model_file.hpp"
#include "trainer/gpt_model.hpp"

#include <zero/base/error.hpp>

#include <fmt/format.h>

#include <array>
#include <optional>
#include <utility>

namespace zero::cli {
namespace {

using shape = std::vector<std::uint64_t>;

constexpr const char* option_name = "--model-file";
constexpr std::uint64_t most_layers = 1 << 14;
constexpr std::uint64_t most_wide = 1 << 20;
constexpr std::uint64_t most_tokens = 1 << 24;
constexpr std::uint64_t most_experts = 4096;
constexpr std::uint64_t most_tensors = 1'000'000;

// Of Llama and all that are built like it.
struct decoder {
  std::uint64_t layers = 0, hidden = 0, heads = 0, key_heads = 0, head_size = 0;
  std::uint64_t inner = 0, vocabulary = 0, context = 0;
  std::uint64_t experts = 0, experts_used = 0;
  bool tied = false, key_bias = false, out_bias = false, inner_bias = false, key_norm = false;
  bool mixtral_names = false;
};

class reader {
 public:
  reader(const json_object& whole, std::string where) : whole_(whole), where_(std::move(where)) {}

  [[nodiscard]] std::uint64_t whole(const char* key, std::uint64_t most) const {
    return whole_of(whole_, key, where_, {1, most});
  }
  [[nodiscard]] std::uint64_t whole(const char* key, std::uint64_t most,
                                    std::uint64_t otherwise) const {
    return is_there(key) ? whole(key, most) : otherwise;
  }
  [[nodiscard]] bool flag(const char* key, bool otherwise) const {
    return is_there(key) ? flag_of(whole_, key, where_) : otherwise;
  }
  [[nodiscard]] bool is_there(const char* key) const {
    const auto found = whole_.find(key);
    return found != whole_.end() && !found->is_null();
  }
  [[nodiscard]] std::string text(const char* key) const { return text_of(whole_, key, where_); }
  // Whether there is such a key, and more than nothing in it.
  [[nodiscard]] bool has_entries(const char* key) const {
    const auto found = whole_.find(key);
    return found != whole_.end() && !found->is_null() && !(found->is_array() && found->empty());
  }

  [[noreturn]] void refuse(const std::string& what) const {
    throw invalid_argument(fmt::format("{}: {}", where_, what));
  }

 private:
  const json_object& whole_;
  std::string where_;
};

partition::parameter_spec parameter(const std::string& name, const shape& dimensions, dtype type) {
  partition::parameter_spec spec;
  spec.name = name;
  spec.shape = dimensions;
  spec.type = type;
  return spec;
}

// ---- GPT-2 ----

planned_model gpt2(const reader& in, dtype type) {
  trainer::gpt_config config{"gpt2",
                             static_cast<int>(in.whole("vocab_size", most_wide)),
                             static_cast<int>(in.whole("n_layer", most_layers)),
                             static_cast<int>(in.whole("n_embd", most_wide)),
                             static_cast<int>(in.whole("n_head", most_wide)),
                             static_cast<int>(in.whole("n_positions", most_wide))};
  if (config.channels % config.heads != 0) {
    in.refuse(fmt::format("\"n_head\": {} is not accepted; expected a divisor of n_embd, {}",
                          config.heads, config.channels));
  }
  const auto channels = static_cast<std::uint64_t>(config.channels);
  const std::uint64_t inner = in.whole("n_inner", most_wide, 4 * channels);
  planned_model model;
  model.spec = trainer::model_of(config, type);
  if (inner == 4 * channels) {
    model.gpt = config;  // as zero train has it
  } else {
    for (partition::unit_spec& unit : model.spec.units) {
      if (unit.parameters.size() != trainer::block_tensor_count) continue;
      unit.parameters[trainer::mlp_fc_weight].shape = {channels, inner};
      unit.parameters[trainer::mlp_fc_bias].shape = {inner};
      unit.parameters[trainer::mlp_proj_weight].shape = {inner, channels};
    }
  }
  const int norm = config.layers + 1;
  const double block = 4.0 * double(channels) * double(channels) + 2.0 * double(channels * inner);
  model.forward.push_back({0, 0, 0});
  for (int unit = 1; unit < norm; ++unit) model.forward.push_back({unit, block, double(channels)});
  model.forward.push_back({norm, 0, 0});
  model.forward.push_back({0, double(channels) * config.vocabulary, 0});
  model.context = config.context;
  return model;
}

// ---- Llama and its like ----

decoder decoder_of(const reader& in, const std::string& kind) {
  decoder d;
  const bool mixture = kind == "mixtral" || kind == "qwen3_moe";
  d.hidden = in.whole("hidden_size", most_wide);
  d.layers = in.whole("num_hidden_layers", most_layers);
  d.heads = in.whole("num_attention_heads", most_wide);
  d.key_heads = in.whole("num_key_value_heads", most_wide, d.heads);
  d.vocabulary = in.whole("vocab_size", most_tokens);
  d.context = in.whole("max_position_embeddings", most_tokens, 4096);
  d.inner =
      in.whole(kind == "qwen3_moe" ? "moe_intermediate_size" : "intermediate_size", most_wide);
  d.tied = in.flag("tie_word_embeddings", false);
  d.mixtral_names = kind == "mixtral";
  if (mixture) {
    d.experts = in.whole(d.mixtral_names ? "num_local_experts" : "num_experts", most_experts);
    d.experts_used = in.whole("num_experts_per_tok", d.experts);
  }
  const bool biased = in.flag("attention_bias", false);
  d.key_bias = biased || kind == "qwen2";
  d.out_bias = biased;
  d.inner_bias = in.flag("mlp_bias", false);
  d.key_norm = kind == "qwen3" || kind == "qwen3_moe";
  if (!in.is_there("head_dim") && d.hidden % d.heads != 0) {
    in.refuse(fmt::format(
        "\"num_attention_heads\": {} is not accepted; expected a divisor of hidden_size, {}",
        d.heads, d.hidden));
  }
  d.head_size = in.whole("head_dim", most_wide, d.hidden / d.heads);
  if (d.heads % d.key_heads != 0) {
    in.refuse(fmt::format(
        "\"num_key_value_heads\": {} is not accepted; expected a divisor of the {} heads",
        d.key_heads, d.heads));
  }
  if (mixture && (in.whole("decoder_sparse_step", most_layers, 1) != 1)) {
    in.refuse("\"decoder_sparse_step\" is not accepted; expected 1: experts in every block");
  }
  if (mixture && in.has_entries("mlp_only_layers")) {
    in.refuse("\"mlp_only_layers\" is not accepted; expected none: experts in every block");
  }
  if (d.layers * (3 * d.experts + 16) > most_tensors) {
    in.refuse(fmt::format("{} blocks of {} experts are more than {} tensors", d.layers, d.experts,
                          most_tensors));
  }
  return d;
}

partition::unit_spec block_of(const decoder& d, std::uint64_t layer, dtype type) {
  partition::unit_spec block;
  block.name = fmt::format("model.layers.{}", layer);
  const auto add = [&](const std::string& name, const shape& dimensions) {
    block.parameters.push_back(parameter(block.name + "." + name, dimensions, type));
  };
  const auto linear = [&](const std::string& name, std::uint64_t out, std::uint64_t in, bool bias) {
    add(name + ".weight", {out, in});
    if (bias) add(name + ".bias", {out});
  };
  const std::uint64_t queries = d.heads * d.head_size;
  const std::uint64_t keys = d.key_heads * d.head_size;
  linear("self_attn.q_proj", queries, d.hidden, d.key_bias);
  linear("self_attn.k_proj", keys, d.hidden, d.key_bias);
  linear("self_attn.v_proj", keys, d.hidden, d.key_bias);
  linear("self_attn.o_proj", d.hidden, queries, d.out_bias);
  if (d.key_norm) {
    add("self_attn.q_norm.weight", {d.head_size});
    add("self_attn.k_norm.weight", {d.head_size});
  }
  const auto feed_forward = [&](const std::string& at, const std::array<const char*, 3>& names) {
    linear(at + names[0], d.inner, d.hidden, d.inner_bias);
    linear(at + names[1], d.inner, d.hidden, d.inner_bias);
    linear(at + names[2], d.hidden, d.inner, d.inner_bias);
  };
  const std::string mixture = d.mixtral_names ? "block_sparse_moe." : "mlp.";
  if (d.experts == 0) feed_forward("mlp.", {"gate_proj", "up_proj", "down_proj"});
  if (d.experts > 0) add(mixture + "gate.weight", {d.experts, d.hidden});
  for (std::uint64_t expert = 0; expert < d.experts; ++expert) {
    const std::string at = fmt::format("{}experts.{}.", mixture, expert);
    if (d.mixtral_names) {
      feed_forward(at, {"w1", "w3", "w2"});
    } else {
      feed_forward(at, {"gate_proj", "up_proj", "down_proj"});
    }
  }
  add("input_layernorm.weight", {d.hidden});
  add("post_attention_layernorm.weight", {d.hidden});
  return block;
}

planned_model model_of(const decoder& d, dtype type) {
  planned_model model;
  const shape embedding{d.vocabulary, d.hidden};
  model.spec.units.push_back(
      {"model.embed_tokens", {parameter("model.embed_tokens.weight", embedding, type)}});
  model.forward.push_back({0, 0, 0});
  const double queries = double(d.heads * d.head_size);
  const double keys = double(d.key_heads * d.head_size);
  const double expert = 3.0 * double(d.inner) * double(d.hidden);
  const double used = d.experts == 0
                          ? expert
                          : expert * double(d.experts_used) + double(d.experts) * double(d.hidden);
  const double block = double(d.hidden) * 2.0 * (queries + keys) + used;
  for (std::uint64_t layer = 0; layer < d.layers; ++layer) {
    model.forward.push_back({static_cast<int>(model.spec.units.size()), block, queries});
    model.spec.units.push_back(block_of(d, layer, type));
  }
  model.forward.push_back({static_cast<int>(model.spec.units.size()), 0, 0});
  model.spec.units.push_back({"model.norm", {parameter("model.norm.weight", {d.hidden}, type)}});
  const double head = double(d.vocabulary) * double(d.hidden);
  if (d.tied) {
    model.forward.push_back({0, head, 0});
  } else {
    model.forward.push_back({static_cast<int>(model.spec.units.size()), head, 0});
    model.spec.units.push_back({"lm_head", {parameter("lm_head.weight", embedding, type)}});
  }
  model.context = static_cast<int>(d.context);
  return model;
}

}  // namespace

planned_model read_model_config(const std::string& path, dtype type) {
  const json_object whole = read_json_file(option_name, path);
  const reader in(whole, fmt::format("{} '{}'", option_name, path));
  const std::string kind = in.text("model_type");
  planned_model model;
  if (kind == "gpt2") {
    model = gpt2(in, type);
  } else {
    bool known = false;
    for (const char* const name : {"llama", "mistral", "mixtral", "qwen2", "qwen3", "qwen3_moe"}) {
      known = known || kind == name;
    }
    if (!known) {
      in.refuse(
          fmt::format("\"model_type\": '{}' is not accepted; expected gpt2, llama, mistral, "
                      "mixtral, qwen2, qwen3 or qwen3_moe",
                      kind.substr(0, 60)));
    }
    model = model_of(decoder_of(in, kind), type);
  }
  model.name = kind;
  return model;
}

}  // namespace zero::cli
