#include "trainer/gpt_model.hpp"

#include <string>

namespace zero::trainer {

namespace {

using shape = std::vector<std::uint64_t>;

partition::parameter_spec parameter(const std::string& name, const shape& dimensions, dtype type) {
  partition::parameter_spec spec;
  spec.name = name;
  spec.shape = dimensions;
  spec.type = type;
  spec.group = dimensions.size() == 2 ? 0 : 1;
  return spec;
}

std::array<shape, block_tensor_count> block_shapes(std::uint64_t c) {
  return {shape{c}, shape{c}, shape{c, 3 * c}, shape{3 * c}, shape{c, c},     shape{c},
          shape{c}, shape{c}, shape{c, 4 * c}, shape{4 * c}, shape{4 * c, c}, shape{c}};
}

}  // namespace

const char* name_of(block_tensor tensor) noexcept {
  static constexpr std::array<const char*, block_tensor_count> names = {
      "ln_1.weight",        "ln_1.bias",        "attn.c_attn.weight", "attn.c_attn.bias",
      "attn.c_proj.weight", "attn.c_proj.bias", "ln_2.weight",        "ln_2.bias",
      "mlp.c_fc.weight",    "mlp.c_fc.bias",    "mlp.c_proj.weight",  "mlp.c_proj.bias"};
  return names[static_cast<std::size_t>(tensor)];
}

std::array<std::uint64_t, block_tensor_count> block_sizes(const gpt_config& config) {
  std::array<std::uint64_t, block_tensor_count> sizes{};
  const auto shapes = block_shapes(static_cast<std::uint64_t>(config.channels));
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    sizes[i] = 1;
    for (const std::uint64_t dimension : shapes[i]) sizes[i] *= dimension;
  }
  return sizes;
}

partition::model_spec model_of(const gpt_config& config, dtype type) {
  check(config);
  const auto v = static_cast<std::uint64_t>(config.vocabulary);
  const auto t = static_cast<std::uint64_t>(config.context);
  const auto c = static_cast<std::uint64_t>(config.channels);
  partition::model_spec model;
  model.units.push_back(
      {"embedding",
       {parameter("wte.weight", {v, c}, type), parameter("wpe.weight", {t, c}, type)}});
  const auto shapes = block_shapes(c);
  for (int layer = 0; layer < config.layers; ++layer) {
    const std::string prefix = "h." + std::to_string(layer);
    partition::unit_spec block{prefix, {}};
    for (int i = 0; i < block_tensor_count; ++i) {
      block.parameters.push_back(parameter(prefix + "." + name_of(static_cast<block_tensor>(i)),
                                           shapes[static_cast<std::size_t>(i)], type));
    }
    model.units.push_back(std::move(block));
  }
  model.units.push_back(
      {"ln_f", {parameter("ln_f.weight", {c}, type), parameter("ln_f.bias", {c}, type)}});
  return model;
}

double operations_of_step(const gpt_config& config, int sequences, int length) {
  const double c = config.channels, tokens = static_cast<double>(sequences) * length;
  const double matrices = 12.0 * c * c * config.layers + c * config.vocabulary;
  // Scores and sums of values: 2 c each for every key seen, (length + 1) / 2 on average.
  const double attention = 4.0 * c * config.layers * (length + 1.0) / 2.0;
  return tokens * (6.0 * matrices + 3.0 * attention);
}

std::vector<int> forward_order(const gpt_config& config) {
  std::vector<int> order;
  for (int unit = 0; unit <= config.layers + 1; ++unit) order.push_back(unit);
  order.push_back(0);
  return order;
}

}  // namespace zero::trainer
