#include "engine/own_rule_oracle.hpp"

#include <zero/base/float16.hpp>

#include <cmath>

namespace zero::testing {
namespace {

float rounded(float value, dtype type) {
  if (type == dtype::bf16) return to_float(to_bf16(value));
  if (type == dtype::fp16) return to_float(to_fp16(value));
  return value;
}

float load(const const_typed_span& values, std::uint64_t i) {
  if (values.type == dtype::bf16) return to_float(static_cast<const bf16_t*>(values.data)[i]);
  if (values.type == dtype::fp16) return to_float(static_cast<const fp16_t*>(values.data)[i]);
  return static_cast<const float*>(values.data)[i];
}

// Of all ranks and micro-batches of a step, as the engine promises: by rank in fp32, then added in
// the order of the micro-batches.
float reduced(const toy_run& run, int world, int step, std::size_t parameter, std::uint64_t element,
              float stored) {
  const bool boundary = run.options.reduction == reduce_at::boundary;
  const auto of_use = [&](int rank, int micro, std::size_t used_as, float before) {
    double value = toy_gradient(rank, step, micro, used_as, element, stored);
    if (step == run.bad_step && rank == world - 1 && element == 0) value = INFINITY;
    return rounded(before + static_cast<float>(value * run.options.loss_scale.initial), run.type);
  };
  const auto of_rank = [&](int rank, int micro, float before) {
    const float once = of_use(rank, micro, parameter, before);
    return parameter == 0 ? of_use(rank, micro, 2, once) : once;  // "first.tied" is it too
  };
  float total = 0;
  if (boundary) {
    for (int rank = 0; rank < world; ++rank) {
      float kept = 0;
      for (int micro = 0; micro < run.micro_batches; ++micro) kept = of_rank(rank, micro, kept);
      total += kept;
    }
  } else {
    for (int micro = 0; micro < run.micro_batches; ++micro) {
      float sum = 0;
      for (int rank = 0; rank < world; ++rank) sum += of_rank(rank, micro, 0);
      total += sum;
    }
  }
  return run.options.gradients == gradient_storage::same ? rounded(total, run.type) : total;
}

struct plain_model {
  std::vector<partition::parameter_spec> parameters;

  explicit plain_model(const toy_run& run) {
    for (const auto& unit : toy_model(run.type, run.wide).units) {
      parameters.insert(parameters.end(), unit.parameters.begin(), unit.parameters.end());
    }
  }
  [[nodiscard]] std::uint64_t count(std::size_t i) const {
    if (!parameters[i].tied_to.empty()) return 0;
    std::uint64_t product = 1;
    for (const std::uint64_t n : parameters[i].shape) product *= n;
    return product;
  }
};

}  // namespace

void odd_update(float& weight, float gradient, float* const* state, std::uint64_t i,
                float learning_rate, std::uint64_t step, std::size_t parameter,
                std::uint64_t element) {
  float& slow = state[0][i];
  float& size = state[1][i];
  float& seen = state[2][i];
  slow = 0.75F * slow + gradient;
  size = size + gradient * gradient;
  seen = seen + static_cast<float>(step);
  const float place = static_cast<float>((parameter * 13 + element) % 31) / 64.0F;
  weight -= learning_rate * (slow / (1.0F + std::sqrt(size)) + place / seen);
}

void odd_rule(const state_range& range) {
  for (std::uint64_t i = 0; i < range.count; ++i) {
    odd_update(range.master[i], load(range.gradient, i), range.states, i, range.learning_rate,
               range.step, range.parameter, range.offset + i);
  }
}

plain_result train_plain(toy_run run, int world, const change_of_options& before) {
  const plain_model model(run);
  plain_result all;
  all.master.resize(model.parameters.size());
  for (auto& s : all.states) s.resize(model.parameters.size());
  for (std::size_t p = 0; p < model.parameters.size(); ++p) {
    for (std::uint64_t e = 0; e < model.count(p); ++e) {
      const float value = toy_value(p, e);
      all.master[p].push_back(model.parameters[p].trainable ? value : rounded(value, run.type));
    }
    if (!model.parameters[p].trainable) continue;
    for (auto& s : all.states) s[p].assign(all.master[p].size(), 0.0F);
  }
  const double scale = run.options.loss_scale.initial * run.options.gradient_divisor;
  std::uint64_t updates = 0;
  for (int step = 0; step < run.steps; ++step) {
    if (before) before(run.options, step);
    std::vector<std::vector<float>> gradient(model.parameters.size());
    double squares = 0;
    for (std::size_t p = 0; p < model.parameters.size(); ++p) {
      if (!model.parameters[p].trainable) continue;
      for (std::uint64_t e = 0; e < all.master[p].size(); ++e) {
        const float g = reduced(run, world, step, p, e, rounded(all.master[p][e], run.type));
        gradient[p].push_back(g);
        squares += static_cast<double>(g) * g;
      }
    }
    const double norm = std::sqrt(squares) / scale;
    all.norms.push_back(norm);
    if (!std::isfinite(norm)) continue;
    ++updates;
    const double clip = run.options.clip_norm;
    const double factor = clip > 0 && norm > clip ? clip / (norm + 1e-6) : 1.0;
    const auto by = static_cast<float>(1.0 / scale * factor);
    for (std::size_t p = 0; p < model.parameters.size(); ++p) {
      const auto group = static_cast<std::size_t>(model.parameters[p].group);
      const float rate = run.learning_rate * run.options.groups[group].learning_rate_factor;
      for (std::uint64_t e = 0; e < gradient[p].size(); ++e) {
        float g = gradient[p][e] * by;
        if (run.options.gradients == gradient_storage::same) g = rounded(g, run.type);
        float* const state[] = {all.states[0][p].data(), all.states[1][p].data(),
                                all.states[2][p].data()};
        odd_update(all.master[p][e], g, state, e, rate, updates, p, e);
      }
    }
  }
  return all;
}

toy_run with_odd_rule(toy_run run) {
  run.options.own_states = odd_states;
  run.update = [rate = run.learning_rate](sharded_optimizer& optimizer, int) {
    optimizer.queue_step(rate, odd_rule);
  };
  return run;
}

}  // namespace zero::testing
