#include "flat_trainer.hpp"

#include <algorithm>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

namespace zero::testing {

std::vector<std::size_t> flat_counts() {
  return {width, std::size_t{depth} * width * width, std::size_t{depth} * width, width};
}

std::size_t flat_elements() {
  std::size_t sum = 0;
  for (const std::size_t count : flat_counts()) sum += count;
  return sum;
}

double initial_value(std::size_t element) {
  return static_cast<double>(static_cast<float>(static_cast<int>(element * 31 % 67) - 33) / 64.0F);
}

double input_value(int rank, int step, int micro, int element) {
  return ((rank * 13 + step * 7 + micro * 5 + element * 3) % 17 - 8) / 8.0;
}

double target_value(int rank, int step, int micro) {
  return ((rank * 3 + step * 5 + micro * 11) % 9 - 4) / 4.0;
}

void expect_ok(zero_optimizer* z, zero_status status) {
  if (status == ZERO_OK) return;
  throw std::runtime_error(std::string(zero_status_name(status)) + ": " + zero_last_error(z));
}

zero_config config_of(const flat_run& run) {
  zero_config config;
  zero_config_init(&config);
  config.stage = run.stage;
  config.rule = run.rule;
  config.gradients = run.gradients;
  config.accumulate = run.micro_batches;
  config.reduce_at = run.reduce_at;
  config.clip_norm = run.clip_norm;
  config.group.weight_decay = run.weight_decay;
  config.group.momentum = run.momentum;
  config.prefetch = run.prefetch;
  config.deadline_seconds = 30;
  config.stable_addresses = run.stable ? 1 : 0;
  if (run.adjust) run.adjust(config);
  return config;
}

zero_optimizer* create(zero_ranks& ranks, const zero_config& config) {
  zero_optimizer* z = nullptr;
  zero_message why{};
  if (zero_create(&config, &ranks, &z, &why) != ZERO_OK) throw std::runtime_error(why.text);
  return z;
}

// ---- the model ----

namespace {

std::string name_of(int tensor) { return "tensor." + std::to_string(tensor); }

int slices_of(int tensor) { return tensor == 1 || tensor == 2 ? depth : 1; }

std::size_t slice_elements(int tensor) {
  return flat_counts()[static_cast<std::size_t>(tensor)] /
         static_cast<std::size_t>(slices_of(tensor));
}

}  // namespace

flat_model::flat_model(zero_optimizer* z, const flat_run& run, int rank)
    : z_(z), run_(run), rank_(rank) {
  hidden_.assign(depth + 1, std::vector<float>(width));
  down_.resize(width);
  input_.resize(width);
  if (run_.stream != nullptr) expect_ok(z_, zero_use_stream(z_, run_.stream));
  if (run_.placed) {
    attach_placed();
    return;
  }
  const std::size_t elements = flat_elements();
  const auto memory = [&](int what, std::vector<float>& own) {
    if (run_.ranges) return static_cast<float*>(zero_range(z_, what, elements * sizeof(float)));
    own.assign(elements, 0.0F);
    return own.data();
  };
  parameters_ = memory(ZERO_PARAMETERS, own_parameters_);
  gradients_ = memory(ZERO_GRADIENTS, own_gradients_);
  if (parameters_ == nullptr || gradients_ == nullptr) {
    throw std::runtime_error(zero_last_error(z_));
  }
  // Only rank 0 has what training begins with.
  this->run([=, this] {
    for (std::size_t i = 0; i < elements; ++i) {
      parameters_[i] = static_cast<float>(initial_value(i)) + static_cast<float>(rank);
    }
  });
  const std::vector<std::size_t> counts = flat_counts();
  expect_ok(z_, zero_wrap_flat(z_, parameters_, run_.late_gradients ? nullptr : gradients_,
                               counts.data(), counts.size(), 1, 3, depth));
  if (run_.late_gradients) expect_ok(z_, zero_bind_gradients_flat(z_, gradients_));
}

void flat_model::attach_placed() {
  for (int tensor = 0; tensor < 4; ++tensor) {
    const std::string name = name_of(tensor);
    zero_segment s{};
    s.name = name.c_str();
    s.count = flat_counts()[static_cast<std::size_t>(tensor)];
    s.unit = slices_of(tensor) > 1 ? 1 : 0;
    s.slices = slices_of(tensor);
    expect_ok(z_, zero_attach(z_, &s, 1, sizeof s));
  }
  expect_ok(z_, zero_commit(z_));
  expect_ok(z_, zero_full_begin(z_, ZERO_ON_RANK_0, ZERO_WRITE));
  for (int tensor = 0; tensor < 4 && rank_ == 0; ++tensor) {
    for (int slice = 0; slice < slices_of(tensor); ++slice) {
      float* values = parameter(tensor, slice);
      this->run([=] {
        for (std::size_t i = 0; i < slice_elements(tensor); ++i) {
          values[i] = static_cast<float>(initial_value(at(tensor, slice) + i));
        }
      });
    }
  }
  expect_ok(z_, zero_full_end(z_));
  if (!run_.stable) return;
  for (int tensor = 0; tensor < 4; ++tensor) {
    std::vector<float*> slices;
    for (int slice = 0; slice < slices_of(tensor); ++slice) {
      slices.push_back(parameter(tensor, slice));
    }
    cached_.push_back(slices);
  }
}

std::size_t flat_model::at(int tensor, int slice) {
  std::size_t before = 0;
  for (int i = 0; i < tensor; ++i) before += flat_counts()[static_cast<std::size_t>(i)];
  return before + static_cast<std::size_t>(slice) * slice_elements(tensor);
}

float* flat_model::parameter(int tensor, int slice) {
  if (!run_.placed) return parameters_ + at(tensor, slice);
  const auto row = static_cast<std::size_t>(tensor);
  if (row < cached_.size()) return cached_[row][static_cast<std::size_t>(slice)];
  void* out = nullptr;
  expect_ok(z_, zero_parameter(z_, name_of(tensor).c_str(), slice, &out));
  return static_cast<float*>(out);
}

float* flat_model::gradient(int tensor, int slice) {
  if (!run_.placed) return gradients_ + at(tensor, slice);
  void* out = nullptr;
  expect_ok(z_, zero_gradient(z_, name_of(tensor).c_str(), slice, &out));
  return static_cast<float*>(out);
}

bool flat_model::calls(int least_stage) const {
  return run_.every_call || run_.stage >= least_stage;
}

void flat_model::run(std::function<void()> piece) {
  if (!run_.launch) return piece();
  run_.launch(std::move(piece));
}

void flat_model::finish() {
  if (run_.finish) run_.finish();
}

void flat_model::layer_forward(int layer) {
  const float* weight = parameter(1, layer);
  const float* bias = parameter(2, layer);
  run([=, this] {
    const std::vector<float>& in = hidden_[static_cast<std::size_t>(layer)];
    std::vector<float>& out = hidden_[static_cast<std::size_t>(layer) + 1];
    for (std::size_t i = 0; i < width; ++i) {
      float sum = bias[i];
      for (std::size_t j = 0; j < width; ++j) sum += weight[i * width + j] * in[j];
      out[i] = in[i] + sum / 8;
    }
  });
}

void flat_model::layer_backward(int layer) {
  const float* weight = parameter(1, layer);
  float* of_weight = gradient(1, layer);
  float* of_bias = gradient(2, layer);
  run([=, this] {
    const std::vector<float>& in = hidden_[static_cast<std::size_t>(layer)];
    std::vector<float> up = down_;
    for (std::size_t i = 0; i < width; ++i) {
      const float d = down_[i] / 8;
      of_bias[i] += d;
      for (std::size_t j = 0; j < width; ++j) {
        of_weight[i * width + j] += d * in[j];
        up[j] += d * weight[i * width + j];
      }
    }
    down_ = up;
  });
}

double flat_model::forward(int step, int micro) {
  if (calls(3)) expect_ok(z_, zero_forward_begin(z_, 0, run_.stream));
  const float* embedding = parameter(0);
  run([=, this] {
    for (std::size_t i = 0; i < width; ++i) {
      input_[i] = static_cast<float>(input_value(rank_, step, micro, static_cast<int>(i)));
      hidden_[0][i] = embedding[i] * input_[i];
    }
  });
  for (int layer = 0; layer < depth; ++layer) {
    if (calls(3)) expect_ok(z_, zero_forward_begin(z_, 1 + layer, run_.stream));
    layer_forward(layer);
    if (calls(3)) expect_ok(z_, zero_forward_end(z_, 1 + layer, run_.stream));
  }
  const float* head = parameter(3);
  run([=, this] {
    float y = 0;
    for (std::size_t i = 0; i < width; ++i) y += head[i] * hidden_[depth][i];
    off_ = static_cast<double>(y) - target_value(rank_, step, micro);
  });
  return run_.launch ? 0 : off_;
}

double flat_model::forward_backward(int step, int micro) {
  static_cast<void>(forward(step, micro));
  // On the host a gradient reads as zeros before its unit's begin.
  if (run_.launch && calls(2)) expect_ok(z_, zero_backward_begin(z_, 0, run_.stream));
  const float* head = parameter(3);
  float* of_head = gradient(3);
  run([=, this] {
    const auto d = static_cast<float>(off_);
    for (std::size_t i = 0; i < width; ++i) {
      of_head[i] += d * hidden_[depth][i];
      down_[i] = d * head[i];
    }
  });
  for (int layer = depth - 1; layer >= 0; --layer) {
    const bool takes_gradients = run_.launch && calls(2);
    if (calls(3) || takes_gradients) {
      expect_ok(z_, zero_backward_begin(z_, 1 + layer, run_.stream));
    }
    layer_backward(layer);
    if (calls(2)) expect_ok(z_, zero_backward_end(z_, 1 + layer, run_.stream));
  }
  float* of_embedding = gradient(0);
  run([=, this] {
    for (std::size_t i = 0; i < width; ++i) of_embedding[i] += down_[i] * input_[i];
    loss_ += off_ * off_ / 2;
  });
  if (calls(2)) expect_ok(z_, zero_backward_end(z_, 0, run_.stream));
  return run_.launch ? 0 : off_ * off_ / 2;
}

double flat_model::take_loss() {
  finish();
  return std::exchange(loss_, 0.0);
}

std::vector<float> flat_model::whole() {
  std::vector<float> out(flat_elements());
  expect_ok(z_, zero_evaluate(z_));
  for (int unit = 0; unit <= depth; ++unit) {
    expect_ok(z_, zero_forward_begin(z_, unit, run_.stream));
    for (int tensor = 0; tensor < 4; ++tensor) {
      if ((slices_of(tensor) > 1) != (unit > 0)) continue;
      const int slice = unit > 0 ? unit - 1 : 0;
      const float* const from = parameter(tensor, slice);
      float* const to = out.data() + at(tensor, slice);
      run([=] { std::copy_n(from, slice_elements(tensor), to); });
    }
    expect_ok(z_, zero_forward_end(z_, unit, run_.stream));
  }
  finish();
  return out;
}

bool flat_model::gradients_zero() {
  // Between uses there is nothing to be read on a device.
  if (run_.placed || (run_.launch && run_.stage >= 2)) return true;
  bool zeros = false;
  run([&] {
    zeros =
        std::all_of(gradients_, gradients_ + flat_elements(), [](float g) { return g == 0.0F; });
  });
  finish();
  return zeros;
}

// ---- training ----

flat_result train_flat(zero_ranks& ranks, const flat_run& run) {
  const int rank = ranks.communicator->rank();
  const std::unique_ptr<zero_optimizer, zero_status (*)(zero_optimizer*)> z(
      create(ranks, config_of(run)), zero_close);
  flat_model model(z.get(), run, rank);
  flat_result result;
  for (int step = 0; step < run.steps; ++step) {
    double loss = 0;
    for (int micro = 0; micro < run.micro_batches; ++micro) {
      if (run.micro_batches > 1) {
        expect_ok(z.get(), zero_micro_batch(z.get(), micro, run.micro_batches));
      }
      loss += model.forward_backward(step, micro);
    }
    if (run.launch) {  // the host does not wait until all of the step has been queued
      expect_ok(z.get(), zero_step(z.get(), run.learning_rate, nullptr));
      loss = model.take_loss();
      expect_ok(z.get(), zero_sum(z.get(), &loss, 1));
      loss /= zero_size(z.get());
    } else {
      expect_ok(z.get(), zero_step(z.get(), run.learning_rate, &loss));
    }
    result.losses.push_back(loss);
    zero_step_result now{};
    now.struct_size = sizeof now;
    expect_ok(z.get(), zero_last_step(z.get(), &now));
    result.norms.push_back(now.gradient_norm);
    result.gradients_zero = result.gradients_zero && model.gradients_zero();
  }
  result.parameters = model.whole();
  result.memory.struct_size = sizeof result.memory;
  expect_ok(z.get(), zero_get_memory(z.get(), &result.memory));
  return result;
}

void run_clients(int ranks, const std::function<void(zero_ranks&)>& body) {
  auto world = collectives::shared_memory_world::create(ranks, std::uint64_t{256} << 20);
  std::vector<zero_ranks> all(static_cast<std::size_t>(ranks));
  for (int rank = 0; rank < ranks; ++rank) {
    all[static_cast<std::size_t>(rank)].communicator = world.join(rank);
    all[static_cast<std::size_t>(rank)].local_rank = rank;
  }
  std::vector<std::exception_ptr> errors(all.size());
  std::vector<std::thread> threads;
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    threads.emplace_back([&, rank] {
      try {
        body(all[rank]);
      } catch (...) {
        errors[rank] = std::current_exception();
        all[rank].communicator->abort("a test's rank has ended");
      }
    });
  }
  for (std::thread& t : threads) t.join();
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

void with_clients(int ranks, const flat_run& run, const client_body& body) {
  run_clients(ranks, [&](zero_ranks& own) {
    const std::unique_ptr<zero_optimizer, zero_status (*)(zero_optimizer*)> z(
        create(own, config_of(run)), zero_close);
    flat_model model(z.get(), run, own.communicator->rank());
    body(z.get(), model, own.communicator->rank());
  });
}

double train_step(zero_optimizer* z, flat_model& model, int step, double rate) {
  double loss = model.forward_backward(step, 0);
  expect_ok(z, zero_step(z, rate, &loss));
  return loss;
}

std::string digest_of(zero_optimizer* z) {
  char hex[33] = {};
  expect_ok(z, zero_digest(z, hex));
  return hex;
}

std::vector<flat_result> train_everywhere(int ranks, const flat_run& run) {
  std::vector<flat_result> results(static_cast<std::size_t>(ranks));
  run_clients(ranks, [&](zero_ranks& own) {
    results[static_cast<std::size_t>(own.communicator->rank())] = train_flat(own, run);
  });
  return results;
}

}  // namespace zero::testing
