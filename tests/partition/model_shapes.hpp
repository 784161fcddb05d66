#pragma once
// Parameter lists of published models, names and shapes as in Hugging Face's checkpoints; one unit
// for each embedding, block, final norm and head.

#include <zero/partition/model_spec.hpp>

namespace zero::partition::testing {

[[nodiscard]] model_spec gpt2_xl(dtype type);    // head tied to the token embedding
[[nodiscard]] model_spec llama2_7b(dtype type);  // one key and value head a query head
[[nodiscard]] model_spec llama3_8b(dtype type);  // 8 key and value heads for 32 query heads

}  // namespace zero::partition::testing
