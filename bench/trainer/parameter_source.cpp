#include "trainer/parameter_source.hpp"

#include "trainer/llmc_checkpoint.hpp"
#include "trainer/safetensors.hpp"

#include <zero/base/error.hpp>

#include <utility>

namespace zero::trainer {

namespace {

std::string format_shape(const std::vector<std::uint64_t>& shape) {
  std::string text = "[";
  for (const std::uint64_t dimension : shape) {
    text += (text.size() > 1 ? ", " : "") + std::to_string(dimension);
  }
  return text + "]";
}

class safetensors_source final : public parameter_source {
 public:
  safetensors_source(const std::string& path, const gpt_config& config) : tensors_(path) {
    for (const partition::unit_spec& unit : model_of(config, dtype::fp32).units) {
      for (const partition::parameter_spec& parameter : unit.parameters) {
        const safetensors_entry& entry = find(parameter.name);
        if (entry.shape == parameter.shape) continue;
        throw invalid_argument("'" + path + "' has '" + entry.name + "' of " +
                               format_shape(entry.shape) + ", the model of " +
                               format_shape(parameter.shape));
      }
    }
  }

  void read(const std::string& parameter, std::uint64_t offset, span<float> out) override {
    tensors_.read(find(parameter), offset, out);
  }

 private:
  [[nodiscard]] const safetensors_entry& find(const std::string& parameter) const {
    const safetensors_entry* entry = tensors_.find(parameter);
    if (entry == nullptr) entry = tensors_.find("transformer." + parameter);
    if (entry == nullptr) {
      throw invalid_argument("'" + tensors_.path() + "' has no tensor '" + parameter + "'");
    }
    return *entry;
  }

  safetensors tensors_;
};

std::string format_numbers(const gpt_config& config) {
  return "V " + std::to_string(config.vocabulary) + ", L " + std::to_string(config.layers) +
         ", C " + std::to_string(config.channels) + ", H " + std::to_string(config.heads) + ", T " +
         std::to_string(config.context);
}

}  // namespace

std::unique_ptr<parameter_source> open_parameters(const std::string& path,
                                                  const gpt_config& config) {
  std::int32_t first = 0;
  {
    const file start = file::open(path);
    if (start.size() >= sizeof first) start.read(&first, sizeof first, 0);
  }
  if (first != llmc_checkpoint::magic) return std::make_unique<safetensors_source>(path, config);
  auto checkpoint = std::make_unique<llmc_checkpoint>(path);
  const gpt_config& found = checkpoint->config();
  if (format_numbers(found) != format_numbers(config)) {
    throw invalid_argument("'" + path + "' is a model of " + format_numbers(found) + ", not of " +
                           format_numbers(config));
  }
  return checkpoint;
}

}  // namespace zero::trainer
