// Everything a layout refuses, and that it says whom.

#include "sample_models.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>

namespace zero::partition::testing {
namespace {

constexpr std::uint64_t two_to(int power) { return std::uint64_t{1} << power; }

// Expects a refusal in one line that holds all of `words`.
void expect_refused(const model_spec& model, const layout_options& options,
                    const std::vector<std::string>& words) {
  try {
    const layout l(model, options);
    FAIL() << "accepted; expected " << words.front();
  } catch (const invalid_argument& refused) {
    const std::string text = refused.what();
    EXPECT_EQ(refused.kind(), error_class::usage);
    EXPECT_EQ(text.find('\n'), std::string::npos) << text;
    for (const std::string& word : words) {
      EXPECT_NE(text.find(word), std::string::npos) << text << "\nlacks " << word;
    }
  }
}

// mixed_model with one change to it. [unit][parameter] as in sample_models.cpp.
template <typename Change>
void expect_change_refused(Change&& change, const std::vector<std::string>& words) {
  model_spec model = mixed_model();
  change(model);
  expect_refused(model, {}, words);
}

parameter_spec& at(model_spec& model, std::size_t unit, std::size_t parameter) {
  return model.units.at(unit).parameters.at(parameter);
}

TEST(layout_errors, unchanged_model_is_accepted) {
  EXPECT_NO_THROW(layout(mixed_model(), layout_options{}));
}

TEST(layout_errors, names) {
  expect_change_refused([](model_spec& m) { at(m, 1, 1).name.clear(); },
                        {"'block'", "parameter 1", "empty"});
  expect_change_refused([](model_spec& m) { m.units[2].name.clear(); }, {"unit 2", "empty"});
  expect_change_refused([](model_spec& m) { m.units[3].name = "block"; },
                        {"unit 'block'", "twice"});
  expect_change_refused([](model_spec& m) { at(m, 1, 4).name = "w"; }, {"parameter 'w'", "twice"});
  expect_change_refused([](model_spec& m) { at(m, 3, 1).name = "wte"; },
                        {"parameter 'wte'", "twice"});
}

TEST(layout_errors, names_in_messages_stay_in_one_line) {
  expect_change_refused(
      [](model_spec& m) {
        at(m, 0, 0).name = "a\nb\\";
        at(m, 1, 0).name = "a\nb\\";
      },
      {"'a\\x0ab\\x5c'", "twice"});
}

TEST(layout_errors, ties) {
  const auto tie_head_to = [](std::string name) {
    return [name](model_spec& m) { at(m, 3, 0).tied_to = name; };
  };
  expect_change_refused(tie_head_to("nobody"), {"'lm_head'", "'nobody'", "before"});
  expect_change_refused(tie_head_to("lm_head"), {"'lm_head'", "before"});
  expect_change_refused(tie_head_to("bias"), {"'lm_head'", "'bias'", "before"});
  expect_change_refused(tie_head_to("w"), {"'lm_head'", "'w'", "[97, 12]", "[12, 31]"});
  expect_change_refused(
      [](model_spec& m) {
        at(m, 3, 0).shape = {12, 97};
      },
      {"'lm_head'", "'wte'", "[12, 97]"});
  expect_change_refused([](model_spec& m) { at(m, 3, 0).type = dtype::fp32; },
                        {"'lm_head'", "'wte'", "fp32", "bf16"});
  expect_change_refused([](model_spec& m) { at(m, 3, 0).trainable = false; },
                        {"'lm_head'", "'wte'", "trainable"});
  expect_change_refused([](model_spec& m) { at(m, 3, 0).group = 2; },
                        {"'lm_head'", "'wte'", "group 2"});
  expect_change_refused(
      [](model_spec& m) {
        at(m, 3, 1) = at(m, 3, 0);
        at(m, 3, 1).name = "chain";
        at(m, 3, 1).tied_to = "lm_head";
      },
      {"'chain'", "'lm_head'", "'wte'"});
}

TEST(layout_errors, dtypes) {
  expect_change_refused([](model_spec& m) { at(m, 1, 0).type = dtype::byte; },
                        {"'ln.weight'", "byte", "bf16"});
  expect_change_refused([](model_spec& m) { at(m, 1, 0).type = static_cast<dtype>(77); },
                        {"'ln.weight'", "unknown"});
}

TEST(layout_errors, overlapping_slices) {
  const auto stacked = [](std::uint64_t first, std::uint64_t second) {
    return [=](model_spec& m) {
      at(m, 1, 0).stacked_in = at(m, 1, 1).stacked_in = "stack";
      at(m, 1, 0).stacked_offset = first;   // 12 elements
      at(m, 1, 1).stacked_offset = second;  // 372 elements
    };
  };
  expect_change_refused(stacked(0, 11), {"'w'", "'stack'", "'ln.weight'", "overlaps"});
  expect_change_refused(stacked(371, 0), {"'ln.weight'", "'stack'", "'w'", "overlaps"});
  expect_change_refused(stacked(5, 5), {"'stack'", "overlaps"});
  for (const auto& legal : {stacked(0, 12), stacked(372, 0)}) {
    model_spec model = mixed_model();
    legal(model);
    EXPECT_NO_THROW(layout(model, layout_options{}));
    at(model, 1, 0).stacked_in = "other";
    at(model, 1, 0).stacked_offset = at(model, 1, 1).stacked_offset;
    EXPECT_NO_THROW(layout(model, layout_options{}));
  }
}

TEST(layout_errors, options) {
  const auto with = [](auto change) {
    layout_options options;
    change(options);
    return options;
  };
  const model_spec model = mixed_model();
  for (const int world : {0, -1, (1 << 20) + 1}) {
    expect_refused(model, with([&](layout_options& o) { o.world_size = world; }),
                   {"world_size", std::to_string(world)});
  }
  EXPECT_NO_THROW(layout(model, with([](layout_options& o) { o.world_size = 1 << 20; })));
  for (const std::uint64_t alignment : {std::uint64_t{0}, two_to(62) + 1, ~std::uint64_t{0}}) {
    expect_refused(model, with([&](layout_options& o) { o.alignment = alignment; }),
                   {"alignment", std::to_string(alignment)});
  }
  expect_refused(model, with([](layout_options& o) { o.kind = static_cast<layout_kind>(9); }),
                 {"layout_kind", "9"});
}

TEST(layout_errors, sizes) {
  layout_options one;
  one.alignment = 1;
  const layout largest(model_of_sizes({two_to(62) - 5, 5}), one);
  EXPECT_EQ(largest.padded(), two_to(62));
  expect_refused(model_of_sizes({two_to(62) - 5, 6}), one, {"'p1'", "2^62"});
  expect_refused(model_of_sizes({two_to(62) + 1}), one, {"'p0'", "2^62"});
  model_spec overflowing = model_of_sizes({1, 1});
  overflowing.units[0].parameters[1].shape = {two_to(40), two_to(40)};
  expect_refused(overflowing, one, {"'p1'", "[1099511627776, 1099511627776]"});
}

TEST(layout_errors, sizes_with_padding) {
  // One bucket that is too large when padded, and two that are so only together.
  layout_options options;
  options.world_size = 2;
  options.alignment = two_to(61) + 1;
  expect_refused(model_of_sizes({1}), options, {"unit 'u'", "2 shards", "2^62"});
  options.alignment = two_to(61);
  EXPECT_EQ(layout(model_of_sizes({1}), options).padded(), two_to(62));
  model_spec two = model_of_sizes({1});
  two.units.push_back({"v", {tensor("q", {1})}});
  expect_refused(two, options, {"unit 'v'", "2^62"});

  options.kind = layout_kind::whole;
  options.alignment = 1;
  options.world_size = 1 << 20;
  EXPECT_NO_THROW(layout(model_of_sizes({two_to(42)}), options));
  expect_refused(model_of_sizes({two_to(42) + 1}), options, {"unit 'u'", "2^62"});
}

TEST(layout_errors, what_is_asked_of_a_layout) {
  layout_options options;
  options.world_size = 3;
  const layout l(mixed_model(), options);
  EXPECT_THROW(static_cast<void>(l.find("nobody")), invalid_argument);
  EXPECT_THROW(static_cast<void>(l.find("")), invalid_argument);
  EXPECT_THROW(static_cast<void>(l.find("zzz")), invalid_argument);
  EXPECT_THROW(static_cast<void>(l.pieces(l.buckets().size(), 0)), invalid_argument);
  EXPECT_THROW(static_cast<void>(l.pieces(no_bucket, 0)), invalid_argument);
  EXPECT_THROW(static_cast<void>(l.pieces(0, -1)), invalid_argument);
  EXPECT_THROW(static_cast<void>(l.pieces(0, 3)), invalid_argument);
  EXPECT_TRUE(l.buckets_of(-1).empty());
  EXPECT_TRUE(l.buckets_of(4).empty());
}

}  // namespace
}  // namespace zero::partition::testing
