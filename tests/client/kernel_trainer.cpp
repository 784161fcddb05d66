#include "kernel_trainer.hpp"

#include "flat_trainer.hpp"

#include <zero/base/buffer.hpp>
#include <zero/base/memory_resource.hpp>
#include <zero/base/typed_span.hpp>

#include <memory>
#include <stdexcept>

namespace zero::testing {
namespace {

constexpr int slices = 3;
constexpr std::size_t few = 7;

class kernel_trainer {
 public:
  kernel_trainer(zero_optimizer* z, const kernel_place& place, const kernel_run& run)
      : z_(z),
        kernels_(place.kernels),
        stream_(place.kernels.queue().native()),
        run_(run),
        sample_(place.memory, statistics_, memory_account::buffers, run.slice * sizeof(float)) {
    expect_ok(z_, zero_use_stream(z_, stream_));
    if (!run_.placed) {
      parameters_ = range(ZERO_PARAMETERS);
      gradients_ = range(ZERO_GRADIENTS);
      if (zero_rank(z_) == 0) write_values(parameters_);
    }
    attach();
    if (run_.placed) write_placed();
  }

  void step(int number) {
    write_sample(number);
    for (int unit = 0; unit <= slices; ++unit) {  // a forward that has nothing to compute
      expect_ok(z_, zero_forward_begin(z_, unit, stream_));
      expect_ok(z_, zero_forward_end(z_, unit, stream_));
    }
    for (int unit = slices; unit >= 0; --unit) {
      expect_ok(z_, zero_backward_begin(z_, unit, stream_));
      const typed_span weight = tensor(unit, &kernel_trainer::parameter);
      const typed_span gradient = tensor(unit, &kernel_trainer::gradient);
      kernels_.accumulate(weight, gradient);
      kernels_.accumulate(typed_span{sample_.data(), gradient.count, dtype::fp32}, gradient);
      expect_ok(z_, zero_backward_end(z_, unit, stream_));
    }
    expect_ok(z_, zero_step(z_, 0.01, nullptr));
  }

  std::vector<float> whole() {
    std::vector<float> out(elements());
    expect_ok(z_, zero_evaluate(z_));
    for (int unit = 0; unit <= slices; ++unit) {
      expect_ok(z_, zero_forward_begin(z_, unit, stream_));
      const typed_span weight = tensor(unit, &kernel_trainer::parameter);
      kernels_.read(weight.data, out.data() + at(unit), weight.bytes());
      expect_ok(z_, zero_forward_end(z_, unit, stream_));
    }
    kernels_.queue().record().wait();
    return out;
  }

 private:
  // The few are unit 0 and lie behind the stack.
  [[nodiscard]] std::size_t elements() const { return slices * run_.slice + few; }
  [[nodiscard]] std::size_t at(int unit) const {
    return static_cast<std::size_t>(unit == 0 ? slices : unit - 1) * run_.slice;
  }
  [[nodiscard]] static float value(std::size_t element) {
    return static_cast<float>(static_cast<int>(element % 251) - 125) / 128.0F;
  }

  float* range(int what) {
    void* const memory = zero_range(z_, what, elements() * sizeof(float));
    if (memory == nullptr) throw std::runtime_error(zero_last_error(z_));
    return static_cast<float*>(memory);
  }

  void attach() {
    zero_segment s[2] = {};
    s[0].name = "few";
    s[0].count = few;
    s[1].name = "stack";
    s[1].count = slices * run_.slice;
    s[1].unit = 1;
    s[1].slices = slices;
    if (!run_.placed) {
      s[0].parameter = parameters_ + at(0);
      s[0].gradient = gradients_ + at(0);
      s[1].parameter = parameters_;
      s[1].gradient = gradients_;
    }
    expect_ok(z_, zero_attach(z_, s, 2, sizeof s[0]));
    expect_ok(z_, zero_commit(z_));
  }

  void write_values(float* to) {
    std::vector<float> values(elements());
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = value(i);
    kernels_.write(values.data(), to, values.size() * sizeof(float));
    kernels_.queue().record().wait();
  }

  void write_placed() {
    expect_ok(z_, zero_full_begin(z_, ZERO_ON_RANK_0, ZERO_WRITE));
    for (int unit = 0; unit <= slices && zero_rank(z_) == 0; ++unit) {
      const typed_span to = tensor(unit, &kernel_trainer::parameter);
      std::vector<float> values(to.count);
      for (std::size_t i = 0; i < values.size(); ++i) values[i] = value(at(unit) + i);
      kernels_.write(values.data(), to.data, to.bytes());
      kernels_.queue().record().wait();
    }
    expect_ok(z_, zero_full_end(z_));
  }

  void write_sample(int number) {
    std::vector<float> values(run_.slice);
    const auto shift = static_cast<std::size_t>(13 * zero_rank(z_) + 5 * number);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = value(i + shift) / 8;
    kernels_.write(values.data(), sample_.data(), sample_.size());
    kernels_.queue().record().wait();  // the values go
  }

  [[nodiscard]] float* parameter(const char* name, int unit) {
    if (!run_.placed) return parameters_ + at(unit);
    void* out = nullptr;
    expect_ok(z_, zero_parameter(z_, name, unit == 0 ? 0 : unit - 1, &out));
    return static_cast<float*>(out);
  }
  [[nodiscard]] float* gradient(const char* name, int unit) {
    if (!run_.placed) return gradients_ + at(unit);
    void* out = nullptr;
    expect_ok(z_, zero_gradient(z_, name, unit == 0 ? 0 : unit - 1, &out));
    return static_cast<float*>(out);
  }
  [[nodiscard]] typed_span tensor(int unit, float* (kernel_trainer::*where)(const char*, int)) {
    const char* const name = unit == 0 ? "few" : "stack";
    return {(this->*where)(name, unit), unit == 0 ? few : run_.slice, dtype::fp32};
  }

  zero_optimizer* z_;
  optim::processor& kernels_;
  void* stream_;
  kernel_run run_;
  memory_statistics statistics_;
  buffer sample_;
  float* parameters_ = nullptr;
  float* gradients_ = nullptr;
};

}  // namespace

kernel_result train_by_kernels(zero_ranks& ranks, const kernel_place& place,
                               const kernel_run& run) {
  zero_config config;
  zero_config_init(&config);
  config.stage = run.stage;
  config.stable_addresses = run.stable ? 1 : 0;
  config.device = run.device;
  config.clip_norm = 1.0;
  config.deadline_seconds = 30;
  const std::unique_ptr<zero_optimizer, zero_status (*)(zero_optimizer*)> z(create(ranks, config),
                                                                            zero_close);
  kernel_trainer trainer(z.get(), place, run);
  for (int step = 0; step < run.steps; ++step) trainer.step(step);
  kernel_result result;
  zero_step_result last{};
  last.struct_size = sizeof last;
  expect_ok(z.get(), zero_last_step(z.get(), &last));
  result.norm = last.gradient_norm;
  result.parameters = trainer.whole();
  result.report = zero_report_json(z.get());
  return result;
}

kernel_result train_by_host_kernels(int ranks, const kernel_run& run) {
  kernel_result first;
  run_clients(ranks, [&](zero_ranks& own) {
    const auto kernels = optim::make_host_processor();
    page_resource memory;
    kernel_result got = train_by_kernels(own, {*kernels, memory}, run);
    if (own.communicator->rank() == 0) first = std::move(got);
  });
  return first;
}

}  // namespace zero::testing
