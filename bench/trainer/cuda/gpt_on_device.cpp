// The ends of the model: memory, tokens, embedding, final LayerNorm and what goes to the host.

#include "trainer/cuda/gpt_on_device.hpp"

#include "trainer/cuda/gpt_on_device_block.hpp"
#include "trainer/cuda/make_model.hpp"

#include <zero/base/error.hpp>
#include <zero/base/native_cuda.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

namespace zero::trainer::cuda {
namespace {

using zero::cuda::checked;
using zero::cuda::current_device;
using zero::cuda::native;

template <typename Element>
std::size_t bytes_of(const gpt_config& config, const gpt_options& options) {
  device_places<Element> counted;
  return counted.place(config, options, nullptr);
}

std::size_t rows_of(const gpt_options& options) {
  return static_cast<std::size_t>(options.batch) * static_cast<std::size_t>(options.sequence);
}

std::size_t token_bytes_of(const gpt_options& options) {
  token_places counted;
  return place_tokens(counted, rows_of(options), nullptr);
}

template <typename Element>
device_places<Element> places_in(void* memory, const gpt_config& config,
                                 const gpt_options& options) {
  device_places<Element> places;
  places.place(config, options, memory);
  return places;
}

template <typename Element>
std::vector<void*> streams_of(const device_places<Element>& places) {
  return {places.streams.begin(), places.streams.end()};
}

copy_lanes lanes_of(cuda_device& device, bool offload) {
  if (!offload) return {};
  return {device.make_stream(lane::copy_out), device.make_stream(lane::copy_in),
          &device.pinned_memory(), [](void* to, const void* from, std::size_t bytes, stream& lane) {
            checked(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, native(lane)),
                    "cudaMemcpyAsync");
          }};
}

// Refuses what no kernel can do before anything is allocated.
template <typename Element>
gpt_options checked_for_device(const gpt_config& config, const gpt_options& options) {
  gpt_options result = trainer::checked(config, options);
  if (attention_kind_of<Element>(config.channels / config.heads) == attention_kind::none) {
    throw invalid_argument("a head of " + std::to_string(config.channels / config.heads) +
                           " channels is too large for attention on a GPU; give the model more "
                           "heads");
  }
  return result;
}

}  // namespace

template <typename Element>
gpt_on_device<Element>::gpt_on_device(cuda_device& device, stream& queue, const gpt_config& config,
                                      const gpt_options& options)
    : config_(config),
      options_(checked_for_device<Element>(config, options)),
      arguments_(config, options_),
      device_(device),
      queue_(queue),
      memory_(device.memory(), bytes_of<Element>(config, options_)),
      places_(places_in<Element>(memory_.data(), config, options_)),
      pinned_(device.pinned_memory(), sendings * token_bytes_of(options_)),
      streams_(queue, lanes_of(device, options_.offload), streams_of(places_), config.layers + 1,
               rows_of(options_) * static_cast<std::size_t>(config.channels) * sizeof(Element)),
      linear_(queue, places_.workspace, places_.partial),
      aside_(device.make_stream(lane::copy_out)),
      logits_(static_cast<std::size_t>(config.vocabulary)),
      keys_(rows_of(options_)) {
  const current_device here(device.ordinal());
  prepare_attention<Element>(config.channels / config.heads);
  for (std::size_t i = 0; i < sendings; ++i) {
    place_tokens(sendings_[i].at, rows_of(options_),
                 static_cast<std::uint8_t*>(pinned_.data()) + i * token_bytes_of(options_));
  }
}

template <typename Element>
gpt_on_device<Element>::~gpt_on_device() {
  try {
    queue_.record().wait();  // what is queued uses the memory
  } catch (...) {
    // Whoever had to know has waited.
  }
}

template <typename Element>
const Element* gpt_on_device<Element>::read(const_typed_span parameter) {
  if (parameter.type != dtype_of<Element>) {
    throw invalid_argument(std::string("parameters of a model on a GPU are all ") +
                           name_of(dtype_of<Element>) + ", not " + name_of(parameter.type));
  }
  return static_cast<const Element*>(parameter.data);
}

template <typename Element>
Element* gpt_on_device<Element>::add_to(typed_span gradient) {
  if (gradient.data == nullptr) return nullptr;
  return const_cast<Element*>(read(gradient));
}

template <typename Element>
void gpt_on_device<Element>::send(const void* from, void* to, std::size_t bytes) {
  checked(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, native(queue_)),
          "cudaMemcpyAsync");
}

// ---- embedding ---------------------------------------------------------------------------------

template <typename Element>
void gpt_on_device<Element>::embed_forward(span<const std::int32_t> tokens, int sequences,
                                           const_typed_span wte, const_typed_span wpe) {
  arguments_.check_embedding(wte, wpe);
  arguments_.check_batch(tokens, sequences);
  const Element* token_rows = read(wte);
  const Element* position_rows = read(wpe);
  const current_device here(device_.ordinal());
  sequences_ = sequences;
  rows_ = static_cast<int>(tokens.size());
  length_ = sequences == 0 ? 0 : rows_ / sequences;
  streams_.begin_forward(tokens.size() * static_cast<std::size_t>(config_.channels) *
                         sizeof(Element));
  if (rows_ == 0) return;
  turn_ = (turn_ + 1) % sendings;
  sending& mine = sendings_[turn_];
  mine.sent.wait();  // of a few micro-batches ago
  std::copy(tokens.begin(), tokens.end(), mine.at.tokens);
  order_ = order_tokens(tokens, keys_.data(), mine.at.order, mine.at.pieces, mine.at.joins);
  // All but the targets, which come later.
  send(mine.at.tokens, places_.tokens.tokens,
       static_cast<std::size_t>(reinterpret_cast<std::uint8_t*>(mine.at.targets) -
                                reinterpret_cast<std::uint8_t*>(mine.at.tokens)));
  mine.sent = queue_.record();
  embed_tokens(native(queue_), places_.tokens.tokens, token_rows, position_rows, stream_to_write(0),
               rows_, length_, config_.channels);
}

template <typename Element>
void gpt_on_device<Element>::embed_backward(typed_span wte_gradient, typed_span wpe_gradient) {
  arguments_.check_embedding(wte_gradient, wpe_gradient);
  Element* token_rows = add_to(wte_gradient);
  Element* position_rows = add_to(wpe_gradient);
  if (rows_ == 0) return;
  const current_device here(device_.ordinal());
  const Element* gradient = places_.gradient;
  if (token_rows != nullptr) {
    const ordered_tokens ordered{places_.tokens.order, places_.tokens.pieces, places_.tokens.joins,
                                 order_};
    add_token_gradients(native(queue_), ordered, gradient, token_rows, places_.slots,
                        config_.channels);
  }
  if (position_rows != nullptr) {
    add_position_gradients(native(queue_), gradient, position_rows, sequences_, length_,
                           config_.channels);
  }
}

// ---- LayerNorm ---------------------------------------------------------------------------------

template <typename Element>
void gpt_on_device<Element>::norm(const Element* x, const_typed_span weight, const_typed_span bias,
                                  Element* y, float* mean, float* rstd) {
  norm_forward(native(queue_), norm_forward_arguments<Element>{x, read(weight), read(bias), y, mean,
                                                               rstd, rows_, config_.channels});
}

template <typename Element>
void gpt_on_device<Element>::norm_back(const Element* x, const_typed_span weight, const float* mean,
                                       const float* rstd, const Element* dy, typed_span dweight,
                                       typed_span dbias) {
  norm_backward(native(queue_),
                norm_backward_arguments<Element>{x, read(weight), mean, rstd, dy, places_.gradient,
                                                 rows_, config_.channels});
  add_norm_gradients(native(queue_), column_shape{rows_, config_.channels},
                     norm_terms<Element>{x, dy, mean, rstd}, add_to(dweight), add_to(dbias),
                     places_.partial);
}

template <typename Element>
void gpt_on_device<Element>::final_norm_forward(const_typed_span weight, const_typed_span bias) {
  const auto c = static_cast<std::uint64_t>(config_.channels);
  arguments_.check_parameter(weight, c, "ln_f.weight");
  arguments_.check_parameter(bias, c, "ln_f.bias");
  const current_device here(device_.ordinal());
  norm(stream_to_read(config_.layers), weight, bias, places_.final_rows, places_.final_mean,
       places_.final_rstd);
}

template <typename Element>
void gpt_on_device<Element>::final_norm_backward(const_typed_span weight,
                                                 typed_span weight_gradient,
                                                 typed_span bias_gradient) {
  const auto c = static_cast<std::uint64_t>(config_.channels);
  arguments_.check_parameter(weight, c, "ln_f.weight");
  arguments_.check_gradient(weight_gradient, c, "ln_f.weight");
  arguments_.check_gradient(bias_gradient, c, "ln_f.bias");
  if (rows_ == 0) return;
  const current_device here(device_.ordinal());
  checked(cudaMemsetAsync(places_.gradient, 0,
                          static_cast<std::size_t>(rows_) * c * sizeof(Element), native(queue_)),
          "cudaMemsetAsync");
  norm_back(stream_to_read(config_.layers), weight, places_.final_mean, places_.final_rstd,
            places_.narrow, weight_gradient, bias_gradient);
  streams_.drop(config_.layers);
}

// ---- to the host -------------------------------------------------------------------------------

template <typename Element>
void gpt_on_device<Element>::fetch(const completion& after, const void* here, void* host,
                                   std::size_t bytes) {
  const current_device current(device_.ordinal());
  aside_->wait(after);
  checked(cudaMemcpyAsync(host, here, bytes, cudaMemcpyDeviceToHost, native(*aside_)),
          "cudaMemcpyAsync");
  aside_->record().wait();
}

}  // namespace zero::trainer::cuda

namespace zero::trainer {

std::unique_ptr<model> make_cuda_model(cuda_device& device, stream& queue, const gpt_config& config,
                                       const gpt_options& options) {
  switch (options.storage) {
    case dtype::fp32:
      return std::make_unique<cuda::gpt_on_device<float>>(device, queue, config, options);
    case dtype::bf16:
      return std::make_unique<cuda::gpt_on_device<bf16_t>>(device, queue, config, options);
    case dtype::fp16:
      return std::make_unique<cuda::gpt_on_device<fp16_t>>(device, queue, config, options);
    default:
      throw invalid_argument("a GPT computes in fp32, bf16 or fp16");
  }
}

}  // namespace zero::trainer
