#pragma once
// reference_gpt: the loss of a GPT in double precision, by plain loops over the formulas, for
// tests. It shares nothing with the trainer but the names and order of parameters.

#include "trainer/gpt_model.hpp"

#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace zero::trainer::testing {

using matrix = std::vector<std::vector<double>>;  // [row][column]

class reference_gpt {
 public:
  explicit reference_gpt(const gpt_config& config) : config_(config) {
    for (const auto& unit : model_of(config, dtype::fp32).units) {
      for (const auto& parameter : unit.parameters) {
        std::uint64_t count = 1;
        for (const auto dimension : parameter.shape) count *= dimension;
        values[parameter.name].assign(count, 0.0);
      }
    }
  }

  // By name, row-major, in HF's shapes.
  std::map<std::string, std::vector<double>> values;

  // Sum of cross-entropies of targets over all sequences.
  [[nodiscard]] double loss(const std::vector<std::int32_t>& tokens,
                            const std::vector<std::int32_t>& targets, int sequences) const {
    double total = 0;
    const std::size_t length = tokens.size() / static_cast<std::size_t>(sequences);
    for (std::size_t s = 0; s < static_cast<std::size_t>(sequences); ++s) {
      const matrix logits = forward({tokens.begin() + std::ptrdiff_t(s * length),
                                     tokens.begin() + std::ptrdiff_t((s + 1) * length)});
      for (std::size_t t = 0; t < length; ++t) {
        double sum = 0;
        for (const double logit : logits[t]) sum += std::exp(logit);
        total += std::log(sum) - logits[t][std::size_t(targets[s * length + t])];
      }
    }
    return total;
  }

  [[nodiscard]] matrix forward(const std::vector<std::int32_t>& tokens) const {
    const auto c = std::size_t(config_.channels);
    matrix x(tokens.size(), std::vector<double>(c));
    for (std::size_t t = 0; t < tokens.size(); ++t) {
      for (std::size_t i = 0; i < c; ++i) {
        x[t][i] = values.at("wte.weight")[std::size_t(tokens[t]) * c + i] +
                  values.at("wpe.weight")[t * c + i];
      }
    }
    for (int layer = 0; layer < config_.layers; ++layer) {
      const std::string h = "h." + std::to_string(layer) + ".";
      add(x, product(attend(product(norm(x, h + "ln_1"), h + "attn.c_attn")), h + "attn.c_proj"));
      add(x, product(gelu(product(norm(x, h + "ln_2"), h + "mlp.c_fc")), h + "mlp.c_proj"));
    }
    x = norm(x, "ln_f");
    matrix logits(tokens.size(), std::vector<double>(std::size_t(config_.vocabulary), 0.0));
    for (std::size_t t = 0; t < tokens.size(); ++t) {
      for (std::size_t v = 0; v < logits[t].size(); ++v) {
        for (std::size_t i = 0; i < c; ++i) {
          logits[t][v] += x[t][i] * values.at("wte.weight")[v * c + i];
        }
      }
    }
    return logits;
  }

 private:
  static void add(matrix& x, const matrix& y) {
    for (std::size_t t = 0; t < x.size(); ++t) {
      for (std::size_t i = 0; i < x[t].size(); ++i) x[t][i] += y[t][i];
    }
  }

  [[nodiscard]] matrix norm(const matrix& x, const std::string& name) const {
    matrix y = x;
    for (std::size_t t = 0; t < x.size(); ++t) {
      const auto n = static_cast<double>(x[t].size());
      double mean = 0, variance = 0;
      for (const double value : x[t]) mean += value / n;
      for (const double value : x[t]) variance += (value - mean) * (value - mean) / n;
      for (std::size_t i = 0; i < x[t].size(); ++i) {
        y[t][i] = (x[t][i] - mean) / std::sqrt(variance + 1e-5) * values.at(name + ".weight")[i] +
                  values.at(name + ".bias")[i];
      }
    }
    return y;
  }

  [[nodiscard]] matrix product(const matrix& x, const std::string& name) const {
    const std::vector<double>& weight = values.at(name + ".weight");
    const std::vector<double>& bias = values.at(name + ".bias");
    matrix y(x.size(), bias);
    for (std::size_t t = 0; t < x.size(); ++t) {
      for (std::size_t i = 0; i < x[t].size(); ++i) {
        for (std::size_t o = 0; o < bias.size(); ++o) {
          y[t][o] += x[t][i] * weight[i * bias.size() + o];
        }
      }
    }
    return y;
  }

  [[nodiscard]] matrix attend(const matrix& qkv) const {
    const auto c = std::size_t(config_.channels);
    const std::size_t size = c / std::size_t(config_.heads);
    matrix y(qkv.size(), std::vector<double>(c, 0.0));
    for (std::size_t t = 0; t < qkv.size(); ++t) {
      for (std::size_t h = 0; h < c; h += size) {
        std::vector<double> weights;
        double sum = 0;
        for (std::size_t u = 0; u <= t; ++u) {
          double score = 0;
          for (std::size_t i = h; i < h + size; ++i) score += qkv[t][i] * qkv[u][c + i];
          weights.push_back(std::exp(score / std::sqrt(static_cast<double>(size))));
          sum += weights.back();
        }
        for (std::size_t u = 0; u <= t; ++u) {
          for (std::size_t i = h; i < h + size; ++i) {
            y[t][i] += weights[u] / sum * qkv[u][2 * c + i];
          }
        }
      }
    }
    return y;
  }

  [[nodiscard]] static matrix gelu(matrix x) {
    for (auto& row : x) {
      for (double& v : row) {
        v = 0.5 * v * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
      }
    }
    return x;
  }

  gpt_config config_;
};

}  // namespace zero::trainer::testing
