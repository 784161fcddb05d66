// The header's grammar, and everything in it that must be refused.

#include <zero/base/error.hpp>
#include <zero/checkpoint/safetensors_header.hpp>

#include <gtest/gtest.h>

#include <string>

namespace zero::checkpoint {
namespace {

std::string entry(const std::string& name, const std::string& type, const std::string& shape,
                  const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + type + "\",\"shape\":" + shape +
         ",\"data_offsets\":" + offsets + "}";
}

// Byte of the fault; -1 if there is none.
std::int64_t fault(const std::string& json, std::uint64_t body) {
  try {
    static_cast<void>(parse_safetensors_header(json, body, "file"));
  } catch (const corrupt_data& error) {
    return static_cast<std::int64_t>(error.offset);
  }
  return -1;
}

const std::string two =
    "{" + entry("a", "F32", "[2,3]", "[0,24]") + "," + entry("b", "BF16", "[]", "[24,26]") + "}";

TEST(safetensors_header, reads_entries_in_their_order) {
  const std::string json = R"({"__metadata__":{"format":"pt","note":"two\nlines"},)" +
                           entry("z", "F16", "[1, 3]", "[24, 30]") + "," +
                           entry("ab\\u00e9", "F32", "[2,3]", "[0,24]") + "," +
                           entry("none", "F32", "[0,5]", "[24,24]") + "}   ";
  const auto entries = parse_safetensors_header(json, 30, "file");
  ASSERT_EQ(entries.size(), 3u);
  EXPECT_EQ(entries[0].name, "z");
  EXPECT_EQ(entries[0].type, dtype::fp16);
  EXPECT_EQ(entries[0].shape, (std::vector<std::uint64_t>{1, 3}));
  EXPECT_EQ(entries[0].begin, 24u);
  EXPECT_EQ(entries[0].end, 30u);
  EXPECT_EQ(entries[1].name, "ab\xc3\xa9");
  EXPECT_EQ(entries[2].shape, (std::vector<std::uint64_t>{0, 5}));
}

TEST(safetensors_header, fields_come_in_any_order_and_files_may_be_empty) {
  EXPECT_EQ(fault(R"({"a":{"data_offsets":[0,4],"shape":[],"dtype":"F32"}})", 4), -1);
  EXPECT_EQ(fault("{}", 0), -1);
  EXPECT_EQ(fault(R"({"__metadata__":{}})", 0), -1);
  EXPECT_EQ(fault(two, 26), -1);
}

TEST(safetensors_header, refuses_every_truncation) {
  for (std::size_t size = 0; size < two.size(); ++size) {
    EXPECT_GE(fault(two.substr(0, size), 26), 8) << size;
  }
}

TEST(safetensors_header, refuses_what_is_not_the_format) {
  const std::string good = entry("a", "F32", "[1]", "[0,4]");
  for (const std::string& json :
       {std::string("[]"),
        std::string("null"),
        std::string(" {}"),
        std::string("{}{}"),
        std::string("{},"),
        "{" + good + "}x",
        "{" + good + ",}",
        std::string(R"({"a":1})"),
        std::string(R"({"a":"b"})"),
        std::string(R"({"a":[]})"),
        std::string(R"({"a":{}})"),
        std::string(R"({"a":null})"),
        std::string(R"({"a":{"dtype":"F32","shape":[1]}})"),
        std::string(R"({"a":{"dtype":"F32","data_offsets":[0,4]}})"),
        std::string(R"({"a":{"shape":[1],"data_offsets":[0,4]}})"),
        std::string(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"more":1}})"),
        std::string(R"({"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})"),
        std::string(R"({"a":{"dtype":"F32","shape":[[1]],"data_offsets":[0,4]}})"),
        std::string(R"({"a":{"dtype":"F32","shape":{},"data_offsets":[0,4]}})"),
        std::string(R"({"a":{"dtype":["F32"],"shape":[1],"data_offsets":[0,4]}})"),
        std::string(R"({"a":{"dtype":"F32","shape":1,"data_offsets":[0,4]}})"),
        std::string(R"({"a":{"dtype":true,"shape":[1],"data_offsets":[0,4]}})"),
        std::string(R"({"__metadata__":1})"),
        std::string(R"({"__metadata__":{"k":1}})"),
        std::string(R"({"__metadata__":{"k":{}}})"),
        std::string(R"({"__metadata__":["k"]})"),
        "{" + entry("a", "F32", "[1]", "[0]") + "}",
        "{" + entry("a", "F32", "[1]", "[0,4,4]") + "}",
        "{" + entry("a", "F64", "[1]", "[0,8]") + "}",
        "{" + entry("a", "f32", "[1]", "[0,4]") + "}",
        "{" + entry("a", "F32", "[1.0]", "[0,4]") + "}",
        "{" + entry("a", "F32", "[1e0]", "[0,4]") + "}",
        "{" + entry("a", "F32", "[-1]", "[0,4]") + "}",
        "{" + entry("a", "F32", "[-0]", "[0,4]") + "}",
        "{" + entry("a", "F32", "[1]", "[0,4.0]") + "}",
        "{" + entry("a", "F32", "[18446744073709551616]", "[0,4]") + "}",
        "{" + entry("a\\u0000", "F32", "[1]", "[0,4]") + "}",
        "{" + entry("a\\n", "F32", "[1]", "[0,4]") + "}",
        "{" + entry("a\xff", "F32", "[1]", "[0,4]") + "}",
        "{" + entry("a\\ud800", "F32", "[1]", "[0,4]") + "}",
        "{" + entry(std::string(4097, 'a'), "F32", "[1]", "[0,4]") + "}"}) {
    EXPECT_GE(fault(json, 4), 8) << json.substr(0, 100);
  }
  EXPECT_EQ(fault("{" + entry(std::string(4096, 'a'), "F32", "[1]", "[0,4]") + "}", 4), -1);
}

// The parser behind it takes a NUL for the end: what comes after it would be seen by others only.
TEST(safetensors_header, a_nul_ends_nothing) {
  const std::string nul(1, '\0');
  for (const std::string& json : {"{}" + nul, "{}" + nul + "garbage", "{" + nul + "}",
                                  two + "  " + nul, two.substr(0, 20) + nul + two.substr(20)}) {
    EXPECT_GE(fault(json, json[1] == '}' ? 0 : 26), 8);
  }
}

TEST(safetensors_header, bytes_are_a_dtype) {
  const auto entries =
      parse_safetensors_header("{" + entry("a", "U8", "[3]", "[0,3]") + "}", 3, "file");
  EXPECT_EQ(entries.at(0).type, dtype::byte);
  EXPECT_GE(fault("{" + entry("a", "I8", "[3]", "[0,3]") + "}", 3), 8);
}

TEST(safetensors_header, refuses_names_that_are_there_twice) {
  EXPECT_GE(
      fault("{" + entry("a", "F32", "[1]", "[0,4]") + "," + entry("a", "F32", "[1]", "[4,8]") + "}",
            8),
      8);
  EXPECT_GE(fault("{" + entry("a", "F32", "[1]", "[0,4]") + "," +
                      entry("\\u0061", "F32", "[1]", "[4,8]") + "}",
                  8),
            8);
  EXPECT_GE(fault(R"({"__metadata__":{},"__metadata__":{}})", 0), 8);
  EXPECT_GE(fault(R"({"__metadata__":{"k":"1","k":"2"}})", 0), 8);
}

TEST(safetensors_header, refuses_places_that_do_not_fill_the_file) {
  const auto pair = [](const std::string& first, const std::string& second) {
    return "{" + entry("a", "F32", "[2]", first) + "," + entry("b", "F32", "[2]", second) + "}";
  };
  EXPECT_EQ(fault(pair("[0,8]", "[8,16]"), 16), -1);
  EXPECT_EQ(fault(pair("[8,16]", "[0,8]"), 16), -1);
  const auto start = static_cast<std::int64_t>(8 + pair("[0,8]", "[8,16]").size());
  EXPECT_EQ(fault(pair("[0,8]", "[8,16]"), 17), start + 16);  // something after the end
  EXPECT_EQ(fault(pair("[0,8]", "[8,16]"), 15), start + 15);  // cut off
  EXPECT_EQ(fault(pair("[0,8]", "[9,17]"), 17), start + 8);   // a hole
  EXPECT_EQ(fault(pair("[1,9]", "[9,17]"), 17), start);       // a hole in front
  EXPECT_EQ(fault(pair("[0,8]", "[7,15]"), 15), start + 7);   // an overlap
  EXPECT_EQ(fault(pair("[0,8]", "[0,8]"), 8), start - 1);     // the same place
  EXPECT_GE(fault(pair("[0,8]", "[16,8]"), 16), 8);           // backwards
  EXPECT_GE(fault("{" + entry("a", "F32", "[2]", "[0,9]") + "}", 9), 8);
  EXPECT_GE(fault("{" + entry("a", "F32", "[0]", "[0,4]") + "}", 4), 8);
  EXPECT_GE(fault("{}", 1), 8);
}

TEST(safetensors_header, refuses_sizes_that_overflow) {
  const std::string big = "4611686018427387904";  // 2^62: four bytes each wrap to 0
  EXPECT_GE(fault("{" + entry("a", "F32", "[" + big + "]", "[0,0]") + "}", 0), 8);
  EXPECT_GE(fault("{" + entry("a", "F32", "[" + big + ",4]", "[0,0]") + "}", 0), 8);
  EXPECT_GE(fault("{" + entry("a", "F32", "[4294967296,4294967296]", "[0,0]") + "}", 0), 8);
  EXPECT_GE(
      fault("{" + entry("a", "F32", "[1]", "[18446744073709551612,18446744073709551615]") + "}", 4),
      8);
  // A 0 makes it empty whatever the others are.
  EXPECT_EQ(fault("{" + entry("a", "F32", "[" + big + "," + big + ",0]", "[0,0]") + "}", 0), -1);
}

TEST(safetensors_header, depth_and_dimensions_are_bounded) {
  std::string deep = "{\"a\":";
  for (int i = 0; i < 100000; ++i) deep += "[";
  EXPECT_GE(fault(deep, 0), 8);
  std::string ones = "[1";
  for (int i = 1; i < 64; ++i) ones += ",1";
  EXPECT_EQ(fault("{" + entry("a", "F32", ones + "]", "[0,4]") + "}", 4), -1);
  EXPECT_GE(fault("{" + entry("a", "F32", ones + ",1]", "[0,4]") + "}", 4), 8);
}

TEST(safetensors_header, what_is_formatted_is_read_back) {
  const std::vector<safetensors_entry> entries = {
      {"b", dtype::bf16, {3}, 0, 6},
      {"a", dtype::fp16, {}, 6, 8},
      {"\"quoted\" \xc3\xa9", dtype::fp32, {2, 0}, 8, 8}};
  const std::string text = format_safetensors_header(entries, {{"format", "pt"}, {"k", "line\n"}});
  EXPECT_EQ(text.size() % 8, 0u);
  const auto read = parse_safetensors_header(text, 8, "file");
  ASSERT_EQ(read.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(read[i].name, entries[i].name);
    EXPECT_EQ(read[i].type, entries[i].type);
    EXPECT_EQ(read[i].shape, entries[i].shape);
    EXPECT_EQ(read[i].begin, entries[i].begin);
    EXPECT_EQ(read[i].end, entries[i].end);
  }
}

TEST(safetensors_header, a_header_alone_is_read_as_strictly) {
  const auto read = [](const std::string& text) { return parse_safetensors_header(text, "file"); };
  EXPECT_EQ(read("{" + entry("a", "U8", "[3]", "[0,3]") + "}").at(0).end, 3u);
  EXPECT_TRUE(read("{}").empty());
  for (const std::string& wrong :
       {entry("a", "U8", "[3]", "[1,4]"), entry("a", "U8", "[3]", "[0,4]"),
        entry("a", "U8", "[3]", "[0,3]") + "," + entry("b", "U8", "[3]", "[2,5]")}) {
    EXPECT_THROW(static_cast<void>(read("{" + wrong + "}")), corrupt_data) << wrong;
  }
}

TEST(safetensors_header, what_would_not_be_read_is_not_written) {
  using entries = std::vector<safetensors_entry>;
  const safetensors_entry good = {"a", dtype::fp32, {}, 0, 4};
  for (const entries& bad :
       {entries{{"\xff", dtype::fp32, {}, 0, 4}}, entries{{"a\n", dtype::fp32, {}, 0, 4}},
        entries{{std::string(4097, 'a'), dtype::fp32, {}, 0, 4}}, entries{good, good},
        entries{{"__metadata__", dtype::fp32, {}, 0, 4}},
        entries{{"a", dtype::fp32, std::vector<std::uint64_t>(65, 1), 0, 4}},
        entries(safetensors_tensor_limit + 1, good)}) {
    EXPECT_THROW(static_cast<void>(format_safetensors_header(bad, {})), invalid_argument);
  }
  EXPECT_THROW(static_cast<void>(format_safetensors_header({}, {{"k", "\xff"}})), invalid_argument);
  EXPECT_THROW(static_cast<void>(format_safetensors_header({}, {{"k", "1"}, {"k", "2"}})),
               invalid_argument);
  entries many;
  for (int i = 0; i < 30000; ++i) {
    many.push_back({std::to_string(i) + std::string(4000, 'a'), dtype::fp32, {0}, 0, 0});
  }
  EXPECT_THROW(static_cast<void>(format_safetensors_header(many, {})), invalid_argument);
}

}  // namespace
}  // namespace zero::checkpoint
