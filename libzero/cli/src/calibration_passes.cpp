// The reference trainer's own passes, of one block.

#include "calibration_trials.hpp"
#include "trainer/gpt.hpp"

#include <zero/base/buffer.hpp>
#include <zero/base/memory_statistics.hpp>

#include <algorithm>
#include <cstring>
#include <vector>

namespace zero::cli {
namespace {

using namespace std::chrono_literals;

// The head goes over the vocabulary piece by piece: of more it does more of the same.
constexpr int most_vocabulary = 4096;

// Parameters of one block, an embedding and a norm, and room for their gradients.
class one_block {
 public:
  one_block(const trainer::gpt_config& config, dtype type) : type_(type) {
    for (const std::uint64_t count : trainer::block_sizes(config)) {
      const auto i = static_cast<std::size_t>(filled_++);
      parameters[i] = values(count);
      gradients[i] = room(count);
    }
    const auto c = static_cast<std::uint64_t>(config.channels);
    wte = values(c * static_cast<std::uint64_t>(config.vocabulary));
    wte_gradient = room(wte.count);
    wpe = values(c * static_cast<std::uint64_t>(config.context));
    wpe_gradient = room(wpe.count);
    norm = values(c);
    norm_gradient = room(c);
    norm_bias_gradient = room(c);
  }

  trainer::block_parameters parameters;
  trainer::block_gradients gradients;
  const_typed_span wte, wpe, norm;
  typed_span wte_gradient, wpe_gradient, norm_gradient, norm_bias_gradient;

 private:
  typed_span room(std::uint64_t count) {
    const std::uint64_t bytes = count * size_of(type_);
    taken_.emplace_back(pages_, statistics_, memory_account::buffers, bytes);
    return {taken_.back().data(), static_cast<std::size_t>(count), type_};
  }
  // Small numbers of either sign, in fp32 and, of which the first half is, in 16 bits.
  const_typed_span values(std::uint64_t count) {
    const typed_span span = room(count);
    auto* const bytes = static_cast<unsigned char*>(span.data);
    const std::size_t each = size_of(type_);
    for (std::size_t i = 0; i < span.count; ++i) {
      const float value = (static_cast<float>(i * 2654435761U % 1024) - 512.0F) / 32768.0F;
      std::uint32_t word = 0;
      std::memcpy(&word, &value, sizeof word);
      // The upper half of an fp32 is a bf16; as an fp16 it is as small.
      if (each == 2) word >>= 16;
      std::memcpy(bytes + i * each, &word, each);
    }
    return span;
  }

  dtype type_;
  int filled_ = 0;
  page_resource pages_;
  memory_statistics statistics_;
  std::vector<buffer> taken_;
};

}  // namespace

void measure_passes(const common_options& o, const measured_batch& batch, measured_machine& found) {
  trainer::gpt_config config = chosen_model(o);
  config.layers = 1;
  config.vocabulary = std::min(config.vocabulary, most_vocabulary);
  trainer::gpt_options wanted;
  wanted.batch = batch.sequences;
  wanted.sequence = batch.length;
  wanted.storage = o.dtype;
  wanted.recompute = o.recompute ? trainer::recomputation::block : trainer::recomputation::none;
  trainer::gpt model(config, wanted);
  one_block with(config, o.dtype);
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(batch.sequences) *
                                   static_cast<std::size_t>(batch.length));
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] = static_cast<std::int32_t>(i * 7919 % static_cast<std::size_t>(config.vocabulary));
  }
  const span<const std::int32_t> all(tokens);
  double loss = 0;
  constexpr auto least = 40ms;
  const double entries = config.vocabulary;
  pass_seconds& forward = found.forward;
  forward.embedding =
      seconds_of([&] { model.embed_forward(all, batch.sequences, with.wte, with.wpe); }, least);
  forward.block = seconds_of([&] { model.block_forward(0, with.parameters); }, least);
  forward.norm = seconds_of([&] { model.final_norm_forward(with.norm, with.norm); }, least);
  forward.head_entry =
      seconds_of([&] { model.head_forward(with.wte, all, &loss); }, least) / entries;
  pass_seconds& backward = found.backward;
  backward.head_entry =
      seconds_of([&] { model.head_backward(with.wte, with.wte_gradient, 1e-6F); }, least) / entries;
  backward.norm = seconds_of(
      [&] { model.final_norm_backward(with.norm, with.norm_gradient, with.norm_bias_gradient); },
      least);
  backward.block =
      seconds_of([&] { model.block_backward(0, with.parameters, with.gradients); }, least);
  backward.embedding =
      seconds_of([&] { model.embed_backward(with.wte_gradient, with.wpe_gradient); }, least);
}

}  // namespace zero::cli
