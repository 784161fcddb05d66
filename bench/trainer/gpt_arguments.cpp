#include "trainer/gpt_arguments.hpp"

#include <zero/base/error.hpp>

#include <algorithm>
#include <string>

namespace zero::trainer {

gpt_options checked(const gpt_config& config, gpt_options options) {
  check(config);
  if (options.sequence == 0) options.sequence = config.context;
  if (options.sequence < 0 || options.sequence > config.context) {
    throw invalid_argument("a sequence of " + std::to_string(options.sequence) +
                           " tokens does not fit a model whose context is " +
                           std::to_string(config.context));
  }
  if (options.batch < 0 || options.storage == dtype::byte) {
    throw invalid_argument("a GPT computes 0 or more sequences of fp32, bf16 or fp16");
  }
  const double rows = static_cast<double>(options.batch) * options.sequence;
  if (rows * std::max(4 * config.channels, config.heads) > 2147483647.0) {  // int in BLAS
    throw invalid_argument("a batch of " + std::to_string(options.batch) + " sequences of " +
                           std::to_string(options.sequence) +
                           " tokens is too large to compute at once; make it smaller");
  }
  if (options.offload && options.recompute != recomputation::block) {
    throw invalid_argument("activations are offloaded only where blocks are computed again");
  }
  return options;
}

gpt_arguments::gpt_arguments(const gpt_config& config, const gpt_options& options)
    : config_(config), options_(checked(config, options)), sizes_(block_sizes(config)) {}

std::uint64_t gpt_arguments::matrix(int rows) const noexcept {
  return static_cast<std::uint64_t>(rows) * static_cast<std::uint64_t>(config_.channels);
}

void gpt_arguments::check_layer(int layer) const {
  if (layer < 0 || layer >= config_.layers) {
    throw invalid_argument("the model has blocks 0 to " + std::to_string(config_.layers - 1) +
                           ", not " + std::to_string(layer));
  }
}

void gpt_arguments::check_parameter(const_typed_span parameter, std::uint64_t count,
                                    const char* name) const {
  if (parameter.count != count) {
    throw invalid_argument(std::string(name) + " has " + std::to_string(count) + " elements, not " +
                           std::to_string(parameter.count));
  }
  if (parameter.type == dtype::byte ||
      (parameter.type != dtype::fp32 && options_.storage == dtype::fp32)) {
    throw invalid_argument(std::string(name) + " is " + name_of(parameter.type) +
                           ", and this gpt was made for fp32 storage only");
  }
}

void gpt_arguments::check_gradient(typed_span gradient, std::uint64_t count,
                                   const char* name) const {
  if (gradient.data != nullptr) check_parameter(gradient, count, name);
}

void gpt_arguments::check_block(const block_parameters& parameters) const {
  for (std::size_t i = 0; i < sizes_.size(); ++i) {
    check_parameter(parameters[i], sizes_[i], name_of(static_cast<block_tensor>(i)));
  }
}

void gpt_arguments::check_block(const block_gradients& gradients) const {
  for (std::size_t i = 0; i < sizes_.size(); ++i) {
    check_gradient(gradients[i], sizes_[i], name_of(static_cast<block_tensor>(i)));
  }
}

void gpt_arguments::check_embedding(const_typed_span wte, const_typed_span wpe) const {
  check_parameter(wte, matrix(config_.vocabulary), "wte.weight");
  check_parameter(wpe, matrix(config_.context), "wpe.weight");
}

void gpt_arguments::check_embedding(typed_span wte_gradient, typed_span wpe_gradient) const {
  check_gradient(wte_gradient, matrix(config_.vocabulary), "wte.weight");
  check_gradient(wpe_gradient, matrix(config_.context), "wpe.weight");
}

void gpt_arguments::check_head(const_typed_span wte) const {
  check_parameter(wte, matrix(config_.vocabulary), "wte.weight");
}

void gpt_arguments::check_head(typed_span wte_gradient) const {
  check_gradient(wte_gradient, matrix(config_.vocabulary), "wte.weight");
}

void gpt_arguments::check_tokens(span<const std::int32_t> tokens, const char* name) const {
  for (const std::int32_t token : tokens) {
    if (token < 0 || token >= config_.vocabulary) {
      throw invalid_argument(std::string(name) + " " + std::to_string(token) +
                             " is outside the vocabulary of " + std::to_string(config_.vocabulary));
    }
  }
}

void gpt_arguments::check_batch(span<const std::int32_t> tokens, int sequences) const {
  check_tokens(tokens, "token");
  if (sequences == 0 && tokens.empty()) return;
  const auto count = static_cast<std::size_t>(std::max(sequences, 0));
  if (count == 0 || tokens.empty() || tokens.size() % count != 0 || sequences > options_.batch ||
      tokens.size() / count > static_cast<std::size_t>(options_.sequence)) {
    throw invalid_argument(std::to_string(tokens.size()) + " tokens are not " +
                           std::to_string(sequences) + " sequences; this gpt takes " +
                           std::to_string(options_.batch) + " of " +
                           std::to_string(options_.sequence) + " tokens at most");
  }
}

void gpt_arguments::check_targets(span<const std::int32_t> targets, int rows) const {
  check_tokens(targets, "target");
  if (targets.size() != static_cast<std::size_t>(rows)) {
    throw invalid_argument(std::to_string(targets.size()) + " targets for " + std::to_string(rows) +
                           " tokens");
  }
}

void gpt_arguments::check_logits(int row, int rows, span<float> logits) const {
  if (row < 0 || row >= rows || logits.size() != static_cast<std::size_t>(config_.vocabulary)) {
    throw invalid_argument("logits are " + std::to_string(config_.vocabulary) +
                           " numbers of one of " + std::to_string(rows) + " rows, not " +
                           std::to_string(logits.size()) + " of row " + std::to_string(row));
  }
}

}  // namespace zero::trainer
