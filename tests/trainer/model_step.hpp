#pragma once
// model_step: parameters and gradients of a whole GPT in flat memory, and one forward and backward
// over them, for tests.

#include "trainer/gpt.hpp"

#include <zero/base/float16.hpp>

#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <vector>

namespace zero::trainer::testing {

// One tensor after the other, in registration order, of one dtype, at a chosen shift in memory.
class tensor_set {
 public:
  tensor_set(const gpt_config& config, dtype type, std::size_t shift = 0) : type_(type) {
    std::size_t count = 0;
    for (const auto& unit : model_of(config, type).units) {
      for (const auto& parameter : unit.parameters) {
        std::size_t elements = 1;
        for (const auto dimension : parameter.shape) elements *= dimension;
        names_.push_back(parameter.name);
        places_[parameter.name] = {count, elements};
        count += elements;
      }
    }
    bytes_.resize((count + shift) * size_of(type));
    base_ = {bytes_.data() + shift * size_of(type), count, type};
  }

  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }
  [[nodiscard]] std::size_t size(const std::string& name) const { return places_.at(name).second; }
  [[nodiscard]] typed_span at(const std::string& name) const {
    const auto [offset, count] = places_.at(name);
    return base_.part(offset, count);
  }
  [[nodiscard]] typed_span all() const { return base_; }

  [[nodiscard]] float get(const std::string& name, std::size_t i) const {
    const typed_span element = at(name).part(i, 1);
    std::uint16_t half = 0;
    float value = 0;
    std::memcpy(type_ == dtype::fp32 ? static_cast<void*>(&value) : &half, element.data,
                size_of(type_));
    return type_ == dtype::fp32   ? value
           : type_ == dtype::bf16 ? to_float(bf16_t{half})
                                  : to_float(fp16_t{half});
  }
  void set(const std::string& name, std::size_t i, float value) {
    const std::uint16_t half = type_ == dtype::bf16 ? to_bf16(value).bits : to_fp16(value).bits;
    std::memcpy(at(name).part(i, 1).data,
                type_ == dtype::fp32 ? static_cast<const void*>(&value) : &half, size_of(type_));
  }

 private:
  dtype type_;
  std::vector<std::string> names_;
  std::map<std::string, std::pair<std::size_t, std::size_t>> places_;
  std::vector<std::uint8_t> bytes_;
  typed_span base_;
};

inline block_parameters block_of(const tensor_set& set, int layer) {
  block_parameters block;
  for (int i = 0; i < block_tensor_count; ++i) {
    block[std::size_t(i)] =
        set.at("h." + std::to_string(layer) + "." + name_of(static_cast<block_tensor>(i)));
  }
  return block;
}

inline block_gradients gradients_of(const tensor_set& set, int layer) {
  block_gradients block;
  for (int i = 0; i < block_tensor_count; ++i) {
    block[std::size_t(i)] =
        set.at("h." + std::to_string(layer) + "." + name_of(static_cast<block_tensor>(i)));
  }
  return block;
}

inline double forward(trainer::model& model, const tensor_set& p,
                      const std::vector<std::int32_t>& tokens,
                      const std::vector<std::int32_t>& targets, int sequences) {
  model.embed_forward(tokens, sequences, p.at("wte.weight"), p.at("wpe.weight"));
  for (int layer = 0; layer < model.config().layers; ++layer) {
    model.block_forward(layer, block_of(p, layer));
  }
  model.final_norm_forward(p.at("ln_f.weight"), p.at("ln_f.bias"));
  double loss = 0;
  model.head_forward(p.at("wte.weight"), targets, &loss);
  return loss;
}

inline void backward(trainer::model& model, const tensor_set& p, const tensor_set& g, float scale) {
  model.head_backward(p.at("wte.weight"), g.at("wte.weight"), scale);
  model.final_norm_backward(p.at("ln_f.weight"), g.at("ln_f.weight"), g.at("ln_f.bias"));
  for (int layer = model.config().layers - 1; layer >= 0; --layer) {
    model.block_backward(layer, block_of(p, layer), gradients_of(g, layer));
  }
  model.embed_backward(g.at("wte.weight"), g.at("wpe.weight"));
}

// Reproducible numbers in [-1, 1), from a generator of the tests' own.
class generator {
 public:
  explicit generator(std::uint32_t seed) : state_(seed) {}
  float operator()() {
    state_ = state_ * 1664525u + 1013904223u;
    return static_cast<float>(static_cast<double>(state_) / 2147483648.0 - 1.0);
  }
  std::int32_t below(int n) {
    return static_cast<std::int32_t>((static_cast<double>((*this)()) + 1) / 2 * n);
  }

 private:
  std::uint32_t state_;
};

// Weights big enough that every path of the model matters to the loss.
inline void randomise(tensor_set& parameters, std::uint32_t seed) {
  generator random(seed);
  for (const std::string& name : parameters.names()) {
    const bool norm_weight = name.find("ln_") != std::string::npos && name.back() == 't';
    for (std::size_t i = 0; i < parameters.size(name); ++i) {
      parameters.set(name, i, norm_weight ? 1.0f + 0.5f * random() : 0.5f * random());
    }
  }
}

inline std::vector<std::int32_t> random_tokens(std::size_t count, int vocabulary,
                                               std::uint32_t seed) {
  generator random(seed);
  std::vector<std::int32_t> tokens(count);
  for (auto& token : tokens) token = random.below(vocabulary);
  return tokens;
}

}  // namespace zero::trainer::testing
