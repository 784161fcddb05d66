#include "cpp_api_model.hpp"

#include <exception>
#include <thread>

namespace zero::test {

std::size_t begin_of(int unit) {
  return unit == 0 ? 0 : elements_of_first + static_cast<std::size_t>(unit - 1) * elements_of_slice;
}

std::size_t count_of(int unit) { return unit == 0 ? elements_of_first : elements_of_slice; }

double initial(std::size_t element) { return 0.25 * static_cast<double>(element % 19) - 1.5; }
double goal(std::size_t element) { return element % 3 == 0 ? 2.0 : -0.5; }

config config_of(int stage, int rule) {
  config how;
  how.stage = stage;
  how.rule = rule;
  how.deadline_seconds = 20;
  return how;
}

model::model(optimizer& z)
    : z_(&z),
      weights_(z.range<float>(ZERO_PARAMETERS, elements)),
      gradients_(z.range<float>(ZERO_GRADIENTS, elements)),
      seen_(elements) {
  for (std::size_t i = 0; i < elements; ++i) {
    weights_[i] = z.rank() == 0 ? static_cast<float>(initial(i)) : -77.0F;  // rank 0's count
  }
  zero_segment segments[2] = {
      segment_of("first", weights_.subspan(0, elements_of_first),
                 gradients_.subspan(0, elements_of_first), 0),
      segment_of("stack", weights_.subspan(elements_of_first, 2 * elements_of_slice),
                 gradients_.subspan(elements_of_first, 2 * elements_of_slice), 1)};
  segments[1].slices = 2;
  z.attach(segments);
  z.commit();
}

void model::forward(int unit) {
  const auto in = z_->forward(unit);
  for (std::size_t i = begin_of(unit); i < begin_of(unit) + count_of(unit); ++i) {
    seen_[i] = weights_[i];
  }
}

void model::backward(int unit, int step) {
  auto in = z_->backward(unit);
  for (std::size_t i = begin_of(unit); i < begin_of(unit) + count_of(unit); ++i) {
    const double gradient = (static_cast<double>(weights_[i]) - goal(i)) * (z_->rank() + 1) + step;
    gradients_[i] += weights_[i] == seen_[i] ? static_cast<float>(gradient) : 1e6F;
  }
  in.end();
}

void model::gradients(int step) {
  for (int unit = 0; unit < units; ++unit) forward(unit);
  for (int unit = units; unit-- > 0;) backward(unit, step);
}

std::vector<float> model::whole() {
  const auto in = z_->full();
  return {weights_.begin(), weights_.end()};
}

std::vector<double> plain(int ranks, int steps, const plain_rule& rule) {
  std::vector<double> weights(elements);
  std::vector<double> states(elements);
  for (std::size_t i = 0; i < elements; ++i) weights[i] = initial(i);
  for (int step = 0; step < steps; ++step) {
    for (std::size_t i = 0; i < elements; ++i) {
      double mean = 0;
      for (int r = 0; r < ranks; ++r) mean += ((weights[i] - goal(i)) * (r + 1) + step) / ranks;
      rule(weights[i], mean, states[i]);
    }
  }
  return weights;
}

std::vector<std::exception_ptr> on_ranks(int count, const std::function<void(ranks&)>& body) {
  std::vector<ranks> all = ranks::threads(count);
  std::vector<std::exception_ptr> thrown(all.size());
  std::vector<std::thread> threads;
  for (std::size_t r = 0; r < all.size(); ++r) {
    threads.emplace_back([&, r] {
      try {
        body(all[r]);
      } catch (...) {
        thrown[r] = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return thrown;
}

void everywhere(int count, const std::function<void(ranks&)>& body) {
  for (const std::exception_ptr& thrown : on_ranks(count, body)) {
    if (thrown) std::rethrow_exception(thrown);
  }
}

}  // namespace zero::test
