#pragma once
// model_file: the shapes of a model from a config.json as Hugging Face has them (GPT-2, Llama,
// Mistral, Mixtral, Qwen) or from the header of a .safetensors file.
//
// Files may be anybody's: what is read of them is bounded. Pure but for reading the file.

#include "plan/planned_model.hpp"

#include <string>

namespace zero::cli {

// Parameters are of `type`, whatever the file's are. Throws invalid_argument that names
// --model-file, the file and the key or byte for what is none of these.
[[nodiscard]] planned_model read_model_file(const std::string& path, dtype type);

// The same of either kind.
[[nodiscard]] planned_model read_model_config(const std::string& path, dtype type);
[[nodiscard]] planned_model read_model_header(const std::string& path, dtype type);

}  // namespace zero::cli
