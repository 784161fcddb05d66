// The model on a GPU against the one on the host; skipped, with the reason, where there is none.

#include "trainer/cuda/make_model.hpp"
#include "trainer/initial_values.hpp"
#include "trainer/model_step.hpp"
#include "trainer/training.hpp"

#include <zero/base/cuda.hpp>
#include <zero/base/error.hpp>
#include <zero/collectives/one_device.hpp>
#include <zero/collectives/single.hpp>
#include <zero/optim/cuda.hpp>
#include <zero/optim/processor.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace zero::trainer::testing {
namespace {

TEST(cuda_absent, says_why_there_is_no_model) {
  if (cuda_device::compiled()) GTEST_SKIP() << "the trainer was built with CUDA";
  host_stream queue;
  const gpt_config config = find_gpt("gpt-3m");
  // No device can be made either: the model asks for one, whichever it is.
  EXPECT_THROW(cuda_device(0), invalid_argument);
  EXPECT_EQ(cuda_device::count(), 0);
  EXPECT_NE(cuda_device::why_none(), "");
}

class cuda_model : public ::testing::Test {
 protected:
  void SetUp() override {
    if (cuda_device::count() == 0) GTEST_SKIP() << cuda_device::why_none();
    device = std::make_unique<cuda_device>(0);
    work = optim::make_cuda_processor(*device);
  }

  std::unique_ptr<cuda_device> device;
  std::unique_ptr<optim::processor> work;
};

// A tensor_set and its twin on the device.
class device_tensors {
 public:
  device_tensors(cuda_device& device, optim::processor& work, const gpt_config& config, dtype type)
      : host(config, type), device_(device), work_(work) {
    block_ = device_.memory().allocate(host.all().bytes());
  }
  ~device_tensors() { device_.memory().deallocate(block_, host.all().bytes()); }
  device_tensors(const device_tensors&) = delete;
  device_tensors& operator=(const device_tensors&) = delete;

  void send() { work_.write(host.all().data, block_, host.all().bytes()); }
  void bring() {
    work_.read(block_, host.all().data, host.all().bytes());
    work_.queue().record().wait();
  }
  [[nodiscard]] typed_span at(const std::string& name) const {
    typed_span there = host.at(name);
    there.data = static_cast<std::uint8_t*>(block_) + (static_cast<std::uint8_t*>(there.data) -
                                                       static_cast<std::uint8_t*>(host.all().data));
    return there;
  }
  template <typename Array>
  [[nodiscard]] Array block(int layer) const {
    Array result;
    for (int i = 0; i < block_tensor_count; ++i) {
      result[std::size_t(i)] =
          at("h." + std::to_string(layer) + "." + name_of(static_cast<block_tensor>(i)));
    }
    return result;
  }

  tensor_set host;

 private:
  cuda_device& device_;
  optim::processor& work_;
  void* block_;
};

struct outcome {
  double loss = 0;
  tensor_set gradients;
  std::vector<float> logits;
};

struct problem {
  gpt_config config;
  gpt_options options;
  int sequences;
  std::vector<std::int32_t> tokens =
      random_tokens(std::size_t(sequences) * std::size_t(config.context), config.vocabulary, 21);
  std::vector<std::int32_t> targets = random_tokens(tokens.size(), config.vocabulary, 22);
};

void randomise_gently(tensor_set& parameters) {
  randomise(parameters, 5);
  for (const std::string& name : parameters.names()) {
    if (name.find("ln_") != std::string::npos) continue;
    for (std::size_t i = 0; i < parameters.size(name); ++i) {
      parameters.set(name, i, 0.2f * parameters.get(name, i));
    }
  }
}

outcome on_device(cuda_device& device, optim::processor& work, const problem& p, int times = 1) {
  device_tensors parameters(device, work, p.config, p.options.storage);
  device_tensors gradients(device, work, p.config, p.options.storage);
  randomise_gently(parameters.host);
  parameters.send();
  gradients.send();
  double* loss = static_cast<double*>(device.memory().allocate(sizeof(double)));
  outcome result{0, tensor_set(p.config, p.options.storage),
                 std::vector<float>(std::size_t(p.config.vocabulary))};
  {
    const auto model = make_cuda_model(device, work.queue(), p.config, p.options);
    const auto at = [&](const char* name) { return parameters.at(name); };
    for (int i = 0; i < times; ++i) {
      model->embed_forward(p.tokens, p.sequences, at("wte.weight"), at("wpe.weight"));
      for (int layer = 0; layer < p.config.layers; ++layer) {
        model->block_forward(layer, parameters.block<block_parameters>(layer));
      }
      model->final_norm_forward(at("ln_f.weight"), at("ln_f.bias"));
      if (i == 0) model->head_logits(at("wte.weight"), 3, result.logits);
      model->head_forward(at("wte.weight"), p.targets, loss);
      model->head_backward(at("wte.weight"), gradients.at("wte.weight"), 1.0f / 64);
      model->final_norm_backward(at("ln_f.weight"), gradients.at("ln_f.weight"),
                                 gradients.at("ln_f.bias"));
      for (int layer = p.config.layers - 1; layer >= 0; --layer) {
        model->block_backward(layer, parameters.block<block_parameters>(layer),
                              gradients.block<block_gradients>(layer));
      }
      model->embed_backward(gradients.at("wte.weight"), gradients.at("wpe.weight"));
    }
    model->fetch(work.queue().record(), loss, &result.loss, sizeof(double));
  }
  gradients.bring();
  std::memcpy(result.gradients.all().data, gradients.host.all().data, gradients.host.all().bytes());
  device.memory().deallocate(loss, sizeof(double));
  return result;
}

outcome on_host(const problem& p, int times = 1) {
  tensor_set parameters(p.config, p.options.storage);
  randomise_gently(parameters);
  gpt_options options = p.options;
  options.offload = false;
  gpt model(p.config, options);
  outcome result{0, tensor_set(p.config, p.options.storage),
                 std::vector<float>(std::size_t(p.config.vocabulary))};
  for (int i = 0; i < times; ++i) {
    result.loss += forward(model, parameters, p.tokens, p.targets, p.sequences);
    model.head_logits(parameters.at("wte.weight"), 3, result.logits);
    backward(model, parameters, result.gradients, 1.0f / 64);
  }
  return result;
}

void expect_close(const outcome& made, const outcome& expected, double tolerance) {
  EXPECT_NEAR(made.loss, expected.loss, tolerance * expected.loss);
  for (std::size_t i = 0; i < made.logits.size(); ++i) {
    EXPECT_NEAR(made.logits[i], expected.logits[i], 10 * tolerance);
  }
  for (const std::string& name : made.gradients.names()) {
    double worst = 0, largest = 0;
    for (std::size_t i = 0; i < made.gradients.size(name); ++i) {
      const double value = made.gradients.get(name, i);
      ASSERT_TRUE(std::isfinite(value)) << name << " " << i;
      worst = std::max(worst, std::abs(value - double{expected.gradients.get(name, i)}));
      largest = std::max(largest, std::abs(double{expected.gradients.get(name, i)}));
    }
    EXPECT_GT(largest, 0.0) << name;
    EXPECT_LT(worst, tolerance * largest) << name;
  }
}

bool same_bits(const outcome& a, const outcome& b) {
  return a.loss == b.loss && std::memcmp(a.gradients.all().data, b.gradients.all().data,
                                         a.gradients.all().bytes()) == 0;
}

const gpt_config odd{"odd", 257, 5, 51 * 3, 3, 50};
const gpt_config heads_of_64{"64", 300, 5, 128, 2, 130};
const gpt_config heads_of_128{"128", 256, 2, 256, 2, 70};

TEST_F(cuda_model, fp32_losses_and_gradients_are_the_hosts) {
  for (const gpt_config& config : {odd, heads_of_64, gpt_config{"one", 2, 1, 1, 1, 4}}) {
    SCOPED_TRACE(config.name);
    const problem p{config, {3, 0, recomputation::none, dtype::fp32, false}, 3};
    expect_close(on_device(*device, *work, p), on_host(p), 1e-4);
  }
}

TEST_F(cuda_model, sixteen_bit_gradients_are_the_hosts) {
  for (const gpt_config& config : {odd, heads_of_64, heads_of_128}) {
    for (const dtype type : {dtype::bf16, dtype::fp16}) {
      SCOPED_TRACE(config.name + " " + name_of(type));
      const problem p{config, {2, 0, recomputation::none, type, false}, 2};
      expect_close(on_device(*device, *work, p), on_host(p), type == dtype::bf16 ? 6e-2 : 1e-2);
    }
  }
}

TEST_F(cuda_model, gradients_are_added_to_and_the_loss_too) {
  const problem p{heads_of_64, {2, 0, recomputation::none, dtype::fp32, false}, 2};
  expect_close(on_device(*device, *work, p, 2), on_host(p, 2), 1e-4);
}

TEST_F(cuda_model, recomputation_offload_and_repetition_give_the_same_bits) {
  for (const dtype type : {dtype::fp32, dtype::bf16}) {
    for (const gpt_config& config : {odd, heads_of_64}) {
      const problem kept{config, {2, 0, recomputation::none, type, false}, 2};
      const problem again{config, {2, 0, recomputation::block, type, false}, 2};
      const problem offloaded{config, {2, 0, recomputation::block, type, true}, 2};
      const outcome first = on_device(*device, *work, kept, 3);
      EXPECT_TRUE(same_bits(first, on_device(*device, *work, kept, 3)));
      EXPECT_TRUE(same_bits(first, on_device(*device, *work, again, 3)));
      EXPECT_TRUE(same_bits(first, on_device(*device, *work, offloaded, 3)));
    }
  }
}

TEST_F(cuda_model, offload_takes_less_of_the_device_and_says_what_of_the_host) {
  const gpt_options again{2, 0, recomputation::block, dtype::bf16, false};
  gpt_options offloaded = again;
  offloaded.offload = true;
  const auto without = make_cuda_model(*device, work->queue(), heads_of_64, again);
  const auto with = make_cuda_model(*device, work->queue(), heads_of_64, offloaded);
  EXPECT_LT(with->activation_bytes(), without->activation_bytes());
  EXPECT_EQ(without->offloaded_bytes(), 0u);
  EXPECT_EQ(with->offloaded_bytes(), 3u * 2 * 130 * 128 * 2);
}

TEST_F(cuda_model, refuses_what_it_cannot_compute) {
  const gpt_config one_head{"wide", 10, 1, 1 << 16, 1, 4};
  EXPECT_THROW(make_cuda_model(*device, work->queue(), one_head, {}), invalid_argument);
  const auto model =
      make_cuda_model(*device, work->queue(), odd, {1, 0, recomputation::none, dtype::bf16, false});
  device_tensors parameters(*device, *work, odd, dtype::fp32);
  const std::vector<std::int32_t> tokens(50);
  EXPECT_THROW(
      model->embed_forward(tokens, 1, parameters.at("wte.weight"), parameters.at("wpe.weight")),
      invalid_argument);
  EXPECT_THROW(model->block_forward(5, parameters.block<block_parameters>(0)), invalid_argument);
}

// ---- training ----------------------------------------------------------------------------------

corpus some_text() {
  std::vector<std::uint8_t> bytes;
  const std::string sentence = "The quick brown fox jumps over the lazy dog, and then again. ";
  for (int i = 0; i < 200; ++i) {
    bytes.insert(bytes.end(), sentence.begin(), sentence.end());
    bytes.push_back(static_cast<std::uint8_t>('0' + i % 10));
  }
  return {std::move(bytes), 1, "test"};
}

training_options twenty_steps(const gpt_config& config, dtype type) {
  training_options o;
  o.model = config;
  o.type = type;
  o.batch = 4;
  o.sequence = config.context;
  o.schedule.peak = 1e-3f;
  o.schedule.total_steps = 20;
  o.engine.groups = std::vector<parameter_group>(2);
  return o;
}

std::vector<double> losses(collectives::communicator& ranks, optim::processor& work,
                           std::unique_ptr<model> computing, const training_options& o) {
  const corpus text = some_text();
  initial_values values(o.model, 1);
  training trainer(ranks, work, std::move(computing), o, text, values);
  std::vector<double> result;
  for (int i = 0; i < 20; ++i) result.push_back(trainer.step().loss);
  return result;
}

std::vector<double> losses_on_device(cuda_device& device, optim::processor& work,
                                     const training_options& o) {
  auto world = collectives::one_device_world::create(1);
  const auto ranks = world.join(0, device);
  return losses(*ranks, work,
                make_cuda_model(device, work.queue(), o.model, model_options_of(o, 1)), o);
}

TEST_F(cuda_model, twenty_steps_in_fp32_lose_what_the_host_loses) {
  for (const gpt_config& config : {gpt_config{"odd", 257, 2, 51, 1, 50}, heads_of_64}) {
    const training_options o = twenty_steps(config, dtype::fp32);
    const auto made = losses_on_device(*device, *work, o);
    const auto ranks = collectives::make_single();
    const auto host = optim::make_host_processor();
    const auto expected =
        losses(*ranks, *host, std::make_unique<gpt>(config, model_options_of(o, 1)), o);
    for (std::size_t i = 0; i < made.size(); ++i) {
      EXPECT_NEAR(made[i], expected[i], 1e-3 * expected[i]) << "step " << i + 1;
    }
  }
}

TEST_F(cuda_model, twenty_steps_in_bf16_learn) {
  const auto made = losses_on_device(*device, *work, twenty_steps(heads_of_64, dtype::bf16));
  EXPECT_NEAR(made.front(), std::log(300.0), 0.3);
  EXPECT_LT(made.back(), 0.8 * made.front());
  for (const double loss : made) EXPECT_TRUE(std::isfinite(loss));
}

TEST_F(cuda_model, the_matrix_rate_is_that_of_a_gpu) {
  EXPECT_GT(matrix_rate(*device, dtype::bf16), 1e13);
}

}  // namespace
}  // namespace zero::trainer::testing
