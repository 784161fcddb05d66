// The digest and the difference agree with each other and notice any single change.

#include "sample_models.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <map>

namespace zero::partition::testing {
namespace {

struct change {
  const char* what;
  std::function<void(model_spec&, layout_options&)> apply;
  const char* difference;  // of the unchanged layout to the changed
};

parameter_spec& at(model_spec& model, std::size_t unit, std::size_t parameter) {
  return model.units.at(unit).parameters.at(parameter);
}

layout_options base_options() {
  layout_options options;
  options.world_size = 3;
  return options;
}

std::vector<change> option_changes() {
  return {
      {"world_size", [](auto&, auto& o) { o.world_size = 4; },
       "option world_size: 3 here, 4 there"},
      {"kind", [](auto&, auto& o) { o.kind = layout_kind::whole; },
       "option kind: flat here, whole there"},
      {"alignment", [](auto&, auto& o) { o.alignment = 64; },
       "option alignment: 128 here, 64 there"},
      {"resident_bytes", [](auto&, auto& o) { o.resident_bytes = 1; },
       "option resident_bytes: 0 here, 1 there"},
  };
}

std::vector<change> parameter_changes() {
  return {
      {"name", [](auto& m, auto&) { at(m, 1, 0).name = "ln.bias"; },
       "parameter 1: 'ln.weight' [12] fp32 here, 'ln.bias' [12] fp32 there"},
      {"extent", [](auto& m, auto&) { at(m, 1, 0).shape = {13}; },
       "parameter 1: 'ln.weight' [12] fp32 here, 'ln.weight' [13] fp32 there"},
      {"same count",
       [](auto& m, auto&) {
         at(m, 1, 0).shape = {3, 4};
       },
       "parameter 1: 'ln.weight' [12] fp32 here, 'ln.weight' [3, 4] fp32 there"},
      {"scalar", [](auto& m, auto&) { at(m, 1, 3).shape = {1}; },
       "parameter 4: 'scale' [] fp32 here, 'scale' [1] fp32 there"},
      {"dtype", [](auto& m, auto&) { at(m, 1, 1).type = dtype::fp16; },
       "parameter 2: 'w' [12, 31] bf16 here, 'w' [12, 31] fp16 there"},
      {"trainable", [](auto& m, auto&) { at(m, 1, 4).trainable = true; },
       "parameter 5: 'mask' [5] bf16 frozen here, 'mask' [5] bf16 trainable there"},
      {"group", [](auto& m, auto&) { at(m, 1, 0).group = 2; },
       "parameter 1: 'ln.weight' [12] fp32 group 1 here, 'ln.weight' [12] fp32 group 2 there"},
      {"negative group", [](auto& m, auto&) { at(m, 1, 0).group = -1; },
       "parameter 1: 'ln.weight' [12] fp32 group 1 here, 'ln.weight' [12] fp32 group -1 there"},
      {"untied", [](auto& m, auto&) { at(m, 3, 0).tied_to.clear(); },
       "parameter 6: 'lm_head' [97, 12] bf16 tied to 'wte' here, "
       "'lm_head' [97, 12] bf16 not tied there"},
      {"not stacked",
       [](auto& m, auto&) {
         at(m, 1, 1).stacked_in.clear();
         at(m, 1, 1).stacked_offset = 0;
       },
       "parameter 2: 'w' [12, 31] bf16 stacked in 'stack' at 372 here, "
       "'w' [12, 31] bf16 not stacked at 0 there"},
      {"stack", [](auto& m, auto&) { at(m, 1, 1).stacked_in = "pile"; },
       "parameter 2: 'w' [12, 31] bf16 stacked in 'stack' at 372 here, "
       "'w' [12, 31] bf16 stacked in 'pile' at 372 there"},
      {"stacked_offset", [](auto& m, auto&) { at(m, 1, 1).stacked_offset = 744; },
       "parameter 2: 'w' [12, 31] bf16 stacked in 'stack' at 372 here, "
       "'w' [12, 31] bf16 stacked in 'stack' at 744 there"},
      {"order", [](auto& m, auto&) { std::swap(at(m, 1, 0), at(m, 1, 3)); },
       "parameter 1: 'ln.weight' [12] fp32 group 1 here, 'scale' [] fp32 group 0 there"},
  };
}

std::vector<change> structure_changes() {
  return {
      {"order of units", [](auto& m, auto&) { std::swap(m.units[1], m.units[2]); },
       "parameter 1: 'ln.weight' [12] fp32 in unit 1 'block' here, "
       "'ln.weight' [12] fp32 in unit 2 'block' there"},
      {"name of a unit", [](auto& m, auto&) { m.units[1].name = "h.0"; },
       "parameter 1: 'ln.weight' [12] fp32 in unit 1 'block' here, "
       "'ln.weight' [12] fp32 in unit 1 'h.0' there"},
      {"name of an empty unit", [](auto& m, auto&) { m.units[2].name = "rest"; },
       "unit 2: 'pause' here, 'rest' there"},
      {"another empty unit",
       [](auto& m, auto&) {
         m.units.push_back({"end", {}});
       },
       "unit 4: none here, 'end' there"},
      {"boundary of units",
       [](auto& m, auto&) {
         m.units[2].parameters.push_back(at(m, 1, 4));
         m.units[1].parameters.pop_back();
       },
       "parameter 5: 'mask' [5] bf16 in unit 1 'block' here, "
       "'mask' [5] bf16 in unit 2 'pause' there"},
      {"one more", [](auto& m, auto&) { m.units[3].parameters.push_back(tensor("x", {4})); },
       "parameter 8: none here, 'x' [4] fp32 there (8 and 9 parameters)"},
      {"one less", [](auto& m, auto&) { m.units[3].parameters.pop_back(); },
       "parameter 7: 'bias' [97] fp32 here, none there (8 and 7 parameters)"},
      {"a line break", [](auto& m, auto&) { at(m, 3, 1).name = "bias\n"; },
       "parameter 7: 'bias' [97] fp32 here, 'bias\\x0a' [97] fp32 there"},
      {"what a line break is shown as", [](auto& m, auto&) { at(m, 3, 1).name = "bias\\x0a"; },
       "parameter 7: 'bias' [97] fp32 here, 'bias\\x5cx0a' [97] fp32 there"},
      {"nothing left", [](auto& m, auto&) { m.units.clear(); },
       "parameter 0: 'wte' [97, 12] bf16 here, none there (8 and 0 parameters)"},
  };
}

std::vector<change> all_changes() {
  std::vector<change> all;
  for (const auto& some : {option_changes(), parameter_changes(), structure_changes()}) {
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

TEST(layout_identity, same_input_same_digest) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const layout a(random_model(seed), base_options());
    const layout b(random_model(seed), base_options());
    EXPECT_EQ(a.digest(), b.digest()) << seed;
    EXPECT_EQ(a.difference(b), "") << seed;
  }
}

TEST(layout_identity, any_single_change_is_another_digest) {
  std::map<std::string, std::string> seen;  // digest, by whom
  seen[to_hex(layout(mixed_model(), base_options()).digest())] = "unchanged";
  for (const change& c : all_changes()) {
    model_spec model = mixed_model();
    layout_options options = base_options();
    c.apply(model, options);
    const auto [other, fresh] = seen.emplace(to_hex(layout(model, options).digest()), c.what);
    EXPECT_TRUE(fresh) << c.what << " has the digest of " << other->second;
  }
}

TEST(layout_identity, difference_names_the_first) {
  const layout base(mixed_model(), base_options());
  for (const change& c : all_changes()) {
    model_spec model = mixed_model();
    layout_options options = base_options();
    c.apply(model, options);
    const layout changed(model, options);
    EXPECT_EQ(base.difference(changed), c.difference) << c.what;
    EXPECT_NE(changed.difference(base), "") << c.what;
    EXPECT_NE(changed.difference(base), c.difference) << c.what;
  }
}

TEST(layout_identity, difference_comes_in_registration_order) {
  model_spec model = mixed_model();
  at(model, 3, 1).shape = {98};
  at(model, 1, 3).name = "gain";
  const std::string text =
      layout(mixed_model(), base_options()).difference(layout(model, base_options()));
  EXPECT_EQ(text, "parameter 4: 'scale' [] fp32 here, 'gain' [] fp32 there");
}

// Digests are compared between builds; what goes into one is written out here once more.
TEST(layout_identity, digest_is_of_the_description) {
  layout_options options;
  options.world_size = 5;
  options.kind = layout_kind::whole;
  options.alignment = 64;
  options.resident_bytes = 1024;
  parameter_spec p = tensor("w", {3, 7}, dtype::bf16);
  p.trainable = false;
  p.group = 2;
  p.stacked_in = "stack";
  p.stacked_offset = 42;
  parameter_spec tied = tensor("v", {3, 7}, dtype::bf16);
  tied.trainable = false;
  tied.group = 2;
  tied.tied_to = "w";

  const std::string none;
  hash128 hash;
  hash.update(std::string("zero.layout/1"));
  for (const std::uint64_t number : {5U, 1U, 64U, 1024U, 1U}) hash.update(number);
  hash.update(std::string("u"));
  hash.update(std::uint64_t{2});
  for (const bool second : {false, true}) {
    hash.update(std::string(second ? "v" : "w"));
    for (const std::uint64_t number : {2U, 3U, 7U}) hash.update(number);
    hash.update(std::string("bf16"));
    for (const std::uint64_t number : {0U, 2U}) hash.update(number);
    hash.update(second ? std::string("w") : none);
    hash.update(second ? none : std::string("stack"));
    hash.update(std::uint64_t{second ? 0U : 42U});
  }
  EXPECT_EQ(to_hex(layout({{{"u", {p, tied}}}}, options).digest()), to_hex(hash.digest()));
}

}  // namespace
}  // namespace zero::partition::testing
