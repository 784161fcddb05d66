// bench_update_gpu: updates, norm and casts on a GPU against what its memory allows.
//
//   bench_update_gpu [--elements 1e9] [--turns 20] [--device 0]
//
// Every case takes turns with two copies of device memory to device memory, the runtime's and a
// plain kernel's; the faster is the ceiling. Rates count every byte read and every byte written,
// as the ceiling's does. Writes one JSON object to standard output.
#include "device_arrays.hpp"

#include <zero/base/bytes.hpp>
#include <zero/optim/cuda.hpp>
#include <zero/optim/processor.hpp>

#include <cstdio>
#include <cstring>
#include <exception>

namespace zero::bench {
namespace {

using optim::algorithm;
using optim::step_decision;
using optim::step_vote;

struct settings {
  std::size_t elements = 1'000'000'000;
  int turns = 20;
  int device = 0;
};

// Everything the cases work on.
class bench {
 public:
  explicit bench(const settings& s)
      : settings_(s),
        device_(s.device),
        worker_(optim::make_cuda_processor(device_)),
        queue_(cuda::native(worker_->queue())),
        watch_(queue_),
        master_(device_, s.elements, dtype::fp32),
        state0_(device_, s.elements, dtype::fp32),
        state1_(device_, s.elements, dtype::fp32),
        gradient32_(device_, s.elements, dtype::fp32),
        gradient16_(device_, s.elements, dtype::bf16),
        parameter_(device_, s.elements, dtype::bf16),
        copy_(device_, s.elements, dtype::fp32),
        small_(device_, 64, dtype::fp32) {
    fill(queue_, master_.span(), 0.02F, false);
    fill(queue_, state0_.span(), 1e-3F, false);
    fill(queue_, state1_.span(), 1e-6F, true);
    fill(queue_, gradient32_.span(), 1e-3F, false);
    fill(queue_, gradient16_.span(), 1e-3F, false);
    worker_->set({1.0, 1e-3F, 1}, vote());
    worker_->decide(vote(), 1, {}, decision());
  }

  void run() {
    std::printf(
        "{\"schema\": \"zero.bench_gpu/1\", \"device\": \"%s\", \"elements\": %zu,\n"
        " \"rows\": [",
        device_.name().c_str(), settings_.elements);
    for (const algorithm a :
         {algorithm::adamw, algorithm::adam, algorithm::sgd, algorithm::lion, algorithm::adagrad}) {
      const double states = optim::state_count(a);
      const std::string name = std::string("update/") + optim::name_of(a);
      measure(name + "/fp32/none", 8 * (1 + states) + 4,
              [&] { update(a, gradient32_.span(), {}); });
      measure(name + "/bf16/bf16", 8 * (1 + states) + 4,
              [&] { update(a, gradient16_.span(), parameter_.span()); });
    }
    measure("sum_of_squares/fp32", 4,
            [&] { worker_->add_squares(gradient32_.span(), &vote()->squares); });
    measure("sum_of_squares/bf16", 2,
            [&] { worker_->add_squares(gradient16_.span(), &vote()->squares); });
    measure("convert/fp32/bf16", 6, [&] { worker_->convert(master_.span(), parameter_.span()); });
    measure("convert/bf16/fp32", 6,
            [&] { worker_->convert(gradient16_.span(), gradient32_.span()); });
    measure("accumulate/bf16/fp32", 10,
            [&] { worker_->accumulate(gradient16_.span(), gradient32_.span()); });
    // Norm, clip, update and cast, as a step does them: gradients in bf16, parameters out in bf16.
    measure("step/adamw/bf16/bf16", 2 + 28, [&] {
      worker_->set({0.0, 1e-3F, 1}, vote());
      worker_->add_squares(gradient16_.span(), &vote()->squares);
      worker_->decide(vote(), 1, {1.0, 1.0}, decision());
      update(algorithm::adamw, gradient16_.span(), parameter_.span());
    });
    std::printf("\n ]}\n");
  }

 private:
  [[nodiscard]] step_vote* vote() const { return reinterpret_cast<step_vote*>(small_.floats()); }
  [[nodiscard]] step_decision* decision() const {
    return reinterpret_cast<step_decision*>(small_.floats() + 16);
  }

  void update(algorithm a, const const_typed_span& gradient, const typed_span& parameter) {
    optim::update_spans spans;
    spans.count = settings_.elements;
    spans.master = master_.floats();
    spans.gradient = gradient;
    spans.state[0] = state0_.floats();
    spans.state[1] = state1_.floats();
    spans.parameter = parameter;
    worker_->update(a, optim::default_hyper(a), decision(), spans);
  }

  // Bytes a second of the faster copy.
  [[nodiscard]] double ceiling() {
    const std::size_t bytes = copy_.span().bytes() / 16 * 16;
    const double by_runtime = watch_.seconds_of([&] {
      cuda::checked(cudaMemcpyAsync(copy_.span().data, gradient32_.span().data, bytes,
                                    cudaMemcpyDeviceToDevice, queue_),
                    "cudaMemcpyAsync");
    });
    const double by_kernel = watch_.seconds_of(
        [&] { copy_by_kernel(queue_, gradient32_.span().data, copy_.span().data, bytes); });
    return 2.0 * static_cast<double>(bytes) / std::min(by_runtime, by_kernel);
  }

  // `bytes`: read and written, of an element.
  void measure(const std::string& name, double bytes, const std::function<void()>& work) {
    work();
    std::vector<double> seconds, ceilings, fractions;
    const double moved = bytes * static_cast<double>(settings_.elements);
    for (int turn = 0; turn < settings_.turns; ++turn) {
      ceilings.push_back(ceiling());
      seconds.push_back(watch_.seconds_of(work));
      fractions.push_back(moved / seconds.back() / ceilings.back());
    }
    std::printf(
        "%s\n  {\"name\": \"%s\", \"bytes_per_element\": %.0f, \"seconds\": %.9f, "
        "\"gb_per_second\": %.1f, \"ceiling_gb_per_second\": %.1f, \"fraction\": %.4f}",
        first_ ? "" : ",", name.c_str(), bytes, median(seconds), moved / median(seconds) * 1e-9,
        median(ceilings) * 1e-9, median(fractions));
    std::fflush(stdout);
    first_ = false;
  }

  settings settings_;
  cuda_device device_;
  std::unique_ptr<optim::processor> worker_;
  cudaStream_t queue_;
  stopwatch watch_;
  device_array master_, state0_, state1_, gradient32_, gradient16_, parameter_, copy_, small_;
  bool first_ = true;
};

settings parse(int argc, char** argv) {
  settings s;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string option = argv[i];
    const std::uint64_t value = parse_count(argv[i + 1]);
    if (option == "--elements") s.elements = value;
    if (option == "--turns") s.turns = static_cast<int>(value);
    if (option == "--device") s.device = static_cast<int>(value);
    if (option != "--elements" && option != "--turns" && option != "--device") {
      throw invalid_argument(option + ": accepted are --elements, --turns and --device");
    }
  }
  if (argc % 2 == 0 || s.elements < 16 || s.turns < 1) {
    throw invalid_argument("usage: bench_update_gpu [--elements N] [--turns N] [--device N]");
  }
  return s;
}

}  // namespace
}  // namespace zero::bench

int main(int argc, char** argv) {
  try {
    zero::bench::bench(zero::bench::parse(argc, argv)).run();
    return 0;
  } catch (const std::exception& failed) {
    std::fprintf(stderr, "bench_update_gpu: %s\n", failed.what());
    return 1;
  }
}
