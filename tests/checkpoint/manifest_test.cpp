// manifest.json: what is written, and that nothing else is read.

#include "checkpoint/sample_manifest.hpp"

#include <zero/base/error.hpp>
#include <zero/checkpoint/manifest.hpp>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <ctime>
#include <functional>
#include <limits>

namespace zero::checkpoint {
namespace {

using testing::replaced;
using testing::sample_manifest;
using testing::with_digest;

// What parse_manifest says; "" if it accepts.
std::string refusal(const std::string& text) {
  try {
    static_cast<void>(parse_manifest(text, "manifest.json"));
  } catch (const corrupt_data& thrown) {
    EXPECT_EQ(thrown.path, "manifest.json");
    EXPECT_LE(thrown.offset, text.size());
    return thrown.what();
  } catch (const invalid_argument& thrown) {
    return thrown.what();
  }
  return "";
}

TEST(manifest, any_reader_of_json_sees_what_is_in_it) {
  const manifest m = sample_manifest();
  const auto json = nlohmann::json::parse(format_manifest(m));
  EXPECT_EQ(json.at("format"), "libzero checkpoint");
  EXPECT_EQ(json.at("version"), 1);
  EXPECT_EQ(json.at("id").at("step"), 42);
  EXPECT_EQ(json.at("id").at("nonce"), m.id.nonce);
  EXPECT_EQ(json.at("states"), nlohmann::json({"exp_avg", "exp_avg_sq"}));
  EXPECT_EQ(json.at("progress").at("loss_scale"), 65536.0);
  EXPECT_EQ(json.at("settings").at("note"), "two\nlines");
  EXPECT_EQ(json.at("groups").at(0).at("eps"), 1e-8);
  const auto& first = json.at("parameters").at(0);
  EXPECT_EQ(first.at("name"), m.parameters[0].name);
  EXPECT_EQ(first.at("shape"), nlohmann::json({7, 3}));
  EXPECT_EQ(first.at("dtype"), "fp32");
  EXPECT_EQ(json.at("parameters").at(2).at("tied_to"), m.parameters[0].name);
  EXPECT_EQ(json.at("parameters").at(3).at("trainable"), false);
  const auto& file = json.at("files").at(1);
  EXPECT_EQ(file.at("name"), "rank-00001-of-00002.safetensors");
  EXPECT_EQ(file.at("bytes"), m.files[1].bytes);
  EXPECT_EQ(file.at("extents").at(0), nlohmann::json({0, 11, 10}));
  EXPECT_EQ(json.at("files").at(0).at("attachments").at("text position"), 16);
  EXPECT_EQ(file.at("checksums").size(), m.files[1].checksums.size());
  EXPECT_EQ(file.at("checksums").at(0), "0123456789abcdf0");
}

TEST(manifest, is_read_back_as_it_was) {
  const manifest m = sample_manifest();
  const std::string text = format_manifest(m);
  const manifest back = parse_manifest(text, "manifest.json");
  EXPECT_EQ(format_manifest(back), text);
  EXPECT_EQ(back.parameters[0].name, m.parameters[0].name);
  EXPECT_EQ(back.settings, m.settings);
  EXPECT_EQ(back.groups[0].constants, m.groups[0].constants);
  EXPECT_TRUE(std::signbit(back.groups[0].constants[2].second));
  EXPECT_EQ(back.files[1].checksums, m.files[1].checksums);
  EXPECT_EQ(back.files[0].attachments, m.files[0].attachments);
  EXPECT_EQ(back.progress.loss_scale.clean_steps, 12u);
  EXPECT_EQ(back.parameters[3].type, dtype::bf16);
  EXPECT_FALSE(back.parameters[3].trainable);
}

TEST(manifest, every_number_is_read_back_as_it_was) {
  manifest m = sample_manifest();
  for (const double value : {0.1, 1.0 / 3.0, 1e300, 5e-324, 1.7976931348623157e308, 1e22, -2.5e-7,
                             123456789.0, 0.0, 65504.0}) {
    m.groups[0].constants = {{"x", value}};
    m.progress.loss_scale.value = static_cast<float>(std::fmin(value, 3.4028234663852886e38));
    const std::string text = format_manifest(m);
    const manifest back = parse_manifest(text, "m");
    EXPECT_EQ(back.groups[0].constants[0].second, value);
    EXPECT_EQ(back.progress.loss_scale.value, m.progress.loss_scale.value);
    EXPECT_EQ(nlohmann::json::parse(text).at("groups").at(0).at("x").get<double>(), value);
  }
  m.id.step = 999999999999;
  m.id.epoch = std::numeric_limits<std::uint64_t>::max();
  m.progress.steps = m.id.epoch;
  testing::settle_sizes(m);
  EXPECT_EQ(parse_manifest(format_manifest(m), "m").id.epoch, m.id.epoch);
}

TEST(manifest, every_flipped_bit_is_found) {
  const std::string text = format_manifest(sample_manifest());
  for (std::size_t bit = 0; bit < 8 * text.size(); ++bit) {
    std::string spoilt = text;
    spoilt[bit / 8] = static_cast<char>(spoilt[bit / 8] ^ 1 << bit % 8);
    ASSERT_NE(refusal(spoilt), "") << "bit " << bit;
  }
}

TEST(manifest, every_truncation_and_addition_is_found) {
  const std::string text = format_manifest(sample_manifest());
  for (std::size_t size = 0; size < text.size(); ++size) {
    ASSERT_NE(refusal(text.substr(0, size)), "") << size;
    ASSERT_NE(refusal(text.substr(size + 1)), "") << size + 1 << " cut in front";
  }
  for (const char* more : {" ", "\n", "{}", "x"}) {
    EXPECT_NE(refusal(text + more), "");
    EXPECT_NE(refusal(more + text), "");
  }
  EXPECT_NE(refusal(text + text), "");
  EXPECT_NE(refusal(text + std::string(1, '\0')), "");
}

// The digest keeps accidents away; whoever makes one that is right meets the reader behind it.
TEST(manifest, nothing_has_two_spellings) {
  const std::string text = format_manifest(sample_manifest());
  std::size_t accepted = 0;
  for (std::size_t bit = 0; bit < 8 * text.size(); ++bit) {
    std::string spoilt = text;
    spoilt[bit / 8] = static_cast<char>(spoilt[bit / 8] ^ 1 << bit % 8);
    spoilt = with_digest(spoilt);
    if (spoilt == text || refusal(spoilt) != "") continue;
    ASSERT_EQ(format_manifest(parse_manifest(spoilt, "m")), spoilt) << "bit " << bit;
    ++accepted;
  }
  EXPECT_GT(accepted, 100u);  // other steps, other checksums
  const std::pair<const char*, const char*> cases[] = {
      {"\"step\":42", "\"step\": 42"},
      {"\"step\":42", "\"step\":042"},
      {"\"step\":42", "\"step\":42.0"},
      {"\"step\":42", "\"step\":4.2e1"},
      {"\"step\":42", "\"step\":+42"},
      {"\"step\":42", "\"step\":-42"},
      {"\"step\":42", "\"step\":-0"},
      {"\"step\":42", "\"step\":\"42\""},
      {"\"step\":42", "\"step\":18446744073709551616"},
      {"\"step\":42", "\"step\":"},
      {"\"step\":42", "\"step\":null"},
      {"\"step\":42,\"epoch\":3", "\"epoch\":3,\"step\":42"},
      {"\"step\":42,", "\"step\":42,\"step\":42,"},
      {"0.001", "0.0010"},
      {"0.001", "1e-3"},
      {"0.001", ".001"},
      {"0.001", "nan"},
      {"0.001", "inf"},
      {"0.001", "1e999"},
      {"1e-08", "1e-8"},
      {"1e-08", "1E-08"},
      {"65536", "65536.0"},
      {"true", "True"},
      {"true", "1"},
      {"\"frozen\"", "\"\\u0066rozen\""},
      {"\\\"q", "\\u0022q"},
      {"two\\u000a", "two\\u000A"},
      {"two\\u000a", "two\\n"},
      {"two\\u000a", "two\n"},
      {"two\\u000a", "two\\u0020"},
      {"two\\u000a", "two\\u00"},
      {"frozen", "fro\xffzen"},
      {"frozen", "fro\xed\xa0\x80zen"},
      {"frozen", "fro\xc0\x80zen"},
      {"frozen", "fro\xf4\x90\x80\x80zen"},
      {"frozen", "fro\xe0\x80\x80zen"},
      {"frozen", "fro\xc3zen"},
      {"\"bf16\"", "\"BF16\""},
      {"\"bf16\"", "\"byte\""},
      {"0123456789abcdef", "0123456789ABCDEF"},
      {"\"0123456789abcdef\"", "\"123456789abcdef\""},
      {"\n", ""},
      {",\n\"library\"", ",\"library\""},
      {"]}\n,", "],"},
      {"\"version\":1,", "\"version\":01,"},
      {"\"digest\"", "\"more\":1,\n\"digest\""}};
  for (const auto& [from, to] : cases) {
    const std::string spoilt = replaced(text, from, to);
    EXPECT_NE(refusal(spoilt), "") << from << " -> " << to;
  }
}

TEST(manifest, another_version_is_refused_naming_both) {
  const std::string text = format_manifest(sample_manifest());
  for (const std::string version : {"0", "2", "17", "18446744073709551615"}) {
    const std::string other =
        replaced(text, "\"version\":1,", "\"version\":" + version + ",\n\"new\":[{}],");
    try {
      static_cast<void>(parse_manifest(other, "manifest.json"));
      ADD_FAILURE() << version;
    } catch (const invalid_argument& thrown) {
      const std::string what = thrown.what();
      EXPECT_NE(what.find("version " + version + " "), std::string::npos) << what;
      EXPECT_NE(what.find("version 1"), std::string::npos) << what;
      EXPECT_NE(what.find("manifest.json"), std::string::npos) << what;
    }
  }
}

struct broken {
  const char* what;
  std::function<void(manifest&)> spoil;
};

const broken broken_heads[] = {
    {"step", [](manifest& m) { m.id.step = 1000000000000; }},
    {"epoch", [](manifest& m) { m.id.epoch = 0; }},
    {"nonce", [](manifest& m) { m.id.nonce[3] = 'A'; }},
    {"nonce", [](manifest& m) { m.id.nonce.pop_back(); }},
    {"library", [](manifest& m) { m.written_by = ""; }},
    {"algorithm", [](manifest& m) { m.algorithm = "\x01"; }},
    {"loss scale is not finite", [](manifest& m) { m.progress.loss_scale.value = INFINITY; }},
    {"loss scale is not positive", [](manifest& m) { m.progress.loss_scale.value = 0.0F; }},
    {"loss scale is not positive", [](manifest& m) { m.progress.loss_scale.value = -1.0F; }},
    {"more updates than steps", [](manifest& m) { m.progress.updates = m.progress.steps + 1; }},
    {"more steps", [](manifest& m) { m.progress.steps = 1000000000000; }},
    {"state's name", [](manifest& m) { m.states[0] = "a/b"; }},
    {"'weights'", [](manifest& m) { m.states[0] = "weights"; }},
    {"'client'", [](manifest& m) { m.states[0] = "client"; }},
    {"'exp_avg'", [](manifest& m) { m.states[1] = "exp_avg"; }},
    {"more states", [](manifest& m) { m.states.resize(17, "x"); }},
    {"setting", [](manifest& m) { m.settings[1].first = "stage"; }},
    {"setting", [](manifest& m) { m.settings[1].second = "\xff"; }},
    {"'lr'", [](manifest& m) { m.groups[0].constants[1].first = "lr"; }},
    {"not finite", [](manifest& m) { m.groups[0].constants[1].second = std::nan(""); }},
    {"parameter's name", [](manifest& m) { m.parameters[4].name = ""; }},
    {"parameter's name", [](manifest& m) { m.parameters[4].name = "a\nb"; }},
    {"parameter's name", [](manifest& m) { m.parameters[4].name = "a\xff"; }},
    {"parameter's name", [](manifest& m) { m.parameters[4].name.assign(3901, 'a'); }},
    {"'frozen' is there twice", [](manifest& m) { m.parameters[4].name = "frozen"; }},
};

const broken broken_bodies[] = {
    {"64 dimensions", [](manifest& m) { m.parameters[4].shape.assign(65, 1); }},
    {"more elements", [](manifest& m) { m.parameters[5].shape = {1ULL << 61U}; }},
    {"more elements",
     [](manifest& m) {
       m.parameters[5].shape = {1ULL << 32U, 1ULL << 32U};
     }},
    {"group", [](manifest& m) { m.parameters[4].group = 2; }},
    {"tied", [](manifest& m) { m.parameters[2].tied_to = "nothing"; }},
    {"tied", [](manifest& m) { m.parameters[2].tied_to = "head"; }},
    {"tied", [](manifest& m) { m.parameters[2].tied_to = "scale"; }},
    {"unlike", [](manifest& m) { m.parameters[2].shape = {21}; }},
    {"unlike", [](manifest& m) { m.parameters[2].group = 1; }},
    {"files", [](manifest& m) { m.files.clear(); }},
    {"not called", [](manifest& m) { m.files[1].name = m.files[0].name; }},
    {"not called", [](manifest& m) { m.files[1].name = "../../etc/passwd"; }},
    {"sizes", [](manifest& m) { m.files[1].header_bytes = m.files[1].bytes + 1; }},
    {"no parameter", [](manifest& m) { m.files[1].extents[0].parameter = 6; }},
    {"no storage", [](manifest& m) { m.files[1].extents[0].parameter = 2; }},
    {"leaves", [](manifest& m) { m.files[1].extents[0].count = 0; }},
    {"leaves", [](manifest& m) { m.files[1].extents[0].count = 11; }},
    {"leaves", [](manifest& m) { m.files[1].extents[0].offset = ~0ULL; }},
    {"rank 0's",
     [](manifest& m) {
       m.files[1].attachments = {{"a", 1}};
     }},
    {"attachment", [](manifest& m) { m.files[0].attachments[0].first = ""; }},
    {"attachment", [](manifest& m) { m.files[0].attachments[0].first.assign(201, 'a'); }},
    {"'empty'", [](manifest& m) { m.files[0].attachments[0].first = "empty"; }},
};

template <std::size_t Count>
void expect_refused(const broken (&cases)[Count]) {
  for (const auto& one : cases) {
    manifest m = sample_manifest();
    one.spoil(m);
    try {
      static_cast<void>(format_manifest(m));
      ADD_FAILURE() << one.what;
    } catch (const invalid_argument& thrown) {
      EXPECT_NE(std::string(thrown.what()).find(one.what), std::string::npos) << thrown.what();
    }
    EXPECT_THROW(check_coverage(m, "m"), corrupt_data) << one.what;
  }
}

TEST(manifest, breaking_a_rule_is_refused_in_writing_and_in_reading) {
  expect_refused(broken_heads);
  expect_refused(broken_bodies);
  const std::string text = format_manifest(sample_manifest());
  const std::pair<const char*, const char*> texts[] = {
      {"\"epoch\":3", "\"epoch\":0"},
      {"\"loss_scale\":65536", "\"loss_scale\":0"},
      {"\"loss_scale\":65536", "\"loss_scale\":-2"},
      {"\"updates\":40", "\"updates\":-40"},
      {"\"updates\":40", "\"updates\":43"},
      {"\"steps\":42", "\"steps\":18446744073709551615"},
      {"rank-00001-of-00002", "rank-00000-of-00002"},
      {"rank-00001-of-00002.safetensors", "../rank-00001-of-0002.safetensors"},
      {"[0,11,10]", "[9,11,10]"},
      {"[0,11,10]", "[0,12,10]"},
      {"[0,11,10]", "[18446744073709551615,11,10]"},
      {"[0,11,10]", "[0,18446744073709551615,10]"},
      {"[7,3]", "[4294967296,4294967296]"},
      {"\"group\":1", "\"group\":9"},
      {"\"group\":1", "\"group\":4294967295"}};
  for (const auto& [from, to] : texts) EXPECT_NE(refusal(replaced(text, from, to)), "") << to;
}

// A million extents, a million parameters with one prefix: time that grows as their number.
TEST(manifest, large_ones_take_time_and_memory_in_proportion) {
  manifest m = sample_manifest();
  m.parameters = {{"w", {300000, 2}, dtype::fp32, true, 0, ""}};
  m.groups.clear();
  m.states.clear();
  m.files.resize(3);
  for (std::size_t rank = 0; rank < 3; ++rank) {
    m.files[rank].name = "rank-0000" + std::to_string(rank) + "-of-00003.safetensors";
    m.files[rank].extents.clear();
    m.files[rank].attachments.clear();
    for (std::uint64_t i = rank; i < 600000; i += 3) m.files[rank].extents.push_back({0, i, 1});
  }
  testing::settle_sizes(m);
  const std::clock_t begun = std::clock();
  const std::string text = format_manifest(m);
  EXPECT_EQ(format_manifest(parse_manifest(text, "m")), text);
  EXPECT_LT(static_cast<double>(std::clock() - begun) / CLOCKS_PER_SEC,
            60.0);  // quadratic would be hours
}

}  // namespace
}  // namespace zero::checkpoint
