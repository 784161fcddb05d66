#include "model_shapes.hpp"

#include <string>
#include <utility>

namespace zero::partition::testing {
namespace {

// Collects the parameters of one unit under a common prefix.
class unit_of {
 public:
  unit_of(std::string name, dtype type) : unit_{std::move(name), {}}, type_(type) {}
  unit_of& add(const std::string& name, std::vector<std::uint64_t> shape) {
    parameter_spec p;
    p.name = unit_.name + "." + name;
    p.shape = std::move(shape);
    p.type = type_;
    unit_.parameters.push_back(std::move(p));
    return *this;
  }
  [[nodiscard]] unit_spec take() { return std::move(unit_); }

 private:
  unit_spec unit_;
  dtype type_;
};

struct llama_shape {
  std::uint64_t vocabulary;
  std::uint64_t hidden;
  std::uint64_t intermediate;
  std::uint64_t key_value;  // heads times their width
  int layers;
};

unit_spec llama_block(const llama_shape& s, int layer, dtype type) {
  return unit_of("model.layers." + std::to_string(layer), type)
      .add("self_attn.q_proj.weight", {s.hidden, s.hidden})
      .add("self_attn.k_proj.weight", {s.key_value, s.hidden})
      .add("self_attn.v_proj.weight", {s.key_value, s.hidden})
      .add("self_attn.o_proj.weight", {s.hidden, s.hidden})
      .add("mlp.gate_proj.weight", {s.intermediate, s.hidden})
      .add("mlp.up_proj.weight", {s.intermediate, s.hidden})
      .add("mlp.down_proj.weight", {s.hidden, s.intermediate})
      .add("input_layernorm.weight", {s.hidden})
      .add("post_attention_layernorm.weight", {s.hidden})
      .take();
}

model_spec llama(const llama_shape& s, dtype type) {
  model_spec model;
  model.units.push_back(
      unit_of("model.embed_tokens", type).add("weight", {s.vocabulary, s.hidden}).take());
  for (int layer = 0; layer < s.layers; ++layer) {
    model.units.push_back(llama_block(s, layer, type));
  }
  model.units.push_back(unit_of("model.norm", type).add("weight", {s.hidden}).take());
  model.units.push_back(unit_of("lm_head", type).add("weight", {s.vocabulary, s.hidden}).take());
  return model;
}

unit_spec gpt2_block(std::uint64_t width, int layer, dtype type) {
  return unit_of("transformer.h." + std::to_string(layer), type)
      .add("ln_1.weight", {width})
      .add("ln_1.bias", {width})
      .add("attn.c_attn.weight", {width, 3 * width})
      .add("attn.c_attn.bias", {3 * width})
      .add("attn.c_proj.weight", {width, width})
      .add("attn.c_proj.bias", {width})
      .add("ln_2.weight", {width})
      .add("ln_2.bias", {width})
      .add("mlp.c_fc.weight", {width, 4 * width})
      .add("mlp.c_fc.bias", {4 * width})
      .add("mlp.c_proj.weight", {4 * width, width})
      .add("mlp.c_proj.bias", {width})
      .take();
}

}  // namespace

model_spec gpt2_xl(dtype type) {
  constexpr std::uint64_t vocabulary = 50257;
  constexpr std::uint64_t positions = 1024;
  constexpr std::uint64_t width = 1600;
  constexpr int layers = 48;
  model_spec model;
  model.units.push_back(unit_of("transformer.wte", type).add("weight", {vocabulary, width}).take());
  model.units.push_back(unit_of("transformer.wpe", type).add("weight", {positions, width}).take());
  for (int layer = 0; layer < layers; ++layer) {
    model.units.push_back(gpt2_block(width, layer, type));
  }
  model.units.push_back(
      unit_of("transformer.ln_f", type).add("weight", {width}).add("bias", {width}).take());
  model.units.push_back(unit_of("lm_head", type).add("weight", {vocabulary, width}).take());
  model.units.back().parameters.back().tied_to = "transformer.wte.weight";
  return model;
}

model_spec llama2_7b(dtype type) { return llama({32000, 4096, 11008, 4096, 32}, type); }

model_spec llama3_8b(dtype type) { return llama({128256, 4096, 14336, 1024, 32}, type); }

}  // namespace zero::partition::testing
