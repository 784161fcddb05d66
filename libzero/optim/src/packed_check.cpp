#include "packed_check.hpp"

#include <zero/base/error.hpp>

#include <string>

namespace zero::optim::detail {
namespace {

void require(bool holds, const char* what) {
  if (!holds) throw invalid_argument(std::string("[optim.packed] ") + what);
}

void check_parameter(const packed_spans& spans) {
  const typed_span& parameter = spans.parameter;
  if (spans.formats.master == master_format::fp32 && parameter.data == nullptr) return;
  require(parameter.count == spans.count, "parameter and weights differ in count");
  const bool bf16 = parameter.type == dtype::bf16;
  require(bf16 || parameter.type == dtype::fp16, "parameters must be bf16 or fp16");
  require(bf16 || spans.formats.master != master_format::remainder,
          "parameters with remainders must be bf16");
  require(parameter.data != nullptr || spans.count == 0, "parameters are missing");
}

void check_arrays(const packed_spans& spans) {
  require(spans.count % format_block == 0, "a count that is not a multiple of 128");
  check_parameter(spans);
  require(
      spans.master != nullptr || spans.formats.master == master_format::none || spans.count == 0,
      "master weights or remainders are missing");
}

}  // namespace

void check_packed(algorithm a, span<const update_run> runs, std::uint64_t step,
                  const packed_spans& spans) {
  require(step >= 1, "steps count from 1");
  check_arrays(spans);
  require(spans.gradient.count == spans.count, "gradient and weights differ in count");
  require(spans.gradient.type != dtype::byte, "gradients of dtype byte");
  require(spans.gradient.data != nullptr || spans.count == 0, "the gradient is missing");
  for (int i = 0; i < state_count(a); ++i) {
    require(spans.state[i] != nullptr || spans.count == 0, "a state is missing");
  }
  std::uint64_t end = 0;
  for (const update_run& run : runs) {
    require(run.offset >= end, "runs that do not ascend");
    require(run.offset <= spans.count && run.count <= spans.count - run.offset,
            "a run that ends behind the range");
    end = run.offset + run.count;
  }
}

void check_weights(const const_typed_span& values, const packed_spans& spans) {
  check_arrays(spans);
  require(values.type == dtype::fp32, "weights that are not fp32");
  require(values.count == spans.count, "values and weights differ in count");
  require(values.data != nullptr || spans.count == 0, "values are missing");
}

}  // namespace zero::optim::detail
