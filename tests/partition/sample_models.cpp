#include "sample_models.hpp"

#include <random>

namespace zero::partition::testing {
namespace {

constexpr std::uint64_t sizes[] = {0, 1, 2, 3, 13, 127, 128, 129, 1009, 4096};

// Not "p" + std::to_string(n), for which GCC 12 warns falsely (its bug 105651).
std::string numbered(std::string prefix, std::uint64_t number) {
  return prefix.append(std::to_string(number));
}

// Distributions of the standard library differ between platforms; this does not.
class dice {
 public:
  explicit dice(std::uint64_t seed) : engine_(seed) {}
  std::uint64_t below(std::uint64_t bound) { return engine_() % bound; }
  bool one_in(std::uint64_t n) { return below(n) == 0; }

 private:
  std::mt19937_64 engine_;
};

parameter_spec random_parameter(dice& roll, const std::string& name) {
  constexpr dtype types[] = {dtype::fp32, dtype::bf16, dtype::fp16};
  parameter_spec p = tensor(name, {sizes[roll.below(std::size(sizes))]}, types[roll.below(3)]);
  if (roll.one_in(3)) p.shape.push_back(1 + roll.below(5));
  if (roll.one_in(10)) p.shape.clear();
  p.trainable = !roll.one_in(5);
  p.group = static_cast<int>(roll.below(3));
  return p;
}

}  // namespace

parameter_spec tensor(std::string name, std::vector<std::uint64_t> shape, dtype type) {
  parameter_spec p;
  p.name = std::move(name);
  p.shape = std::move(shape);
  p.type = type;
  return p;
}

model_spec model_of_sizes(const std::vector<std::uint64_t>& counts) {
  unit_spec unit{"u", {}};
  for (std::size_t i = 0; i < counts.size(); ++i) {
    unit.parameters.push_back(tensor(numbered("p", i), {counts[i]}));
  }
  return {{unit}};
}

model_spec mixed_model() {
  unit_spec embedding{"embedding", {tensor("wte", {97, 12}, dtype::bf16)}};

  unit_spec block{"block", {}};
  block.parameters = {tensor("ln.weight", {12}, dtype::fp32), tensor("w", {12, 31}, dtype::bf16),
                      tensor("nothing", {0, 7}, dtype::fp16), tensor("scale", {}, dtype::fp32),
                      tensor("mask", {5}, dtype::bf16)};
  block.parameters[0].group = 1;
  block.parameters[1].stacked_in = "stack";
  block.parameters[1].stacked_offset = 372;
  block.parameters[4].trainable = false;

  unit_spec head{"head", {tensor("lm_head", {97, 12}, dtype::bf16), tensor("bias", {97})}};
  head.parameters[0].tied_to = "wte";
  return {{embedding, block, {"pause", {}}, head}};
}

model_spec random_model(std::uint64_t seed) {
  dice roll(seed);
  model_spec model;
  std::vector<parameter_spec> storages;
  std::size_t registered = 0;
  const std::uint64_t units = 1 + roll.below(5);
  for (std::uint64_t u = 0; u < units; ++u) {
    unit_spec unit{numbered("unit", u), {}};
    for (std::uint64_t left = roll.below(10); left > 0; --left) {
      const std::string name = numbered("p", registered++);
      if (!storages.empty() && roll.one_in(7)) {
        parameter_spec tied = storages[roll.below(storages.size())];
        tied.tied_to = std::exchange(tied.name, name);
        unit.parameters.push_back(tied);
      } else {
        unit.parameters.push_back(random_parameter(roll, name));
        storages.push_back(unit.parameters.back());
      }
    }
    model.units.push_back(unit);
  }
  return model;
}

}  // namespace zero::partition::testing
