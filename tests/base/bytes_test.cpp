#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <utility>

namespace zero::testing {
namespace {

using parsed = std::pair<const char*, std::uint64_t>;

TEST(bytes, parses_sizes) {
  for (const auto& [text, value] : {parsed{"0", 0},
                                    {"4096", 4096},
                                    {"17B", 17},
                                    {"512MiB", 536870912},
                                    {"512Mi", 536870912},
                                    {"2GiB", 2147483648},
                                    {"1.5GB", 1500000000},
                                    {"1.5G", 1500000000},
                                    {"3K", 3000},
                                    {"3KiB", 3072},
                                    {"1TB", 1000000000000},
                                    {"1TiB", 1099511627776},
                                    {"0.5KiB", 512},
                                    {".5KiB", 512},
                                    {"18446744073709551615", 18446744073709551615U},
                                    {"9007199254740993", 9007199254740993}}) {  // 2^53 + 1
    EXPECT_EQ(parse_bytes(text), value) << text;
  }
}

TEST(bytes, refuses_what_is_not_a_size) {
  for (const char* text : {"",
                           " ",
                           " 1",
                           "1 ",
                           "1 MiB",
                           "-1",
                           "+1",
                           "MiB",
                           "1mib",
                           "1PiB",
                           "1MiBs",
                           "0x10",
                           "1e",
                           "inf",
                           "nan",
                           ".",
                           "1.5",
                           "1.5B",
                           "1,5GB",
                           "1..5GB",
                           "18446744073709551616",
                           "99999999999TiB",
                           "1e300",
                           "1GiB1"}) {
    try {
      const std::uint64_t value = parse_bytes(text);
      ADD_FAILURE() << "'" << text << "' gave " << value;
    } catch (const invalid_argument& e) {
      EXPECT_NE(std::string(e.what()).find("'" + std::string(text) + "'"), std::string::npos);
      EXPECT_EQ(e.kind(), error_class::usage);
    }
  }
}

// The header: no fraction of a byte, whatever the unit it is written in.
TEST(bytes, refuses_a_fraction_of_a_byte) {
  for (const char* text : {"1.0001KB", "0.3KiB", "1.5e-3K", "0.0001Ki"}) {
    EXPECT_THROW(static_cast<void>(parse_bytes(text)), invalid_argument) << text;
  }
  EXPECT_EQ(parse_bytes("1.1GB"), 1100000000U);  // not a fraction, though 1.1 is not exact
}

TEST(bytes, parses_counts) {
  for (const auto& [text, value] : {parsed{"4096", 4096},
                                    {"7.5e9", 7500000000},
                                    {"124M", 124000000},
                                    {"1.5B", 1500000000},
                                    {"1.5G", 1500000000},
                                    {"2K", 2000},
                                    {"0.001K", 1},
                                    {"1T", 1000000000000}}) {
    EXPECT_EQ(parse_count(text), value) << text;
  }
  for (const char* text : {"", "1KiB", "many", "1.5", "-3", "1e30", "2m"}) {
    EXPECT_THROW(static_cast<void>(parse_count(text)), invalid_argument) << text;
  }
}

TEST(bytes, formats) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(17), "17 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1024), "1.00 KiB");
  EXPECT_EQ(format_bytes(12288), "12.0 KiB");
  EXPECT_EQ(format_bytes(1610612736), "1.50 GiB");
  EXPECT_EQ(format_bytes(std::uint64_t{123} << 20), "123 MiB");
  EXPECT_EQ(format_bytes(std::numeric_limits<std::uint64_t>::max()), "16.0 EiB");
}

// Rounding must not carry into a number that the next unit would have written better.
TEST(bytes, formats_just_under_a_unit) {
  EXPECT_EQ(format_bytes(1048575), "1.00 MiB");
  EXPECT_EQ(format_bytes(10239), "10.0 KiB");
  EXPECT_EQ(format_bytes(102399), "100 KiB");
}

TEST(bytes, rounds_up) {
  EXPECT_EQ(round_up(0, 7), 0U);
  EXPECT_EQ(round_up(1, 7), 7U);
  EXPECT_EQ(round_up(7, 7), 7U);
  EXPECT_EQ(round_up(8, 7), 14U);
  EXPECT_EQ(round_up(5, 1), 5U);
  EXPECT_EQ(3_KiB, 3072U);
  EXPECT_EQ(1_MiB, 1048576U);
  EXPECT_EQ(2_GiB, 2147483648U);
}

}  // namespace
}  // namespace zero::testing
