#pragma once
// A trainer as its author wrote it: flat buffers, hand-written backward, pointers cached at the
// start. A chain of residual layers between an elementwise embedding and a linear head:
//
//     h_0 = e * x,  h_l+1 = h_l + (W_l h_l + b_l) / 8,  y = o . h_L,  loss = (y - t)^2 / 2
//
// Tensors, back to back: e [D], W [L, D, D], b [L, D], o [D]. Beside it the same in double, of all
// ranks together and without the library.

#include "ranks_handle.hpp"

#include <zero/base/span.hpp>
#include <zero/collectives/shared_memory.hpp>
#include <zero/zero.h>

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace zero::testing {

struct flat_run {
  int stage = 0;
  int rule = ZERO_ADAMW;
  int gradients = ZERO_MEAN;
  int steps = 5;
  int micro_batches = 1;
  int reduce_at = ZERO_EVERY_MICRO_BATCH;
  double clip_norm = 0;
  double learning_rate = 0.01;
  float weight_decay = 0.1F;
  float momentum = 0.9F;
  int prefetch = 1;
  bool ranges = true;           // memory from zero_range, else malloc
  bool placed = false;          // by the library: pointers are asked for
  bool stable = false;          // and once only
  bool late_gradients = false;  // allocated after the commit
  bool every_call = true;       // at every stage; else those its stage needs
  std::function<void(zero_config&)> adjust = {};
  // On a device: queues a piece of the trainer's own work on its stream, and waits for all of it.
  // Empty: a piece is done at once.
  std::function<void(std::function<void()>)> launch = {};
  std::function<void()> finish = {};
  void* stream = nullptr;
};

constexpr int width = 37;  // D: slices of 5476 bytes, so that units share pages
constexpr int depth = 3;   // L

[[nodiscard]] std::vector<std::size_t> flat_counts();
[[nodiscard]] std::size_t flat_elements();
[[nodiscard]] double initial_value(std::size_t element);

struct flat_result {
  std::vector<float> parameters;
  std::vector<double> losses;  // means over all ranks
  std::vector<double> norms;
  zero_memory memory{};
  bool gradients_zero = true;  // after every step
};

// One rank's training; throws what the library refuses.
[[nodiscard]] flat_result train_flat(zero_ranks& ranks, const flat_run& run);

struct dense_result {
  std::vector<double> parameters;
  std::vector<double> losses;
  std::vector<double> norms;
};
[[nodiscard]] dense_result train_dense(const flat_run& run, int ranks);

// `body` on every rank, each a thread; rethrows the first error there is.
void run_clients(int ranks, const std::function<void(zero_ranks&)>& body);
// Every rank's result.
[[nodiscard]] std::vector<flat_result> train_everywhere(int ranks, const flat_run& run);

// The pieces, for tests that make calls of their own. All throw what the library refuses.
[[nodiscard]] zero_config config_of(const flat_run& run);
[[nodiscard]] zero_optimizer* create(zero_ranks& ranks, const zero_config& config);
void expect_ok(zero_optimizer* z, zero_status status);

class flat_model {
 public:
  flat_model(zero_optimizer* z, const flat_run& run, int rank);

  [[nodiscard]] float* parameters() noexcept { return parameters_; }
  [[nodiscard]] float* gradients() noexcept { return gradients_; }
  // Adds the gradients of one micro-batch of this rank and returns its loss; on a device 0.
  double forward_backward(int step, int micro);
  // Of all micro-batches since the last such call. Waits for them.
  double take_loss();
  double forward(int step, int micro);  // with its calls, without a backward
  [[nodiscard]] std::vector<float> whole();
  [[nodiscard]] bool gradients_zero();

 private:
  void run(std::function<void()> piece);
  void finish();
  void layer_forward(int layer);
  void layer_backward(int layer);
  void attach_placed();
  // Tensor 0 to 3; slice 0 of what is no stack.
  [[nodiscard]] float* parameter(int tensor, int slice = 0);
  [[nodiscard]] float* gradient(int tensor, int slice = 0);
  [[nodiscard]] static std::size_t at(int tensor, int slice);
  [[nodiscard]] bool calls(int least_stage) const;

  zero_optimizer* z_;
  flat_run run_;
  int rank_;
  std::vector<float> own_parameters_;
  std::vector<float> own_gradients_;
  float* parameters_ = nullptr;
  float* gradients_ = nullptr;
  std::vector<std::vector<float*>> cached_;  // by tensor and slice, where addresses stay
  std::vector<std::vector<float>> hidden_;
  std::vector<float> down_;  // gradient of the hidden at hand
  std::vector<float> input_;
  double off_ = 0;  // of the target
  double loss_ = 0;
};

// `body` on every rank with a handle that is committed and closed afterwards.
using client_body = std::function<void(zero_optimizer*, flat_model&, int)>;
void with_clients(int ranks, const flat_run& run, const client_body& body);
// One ordinary step; its loss.
double train_step(zero_optimizer* z, flat_model& model, int step, double rate = 0.01);
[[nodiscard]] std::string digest_of(zero_optimizer* z);

// The input and the target of a rank's micro-batch.
[[nodiscard]] double input_value(int rank, int step, int micro, int element);
[[nodiscard]] double target_value(int rank, int step, int micro);

}  // namespace zero::testing
