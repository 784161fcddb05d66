// What a parameter takes by the formats chosen is what the engine lays out.

#include "train/state_bytes.hpp"

#include <zero/engine/sharded_optimizer.hpp>

#include <gtest/gtest.h>

namespace zero::cli {
namespace {

using optim::master_format;
using optim::state_format;

// Of a model without padding whose state rests whole on a lone rank, at stage 2 so that reduced
// gradients are apart.
memory_by_account laid_out(const common_options& o, std::uint64_t elements) {
  engine_options engine;
  engine.policy = partition::policy_of_stage(2);
  engine.algorithm = o.optimizer;
  engine.formats = o.formats;
  engine.gradients = o.gradient_dtype;
  partition::parameter_spec weight;
  weight.name = "weight";
  weight.shape = {elements};
  weight.type = o.dtype;
  return sharded_optimizer::predict({{{"unit", {weight}}}}, engine, 1).predicted;
}

TEST(StateBytes, AreThoseOfTheMemoryPlan) {
  constexpr std::uint64_t elements = 128 * 128;  // every array whole cache lines
  const auto of = [](const memory_by_account& bytes, memory_account account) {
    return static_cast<double>(bytes[static_cast<std::size_t>(account)]) / elements;
  };
  for (const auto states : {state_format::fp32, state_format::bf16, state_format::block8}) {
    for (const auto master : {master_format::fp32, master_format::remainder, master_format::none}) {
      for (const auto rule : {optim::algorithm::adamw, optim::algorithm::lion}) {
        for (const auto gradients : {gradient_storage::fp32, gradient_storage::same}) {
          common_options o;
          o.dtype = dtype::bf16;
          o.optimizer = rule;
          o.formats = {states, master};
          o.gradient_dtype = gradients;
          const auto told = bytes_per_parameter(o);
          const memory_by_account bytes = laid_out(o, elements);
          EXPECT_EQ(told.at("optimizer_states").get<double>() + told.at("master").get<double>(),
                    of(bytes, memory_account::optimizer));
          EXPECT_EQ(told.at("gradients"), of(bytes, memory_account::gradients));
          EXPECT_EQ(told.at("parameters"), of(bytes, memory_account::parameters));
        }
      }
    }
  }
}

TEST(StateBytes, AreTheKnownNumbers) {
  common_options o;
  o.dtype = dtype::fp32;
  EXPECT_EQ(bytes_per_parameter(o).at("all"), 16.0);
  o.dtype = dtype::bf16;
  EXPECT_EQ(bytes_per_parameter(o).at("all"), 18.0);
  o.formats = {state_format::block8, master_format::remainder};
  EXPECT_EQ(bytes_per_parameter(o).at("all"), 2 * 132.0 / 128 + 2 + 4 + 2);
}

}  // namespace
}  // namespace zero::cli
