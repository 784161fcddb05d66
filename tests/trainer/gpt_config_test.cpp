#include "trainer/gpt_config.hpp"

#include "trainer/gpt_model.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>

#include <set>

namespace zero::trainer {
namespace {

std::uint64_t elements(const partition::model_spec& model) {
  std::uint64_t total = 0;
  for (const auto& unit : model.units) {
    for (const auto& parameter : unit.parameters) {
      std::uint64_t count = 1;
      for (const auto dimension : parameter.shape) count *= dimension;
      total += count;
    }
  }
  return total;
}

TEST(gpt_config, parameter_counts_are_those_that_are_known) {
  EXPECT_EQ(parameter_count(find_gpt("gpt-3m")), 3241472u);
  // Published sizes of GPT-2, embedding counted once.
  EXPECT_EQ(parameter_count(find_gpt("gpt2")), 124439808u);
  EXPECT_EQ(parameter_count(find_gpt("gpt2-medium")), 354823168u);
  EXPECT_EQ(parameter_count(find_gpt("gpt2-large")), 774030080u);
  EXPECT_EQ(parameter_count(find_gpt("gpt2-xl")), 1557611200u);
}

TEST(gpt_config, the_model_has_as_many_elements_as_counted) {
  for (const gpt_config& preset : gpt_presets()) {
    const partition::model_spec model = model_of(preset, dtype::bf16);
    EXPECT_EQ(elements(model), parameter_count(preset)) << preset.name;
    EXPECT_EQ(model.units.size(), static_cast<std::size_t>(preset.layers) + 2);
    std::set<std::string> names;
    for (const auto& unit : model.units) {
      for (const auto& parameter : unit.parameters) {
        EXPECT_TRUE(names.insert(parameter.name).second) << parameter.name;
        EXPECT_EQ(parameter.type, dtype::bf16);
        EXPECT_EQ(parameter.group, parameter.shape.size() == 2 ? 0 : 1);
      }
    }
  }
}

TEST(gpt_config, names_and_shapes_are_those_of_gpt2) {
  const partition::model_spec model = model_of(find_gpt("gpt2"), dtype::fp32);
  using shape = std::vector<std::uint64_t>;
  EXPECT_EQ(model.units[0].name, "embedding");
  EXPECT_EQ(model.units[0].parameters[0].shape, (shape{50257, 768}));
  EXPECT_EQ(model.units[0].parameters[1].name, "wpe.weight");
  const auto& block = model.units[12];
  EXPECT_EQ(block.name, "h.11");
  ASSERT_EQ(block.parameters.size(), 12u);
  EXPECT_EQ(block.parameters[attn_attn_weight].name, "h.11.attn.c_attn.weight");
  EXPECT_EQ(block.parameters[attn_attn_weight].shape, (shape{768, 2304}));
  EXPECT_EQ(block.parameters[mlp_fc_weight].shape, (shape{768, 3072}));
  EXPECT_EQ(block.parameters[mlp_proj_weight].name, "h.11.mlp.c_proj.weight");
  EXPECT_EQ(block.parameters[mlp_proj_weight].shape, (shape{3072, 768}));
  EXPECT_EQ(model.units[13].name, "ln_f");
  EXPECT_EQ(model.units[13].parameters[1].name, "ln_f.bias");
}

TEST(gpt_config, block_sizes_are_those_of_the_model) {
  const gpt_config config = find_gpt("gpt-4m-odd");
  const auto sizes = block_sizes(config);
  const partition::model_spec model = model_of(config, dtype::fp32);
  const auto& block = model.units[1];
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    std::uint64_t count = 1;
    for (const auto dimension : block.parameters[i].shape) count *= dimension;
    EXPECT_EQ(sizes[i], count) << block.parameters[i].name;
  }
}

TEST(gpt_config, a_forward_ends_with_the_embedding) {
  EXPECT_EQ(forward_order({"", 2, 1, 1, 1, 1}), (std::vector<int>{0, 1, 2, 0}));
  EXPECT_EQ(forward_order(find_gpt("gpt-3m")), (std::vector<int>{0, 1, 2, 3, 4, 5, 0}));
}

TEST(gpt_config, an_unknown_name_lists_the_known_ones) {
  try {
    static_cast<void>(find_gpt("gpt-3"));
    FAIL();
  } catch (const invalid_argument& error) {
    for (const gpt_config& preset : gpt_presets()) {
      EXPECT_NE(std::string(error.what()).find(preset.name), std::string::npos);
    }
    EXPECT_NE(std::string(error.what()).find("'gpt-3'"), std::string::npos);
  }
}

TEST(gpt_config, numbers_out_of_range_are_named) {
  const gpt_config good{"", 256, 4, 256, 4, 64};
  EXPECT_NO_THROW(check(good));
  int gpt_config::*const members[] = {&gpt_config::vocabulary, &gpt_config::layers,
                                      &gpt_config::channels, &gpt_config::heads,
                                      &gpt_config::context};
  for (const auto member : members) {
    for (const int value : {0, -1, (1 << 20) + 1}) {
      gpt_config bad = good;
      bad.*member = value;
      EXPECT_THROW(check(bad), invalid_argument);
      EXPECT_THROW(static_cast<void>(model_of(bad, dtype::fp32)), invalid_argument);
    }
  }
  gpt_config uneven = good;
  uneven.heads = 3;
  EXPECT_THROW(check(uneven), invalid_argument);
}

}  // namespace
}  // namespace zero::trainer
