#pragma once
// parameter_source: where the first values of parameters come from: random numbers or a file. Any
// slice of any parameter can be read alone, so that a rank reads what it owns and no more.
//
// One object, one thread.

#include "trainer/gpt_config.hpp"

#include <zero/base/span.hpp>

#include <cstdint>
#include <memory>
#include <string>

namespace zero::trainer {

class parameter_source {
 public:
  parameter_source() = default;
  parameter_source(const parameter_source&) = delete;
  parameter_source& operator=(const parameter_source&) = delete;
  virtual ~parameter_source() = default;

  // Elements [offset, offset + out.size()) of a parameter of model_of(config), in its shape and
  // row-major. Blocks. Throws invalid_argument (no such parameter or elements), io_error,
  // corrupt_data.
  virtual void read(const std::string& parameter, std::uint64_t offset, span<float> out) = 0;
};

// The file at `path` as values of `config`: a .safetensors file with GPT-2's names (also after
// "transformer.", and with tensors more than needed), or an llm.c checkpoint; told apart by their
// first bytes. Checks all names and shapes before it returns. Throws io_error, corrupt_data, and
// invalid_argument for a sound file of another model.
[[nodiscard]] std::unique_ptr<parameter_source> open_parameters(const std::string& path,
                                                                const gpt_config& config);

}  // namespace zero::trainer
