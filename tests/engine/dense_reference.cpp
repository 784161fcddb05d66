// train_dense: the textbook update in double over whole parameters, written from the formulas and
// without anything of the library but its rounding to 16 bits, which is tested elsewhere.

#include "toy_client.hpp"

#include <zero/base/float16.hpp>

#include <cmath>
#include <stdexcept>

namespace zero::testing {
namespace {

double rounded(double value, dtype type) {
  const auto f = static_cast<float>(value);
  if (type == dtype::bf16) return to_float(to_bf16(f));
  if (type == dtype::fp16) return to_float(to_fp16(f));
  return f;
}

struct element {
  double master = 0, first = 0, second = 0;
};

void update(element& e, double g, const engine_options& options, const parameter_group& group,
            double rate, int step) {
  const optim::hyper& h = group.constants;
  const double lr = rate * group.learning_rate_factor;
  const double wd = h.weight_decay;
  switch (options.algorithm) {
    case optim::algorithm::adam:
    case optim::algorithm::adamw: {
      if (options.algorithm == optim::algorithm::adam) g += wd * e.master;
      if (options.algorithm == optim::algorithm::adamw) e.master -= lr * wd * e.master;
      e.first = h.beta1 * e.first + (1 - h.beta1) * g;
      e.second = h.beta2 * e.second + (1 - h.beta2) * g * g;
      const double m = e.first / (1 - std::pow(h.beta1, step));
      const double v = e.second / (1 - std::pow(h.beta2, step));
      e.master -= lr * m / (std::sqrt(v) + h.epsilon);
      return;
    }
    case optim::algorithm::sgd:
      g += wd * e.master;
      e.first = h.momentum * e.first + g;
      e.master -= lr * (h.nesterov ? g + h.momentum * e.first : e.first);
      return;
    case optim::algorithm::lion: {
      const double c = h.beta1 * e.first + (1 - h.beta1) * g;
      e.master -= lr * wd * e.master;
      e.master -= lr * (c > 0 ? 1 : c < 0 ? -1 : 0);
      e.first = h.beta2 * e.first + (1 - h.beta2) * g;
      return;
    }
    case optim::algorithm::adagrad:
      g += wd * e.master;
      e.first += g * g;
      e.master -= lr * g / (std::sqrt(e.first) + h.epsilon);
      return;
  }
  throw std::logic_error("algorithm");
}

}  // namespace

dense_result train_dense(const toy_run& run, int world) {
  struct dense_parameter {
    partition::parameter_spec spec;
    std::vector<element> elements;
    std::vector<double> gradient;
  };
  std::vector<dense_parameter> parameters;
  for (const auto& unit : toy_model(run.type, run.wide).units) {
    for (const auto& spec : unit.parameters) {
      const bool owns = spec.tied_to.empty();
      const std::uint64_t count = owns ? partition::element_count(spec.shape) : 0;
      parameters.push_back({spec, std::vector<element>(count), std::vector<double>(count)});
      for (std::uint64_t i = 0; i < count; ++i) {
        parameters.back().elements[i].master = toy_value(parameters.size() - 1, i);
      }
    }
  }
  dense_result result;
  int updates = 0;
  for (int step = 0; step < run.steps; ++step) {
    double squares = 0;
    for (std::size_t p = 0; p < parameters.size(); ++p) {
      if (!parameters[p].spec.trainable) continue;
      // A tied parameter is one storage shown twice, so the client adds to it twice.
      for (std::uint64_t i = 0; i < parameters[p].elements.size(); ++i) {
        double sum = 0;
        const double stored = rounded(parameters[p].elements[i].master, run.type);
        for (int rank = 0; rank < world; ++rank) {
          for (int micro = 0; micro < run.micro_batches; ++micro) {
            double local = toy_gradient(rank, step, micro, p, i, stored);
            if (p == 0) local += toy_gradient(rank, step, micro, 2, i, stored);
            sum += local;
          }
        }
        parameters[p].gradient[i] = sum;
        squares += sum * sum;
      }
    }
    const double norm = std::sqrt(squares);
    result.norms.push_back(norm);
    if (step == run.bad_step) continue;
    ++updates;
    const double clip = run.options.clip_norm;
    const double factor = clip > 0 && norm > clip ? clip / norm : 1.0;
    for (dense_parameter& p : parameters) {
      if (!p.spec.trainable) continue;
      for (std::size_t i = 0; i < p.elements.size(); ++i) {
        update(p.elements[i], p.gradient[i] * factor, run.options,
               run.options.groups[static_cast<std::size_t>(p.spec.group)], run.learning_rate,
               updates);
      }
    }
  }
  for (const dense_parameter& p : parameters) {
    std::vector<double> values;
    for (const element& e : p.elements) values.push_back(e.master);
    result.master.push_back(values);
  }
  return result;
}

}  // namespace zero::testing
