// Our side of the update: AdamW on flat fp32 arrays (`update`), and the whole step of a host
// (`step`): norm of bf16 gradients, then clip, AdamW and cast to bf16 in one pass.
//   peer_update ELEMENTS THREADS   with ZERO_PEERS_TURNS; words: update, step, values
#include "peers/turns.hpp"

#include <zero/base/float16.hpp>
#include <zero/base/memory_resource.hpp>
#include <zero/optim/elementwise.hpp>
#include <zero/optim/update.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <memory>
#include <thread>
#include <vector>

namespace {

using namespace zero;

constexpr double clip_norm = 1.0;

class host_state {
 public:
  host_state(std::size_t count, int threads) : count_(count), threads_(threads) {
    for (float** a : {&master_, &state0_, &state1_, &gradient_}) *a = array<float>();
    for (bf16_t** a : {&gradient16_, &parameter_}) *a = array<bf16_t>();
    for (std::size_t i = 0; i < count; ++i) {
      master_[i] = bench::made_up(i, 2654435761U, 0x1p-20F);
      gradient_[i] = bench::made_up(i, 2246822519U, 0x1p-25F);
      gradient16_[i] = to_bf16(gradient_[i]);
    }
  }

  void update() {
    ++steps_;
    over_threads([&](std::size_t begin, std::size_t end) {
      run(begin, end, {gradient_ + begin, end - begin, dtype::fp32}, 1.0F, {});
    });
  }

  void step() {
    ++steps_;
    std::vector<double> parts(static_cast<std::size_t>(threads_));
    over_threads([&](std::size_t begin, std::size_t end) {
      parts[begin / share()] = optim::sum_of_squares(gradient16(begin, end));
    });
    double squares = 0;
    for (const double part : parts) squares += part;
    const auto scale = static_cast<float>(std::min(1.0, clip_norm / (std::sqrt(squares) + 1e-6)));
    over_threads([&](std::size_t begin, std::size_t end) {
      run(begin, end, gradient16(begin, end), scale,
          {parameter_ + begin, end - begin, dtype::bf16});
    });
  }

  // Every so often one: the weights, and what a step made of them in 16 bits.
  [[nodiscard]] nlohmann::json values() const {
    nlohmann::json out = {{"weights", nlohmann::json::array()},
                          {"parameters", nlohmann::json::array()}};
    for (std::size_t i = 0; i < count_; i += std::max<std::size_t>(1, count_ / 16)) {
      out["weights"].push_back(master_[i]);
      out["parameters"].push_back(to_float(parameter_[i]));
    }
    return out;
  }

 private:
  template <typename T>
  T* array() {
    return static_cast<T*>(memory_.allocate(count_ * sizeof(T)));  // until the process ends
  }
  [[nodiscard]] std::size_t share() const {
    return std::max<std::size_t>(64, count_ / static_cast<std::size_t>(threads_) / 64 * 64);
  }
  [[nodiscard]] const_typed_span gradient16(std::size_t begin, std::size_t end) const {
    return {gradient16_ + begin, end - begin, dtype::bf16};
  }

  template <typename Work>
  void over_threads(const Work& work) const {
    std::vector<std::thread> others;
    for (int t = 1; t < threads_; ++t) {
      const std::size_t begin = share() * static_cast<std::size_t>(t);
      const std::size_t end = t + 1 == threads_ ? count_ : begin + share();
      others.emplace_back([&work, begin, end] { work(begin, end); });
    }
    work(0, threads_ == 1 ? count_ : share());
    for (std::thread& other : others) other.join();
  }

  void run(std::size_t begin, std::size_t end, const_typed_span gradient, float scale,
           typed_span parameter) const {
    optim::update_spans spans;
    spans.count = end - begin;
    spans.master = master_ + begin;
    spans.gradient = gradient;
    spans.state[0] = state0_ + begin;
    spans.state[1] = state1_ + begin;
    spans.parameter = parameter;
    optim::hyper constants = optim::default_hyper(optim::algorithm::adamw);
    constants.weight_decay = 0.01F;
    optim::update(optim::algorithm::adamw, constants, {steps_, scale}, spans);
  }

  page_resource memory_;
  std::size_t count_;
  int threads_;
  std::uint64_t steps_ = 0;
  float *master_ = nullptr, *state0_ = nullptr, *state1_ = nullptr, *gradient_ = nullptr;
  bf16_t *gradient16_ = nullptr, *parameter_ = nullptr;
};

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc != 3) throw std::runtime_error("peer_update ELEMENTS THREADS");
    const std::size_t count = std::stoull(argv[1]);
    const int threads = std::stoi(argv[2]);
    if (threads < 1 || count < 64 * static_cast<std::size_t>(threads)) {
      throw std::runtime_error("at least one thread, and 64 elements for each");
    }
    host_state state(count, threads);
    bench::turns(0).serve([&](const std::string& word) -> nlohmann::json {
      if (word == "values") return state.values();
      return bench::seconds_of_turn([&] { word == "step" ? state.step() : state.update(); });
    });
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "peer_update: %s\n", problem.what());
    return 1;
  }
  return 0;
}
