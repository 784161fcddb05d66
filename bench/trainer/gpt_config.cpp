#include "trainer/gpt_config.hpp"

#include <zero/base/error.hpp>

namespace zero::trainer {

const std::vector<gpt_config>& gpt_presets() {
  static const std::vector<gpt_config> presets = {
      {"gpt-3m", 256, 4, 256, 4, 64},
      {"gpt-4m-odd", 257, 5, 255, 5, 50},
      {"gpt-11m", 256, 6, 384, 6, 256},
      {"gpt-85m", 256, 12, 768, 12, 1024},
      {"gpt2", 50257, 12, 768, 12, 1024},
      {"gpt2-medium", 50257, 24, 1024, 16, 1024},
      {"gpt2-large", 50257, 36, 1280, 20, 1024},
      {"gpt2-xl", 50257, 48, 1600, 25, 1024},
  };
  return presets;
}

gpt_config find_gpt(const std::string& name) {
  std::string names;
  for (const gpt_config& preset : gpt_presets()) {
    if (preset.name == name) return preset;
    names += (names.empty() ? "" : ", ") + preset.name;
  }
  throw invalid_argument("no model is called '" + name + "'; there are " + names);
}

void check(const gpt_config& config) {
  const auto in_range = [](const char* what, int value) {
    if (value < 1 || value > (1 << 20)) {
      throw invalid_argument(std::string(what) + " of a model must be 1 to 1048576, not " +
                             std::to_string(value));
    }
  };
  in_range("the vocabulary", config.vocabulary);
  in_range("the layers", config.layers);
  in_range("the channels", config.channels);
  in_range("the heads", config.heads);
  in_range("the context", config.context);
  if (config.channels % config.heads != 0) {
    throw invalid_argument("the channels of a model must be a multiple of its heads, not " +
                           std::to_string(config.channels) + " channels and " +
                           std::to_string(config.heads) + " heads");
  }
}

std::uint64_t parameter_count(const gpt_config& config) {
  const auto c = static_cast<std::uint64_t>(config.channels);
  const auto embedding = static_cast<std::uint64_t>(config.vocabulary + config.context) * c;
  return embedding + static_cast<std::uint64_t>(config.layers) * (12 * c * c + 13 * c) + 2 * c;
}

}  // namespace zero::trainer
