// Padding of the flat layout on published models, printed, and its bounds.

#include "model_shapes.hpp"

#include <zero/partition/layout.hpp>

#include <gtest/gtest.h>

#include <cstdio>

namespace zero::partition::testing {
namespace {

struct published {
  const char* name;
  model_spec model;
  std::uint64_t parameters;  // as published with the checkpoint
};

std::vector<published> published_models() {
  return {{"GPT-2 XL", gpt2_xl(dtype::bf16), 1557611200},
          {"Llama-2-7B", llama2_7b(dtype::bf16), 6738415616},
          {"Llama-3-8B", llama3_8b(dtype::bf16), 8030261248}};
}

double padding_percent(const layout& l) {
  return 100.0 * static_cast<double>(l.padded() - l.payload()) / static_cast<double>(l.payload());
}

layout laid_out(const model_spec& model, int world, layout_kind kind = layout_kind::flat) {
  layout_options options;
  options.world_size = world;
  options.kind = kind;
  return layout(model, options);
}

TEST(padding, published_models_have_their_published_size) {
  for (const published& p : published_models()) {
    EXPECT_EQ(element_count(p.model), p.parameters) << p.name;
    EXPECT_EQ(laid_out(p.model, 3).payload(), p.parameters) << p.name;
  }
}

TEST(padding, table_of_published_models) {
  constexpr int worlds[] = {8, 16, 32, 64, 128, 256, 512, 1024};
  std::printf("padding, %% of the model, flat, bf16, alignment 128\n%-12s", "ranks");
  for (const int world : worlds) std::printf("%9d", world);
  std::printf("\n");
  for (const published& p : published_models()) {
    std::printf("%-12s", p.name);
    for (const int world : worlds) {
      const double percent = padding_percent(laid_out(p.model, world));
      std::printf("%9.4f", percent);
      EXPECT_LE(percent, world <= 64 ? 0.1 : 0.5) << p.name << " at " << world;
    }
    std::printf("\n");
  }
}

// Powers of two flatter models of powers of two.
TEST(padding, bound_holds_for_every_world_up_to_1024) {
  for (const published& p : published_models()) {
    double worst = 0;
    int at = 1;
    for (int world = 1; world <= 1024; ++world) {
      const double percent = padding_percent(laid_out(p.model, world));
      ASSERT_LE(percent, world <= 64 ? 0.1 : 0.5) << p.name << " at " << world;
      if (percent > worst) {
        worst = percent;
        at = world;
      }
    }
    std::printf("%-12s worst of 1 to 1024 ranks: %.4f %% at %d\n", p.name, worst, at);
  }
}

// Whole parameters cost what they cost; what is known is that no rank may hold less than the
// largest parameter, nor less than its share.
TEST(padding, whole_parameters) {
  for (const published& p : published_models()) {
    std::printf("%-12s whole parameters:", p.name);
    for (const int world : {2, 4, 8, 64}) {
      const layout l = laid_out(p.model, world, layout_kind::whole);
      std::printf("  %d ranks %.1f %%", world, padding_percent(l));
      for (const placement& at : l.parameters()) {
        const bucket& b = l.buckets()[at.bucket];
        EXPECT_GE(b.shard, at.count);
        EXPECT_GE(b.padded, b.payload);
      }
    }
    std::printf("\n");
  }
}

}  // namespace
}  // namespace zero::partition::testing
