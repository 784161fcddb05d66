// The flat trainer's model in double, of all ranks together: plain loops after the formulas of
// Kingma and Ba (arXiv:1412.6980), Loshchilov and Hutter (arXiv:1711.05101) and of SGD with
// momentum.

#include "flat_trainer.hpp"

#include <cmath>

namespace zero::testing {
namespace {

using numbers = std::vector<double>;

// Adds one sample's gradient, weighted; returns its loss.
double add_sample(const numbers& p, int rank, int step, int micro, double weight, numbers& g) {
  const auto w = [](int l, int i, int j) {
    return static_cast<std::size_t>(width + (l * width + i) * width + j);
  };
  const auto b = [](int l, int i) {
    return static_cast<std::size_t>(width + depth * width * width + l * width + i);
  };
  const auto o = [](int i) { return flat_elements() - width + static_cast<std::size_t>(i); };
  std::vector<numbers> h(depth + 1, numbers(width));
  for (int i = 0; i < width; ++i) {
    h[0][static_cast<std::size_t>(i)] =
        p[static_cast<std::size_t>(i)] * input_value(rank, step, micro, i);
  }
  for (int l = 0; l < depth; ++l) {
    const numbers& in = h[static_cast<std::size_t>(l)];
    for (int i = 0; i < width; ++i) {
      double sum = p[b(l, i)];
      for (int j = 0; j < width; ++j) sum += p[w(l, i, j)] * in[static_cast<std::size_t>(j)];
      h[static_cast<std::size_t>(l) + 1][static_cast<std::size_t>(i)] =
          in[static_cast<std::size_t>(i)] + sum / 8;
    }
  }
  double off = -target_value(rank, step, micro);
  for (int i = 0; i < width; ++i) off += p[o(i)] * h[depth][static_cast<std::size_t>(i)];
  numbers down(width);
  for (int i = 0; i < width; ++i) {
    g[o(i)] += weight * off * h[depth][static_cast<std::size_t>(i)];
    down[static_cast<std::size_t>(i)] = off * p[o(i)];
  }
  for (int l = depth - 1; l >= 0; --l) {
    numbers up = down;
    for (int i = 0; i < width; ++i) {
      const double d = down[static_cast<std::size_t>(i)] / 8;
      g[b(l, i)] += weight * d;
      for (int j = 0; j < width; ++j) {
        g[w(l, i, j)] += weight * d * h[static_cast<std::size_t>(l)][static_cast<std::size_t>(j)];
        up[static_cast<std::size_t>(j)] += d * p[w(l, i, j)];
      }
    }
    down = up;
  }
  for (int i = 0; i < width; ++i) {
    g[static_cast<std::size_t>(i)] +=
        weight * down[static_cast<std::size_t>(i)] * input_value(rank, step, micro, i);
  }
  return off * off / 2;
}

}  // namespace

dense_result train_dense(const flat_run& run, int ranks) {
  const zero_config config = config_of(run);
  dense_result result;
  numbers& p = result.parameters;
  for (std::size_t i = 0; i < flat_elements(); ++i) p.push_back(initial_value(i));
  numbers m(p.size()), v(p.size());
  const double beta1 = static_cast<double>(config.group.beta1);
  const double beta2 = static_cast<double>(config.group.beta2);
  const double decay = static_cast<double>(run.weight_decay);
  const double rate = run.learning_rate;
  for (int step = 0; step < run.steps; ++step) {
    numbers g(p.size());
    double loss = 0;
    const double weight = run.gradients == ZERO_MEAN ? 1.0 / ranks : 1.0;
    for (int micro = 0; micro < run.micro_batches; ++micro) {
      for (int rank = 0; rank < ranks; ++rank) {
        loss += add_sample(p, rank, step, micro, weight, g) / ranks;
      }
    }
    double squares = 0;
    for (const double x : g) squares += x * x;
    const double norm = std::sqrt(squares);
    const double scale =
        run.clip_norm > 0 && norm > run.clip_norm ? run.clip_norm / (norm + 1e-6) : 1.0;
    for (std::size_t i = 0; i < p.size(); ++i) {
      const double x = g[i] * scale;
      if (run.rule == ZERO_SGD) {
        m[i] = static_cast<double>(run.momentum) * m[i] + x + decay * p[i];
        p[i] -= rate * m[i];
        continue;
      }
      m[i] = beta1 * m[i] + (1 - beta1) * x;
      v[i] = beta2 * v[i] + (1 - beta2) * x * x;
      const double corrected = m[i] / (1 - std::pow(beta1, step + 1));
      const double root = std::sqrt(v[i] / (1 - std::pow(beta2, step + 1)));
      p[i] -= rate * decay * p[i];
      p[i] -= rate * corrected / (root + static_cast<double>(config.group.epsilon));
    }
    result.losses.push_back(loss);
    result.norms.push_back(norm);
  }
  return result;
}

}  // namespace zero::testing
