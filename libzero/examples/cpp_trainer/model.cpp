#include "model.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace {

// y[outs] += x[ins] * w[ins, outs]
void multiply(float* y, const float* x, const float* w, int ins, int outs) {
  for (int i = 0; i < ins; ++i, w += outs) {
    for (int o = 0; o < outs; ++o) y[o] += x[i] * w[o];
  }
}

// The backward of y = bias + x * w.
void multiply_backward(float* dx, const tensor& w, const tensor& bias, const float* dy,
                       const float* x, int ins, int outs) {
  for (int o = 0; o < outs; ++o) bias.gradient[o] += dy[o];
  for (int i = 0; i < ins; ++i) {
    float sum = 0.0F;
    for (int o = 0; o < outs; ++o) {
      sum += dy[o] * w.value[i * outs + o];
      w.gradient[i * outs + o] += x[i] * dy[o];
    }
    dx[i] += sum;
  }
}

}  // namespace

model::model(sizes given, std::size_t most_examples) : size_(given) {
  const int c = size_.channels, read = size_.history * size_.embedding;
  tensors_.emplace_back("embedding", vocabulary, size_.embedding, 0);
  tensors_.emplace_back("first.weight", read, c, 0);
  tensors_.emplace_back("first.bias", 1, c, 0);
  for (int b = 0; b < size_.blocks; ++b) {
    const std::string block = "block" + std::to_string(b);
    tensors_.emplace_back(block + ".up.weight", c, 2 * c, 1 + b);
    tensors_.emplace_back(block + ".up.bias", 1, 2 * c, 1 + b);
    tensors_.emplace_back(block + ".down.weight", 2 * c, c, 1 + b);
    tensors_.emplace_back(block + ".down.bias", 1, c, 1 + b);
  }
  tensors_.emplace_back("output.weight", c, vocabulary, 1 + size_.blocks);
  tensors_.emplace_back("output.bias", 1, vocabulary, 1 + size_.blocks);

  const auto channels = static_cast<std::size_t>(c),
             blocks = static_cast<std::size_t>(size_.blocks);
  read_.resize(most_examples * static_cast<std::size_t>(read));
  values_.assign(blocks + 1, std::vector<float>(most_examples * channels));
  hidden_.assign(blocks, std::vector<float>(most_examples * 2 * channels));
  gradient_.resize(most_examples * channels);
}

void model::initialise(unsigned seed) {
  std::uint64_t state = seed;
  for (const tensor& t : tensors_) {
    const float scale = t.fan_in == 1 ? 0.0F : 1.0F / std::sqrt(static_cast<float>(t.fan_in));
    for (std::size_t i = 0; i < t.count; ++i) {
      state = state * 6364136223846793005U + 1442695040888963407U;  // Knuth's generator
      const auto drawn = static_cast<std::int32_t>(static_cast<std::uint32_t>(state >> 32));
      t.value[i] = scale * static_cast<float>(drawn) * 0x1p-31F;
    }
  }
}

void model::input() {
  const int c = size_.channels, e = size_.embedding, read = size_.history * e;
  for (std::size_t n = 0; n < batch_->size(); ++n) {
    float* x = read_.data() + n * static_cast<std::size_t>(read);
    for (int i = 0; i < size_.history; ++i) {
      const float* row = tensors_[embedding].value + (*batch_)[n].history[i] * e;
      std::copy_n(row, e, x + i * e);
    }
    float* y = out_of(0) + n * static_cast<std::size_t>(c);
    std::copy_n(tensors_[first_bias].value, c, y);
    multiply(y, x, tensors_[first_weight].value, read, c);
  }
}

void model::block(int b) {
  const int c = size_.channels;
  const auto channels = static_cast<std::size_t>(c);
  for (std::size_t n = 0; n < batch_->size(); ++n) {
    const float* x = out_of(b) + n * channels;
    float* hidden = hidden_[static_cast<std::size_t>(b)].data() + n * 2 * channels;
    float* y = out_of(b + 1) + n * channels;
    std::copy_n(of_block(b, 1).value, 2 * c, hidden);
    multiply(hidden, x, of_block(b, 0).value, c, 2 * c);
    std::transform(hidden, hidden + 2 * c, hidden, [](float h) { return std::max(h, 0.0F); });
    std::transform(x, x + c, of_block(b, 3).value, y,
                   [](float in, float bias) { return in + bias; });
    multiply(y, hidden, of_block(b, 2).value, 2 * c, c);
  }
}

double model::output(double weight) {
  const int c = size_.channels;
  const tensor &w = tensors_[tensors_.size() - 2], &bias = tensors_.back();
  std::fill(gradient_.begin(), gradient_.end(), 0.0F);
  double loss = 0.0;
  for (std::size_t n = 0; n < batch_->size(); ++n) {
    const std::size_t at = n * static_cast<std::size_t>(c);
    float p[vocabulary];
    std::copy_n(bias.value, vocabulary, p);
    multiply(p, out_of(size_.blocks) + at, w.value, c, vocabulary);
    const float most = *std::max_element(p, p + vocabulary);
    float sum = 0.0F;
    for (float& each : p) sum += each = std::exp(each - most);
    const unsigned char next = (*batch_)[n].next;
    loss -= weight * std::log(static_cast<double>(p[next]) / static_cast<double>(sum));
    for (float& each : p) each *= static_cast<float>(weight) / sum;
    p[next] -= static_cast<float>(weight);
    multiply_backward(gradient_.data() + at, w, bias, p, out_of(size_.blocks) + at, c, vocabulary);
  }
  return loss;
}

void model::block_backward(int b) {
  const int c = size_.channels;
  const auto channels = static_cast<std::size_t>(c);
  std::vector<float> back(2 * channels);
  for (std::size_t n = 0; n < batch_->size(); ++n) {
    float* gradient = gradient_.data() + n * channels;
    const float* hidden = hidden_[static_cast<std::size_t>(b)].data() + n * 2 * channels;
    std::fill(back.begin(), back.end(), 0.0F);
    multiply_backward(back.data(), of_block(b, 2), of_block(b, 3), gradient, hidden, 2 * c, c);
    for (std::size_t i = 0; i < back.size(); ++i) back[i] = hidden[i] > 0.0F ? back[i] : 0.0F;
    multiply_backward(gradient, of_block(b, 0), of_block(b, 1), back.data(),
                      out_of(b) + n * channels, c, 2 * c);
  }
}

void model::input_backward() {
  const int c = size_.channels, e = size_.embedding, read = size_.history * e;
  std::vector<float> back(static_cast<std::size_t>(read));
  for (std::size_t n = 0; n < batch_->size(); ++n) {
    std::fill(back.begin(), back.end(), 0.0F);
    multiply_backward(back.data(), tensors_[first_weight], tensors_[first_bias],
                      gradient_.data() + n * static_cast<std::size_t>(c),
                      read_.data() + n * static_cast<std::size_t>(read), read, c);
    for (int i = 0; i < read; ++i) {
      tensors_[embedding].gradient[(*batch_)[n].history[i / e] * e + i % e] +=
          back[static_cast<std::size_t>(i)];
    }
  }
}
