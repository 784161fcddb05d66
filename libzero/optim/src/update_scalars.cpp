#include "update_scalars.hpp"

#include <zero/base/error.hpp>

#include <string>

namespace zero::optim::detail {
namespace {

void require(bool holds, const char* what) {
  if (!holds) throw invalid_argument(std::string("[optim.update] ") + what);
}

}  // namespace

void check(algorithm a, const step_scalars& scalars, const update_spans& spans) {
  require(scalars.step >= 1, "steps count from 1");
  require(spans.gradient.count == spans.count, "gradient and weights differ in count");
  require(spans.gradient.type != dtype::byte, "gradients of dtype byte");
  const bool cast_out = spans.parameter.data != nullptr;
  require(!cast_out || spans.parameter.count == spans.count,
          "parameter and weights differ in count");
  require(!cast_out || spans.parameter.type == dtype::bf16 || spans.parameter.type == dtype::fp16,
          "the parameter copy must be bf16 or fp16");
  if (spans.count == 0) return;
  require(spans.master != nullptr && spans.gradient.data != nullptr, "weights or gradient missing");
  for (int i = 0; i < state_count(a); ++i) require(spans.state[i] != nullptr, "a state is missing");
}

}  // namespace zero::optim::detail
