#pragma once
// A residual network that guesses the next byte from the last few: one tensor a parameter, backward
// by hand, gradients added to. Knows nothing of ranks. One thread.

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

// A parameter and its gradient. Where they lie is settled later: in `allocate`, or wherever `value`
// and `gradient` are pointed to.
class tensor {
 public:
  tensor(std::string given, int rows, int columns, int part_of)
      : name(std::move(given)),
        count(static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns)),
        fan_in(rows),
        part(part_of) {}

  void allocate() {
    memory_.assign(2 * count, 0.0F);
    value = memory_.data();
    gradient = value + count;
  }
  void clear_gradient() const { std::fill_n(gradient, count, 0.0F); }

  std::string name;
  std::size_t count;
  int fan_in;
  int part;  // 0: embedding and first layer, 1 + b: block b, then the output
  float* value = nullptr;
  float* gradient = nullptr;

 private:
  std::vector<float> memory_;
};

struct sizes {
  int blocks = 4;
  int channels = 48;
  int history = 8;     // bytes to guess from
  int embedding = 12;  // numbers a byte
};

struct example {
  const unsigned char* history;
  unsigned char next;
};

class model {
 public:
  static constexpr int vocabulary = 256;

  model(sizes given, std::size_t most_examples);

  std::vector<tensor>& tensors() { return tensors_; }
  [[nodiscard]] int parts() const { return size_.blocks + 2; }
  void initialise(unsigned seed);

  void begin(const std::vector<example>& batch) { batch_ = &batch; }
  void input();
  void block(int b);
  // Sum of weight * loss over the batch, and the backward of the output layer.
  double output(double weight);
  void block_backward(int b);
  void input_backward();

 private:
  enum { embedding, first_weight, first_bias, per_block };  // then four a block, then two
  [[nodiscard]] const tensor& of_block(int b, int i) const {
    return tensors_[static_cast<std::size_t>(per_block + 4 * b + i)];
  }
  float* out_of(int b) { return values_[static_cast<std::size_t>(b)].data(); }

  sizes size_;
  std::vector<tensor> tensors_;
  const std::vector<example>* batch_ = nullptr;
  std::vector<float> read_;                 // [examples, history * embedding]
  std::vector<std::vector<float>> values_;  // [blocks + 1][examples, channels], in front of each
  std::vector<std::vector<float>> hidden_;  // [blocks][examples, 2 * channels], after the ReLU
  std::vector<float> gradient_;             // [examples, channels], of what comes after
};
