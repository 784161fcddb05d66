// Headers made to cost time or memory: refused, or read, in proportion to their text.

#include "offload/child.hpp"

#include <zero/base/error.hpp>
#include <zero/checkpoint/safetensors_header.hpp>

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstdio>
#include <ctime>
#include <functional>

namespace zero::checkpoint {
namespace {

struct costs {
  bool accepted = false;
  double seconds = 0;  // of a processor
  double bytes = 0;    // of memory, beyond what was used before
};

long peak_kib() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  return used.ru_maxrss;
}

costs cost_of(const std::function<std::string()>& make, std::uint64_t body) {
  const std::string said = zero::testing::in_child([&] {
    const std::string text = make();
    const long before = peak_kib();
    const std::clock_t begun = std::clock();
    bool accepted = true;
    try {
      static_cast<void>(parse_safetensors_header(text, body, "bomb"));
    } catch (const corrupt_data& thrown) {
      accepted = std::string(thrown.what()).size() > 10000;  // nor is the message a bomb
    }
    const double taken = static_cast<double>(std::clock() - begun) / CLOCKS_PER_SEC;
    return std::to_string(accepted) + " " + std::to_string(taken) + " " +
           std::to_string(peak_kib() - before);
  });
  costs found;
  int accepted = -1;
  long kib = 0;
  EXPECT_EQ(std::sscanf(said.c_str(), "%d %lf %ld", &accepted, &found.seconds, &kib), 3) << said;
  found.accepted = accepted == 1;
  found.bytes = 1024.0 * static_cast<double>(kib);
  return found;
}

std::string repeated(const std::string& before, const std::string& part, std::size_t times,
                     const std::string& after = "") {
  std::string text = before;
  text.reserve(before.size() + times * part.size() + after.size());
  for (std::size_t i = 0; i < times; ++i) text += part;
  return text + after;
}

std::string tensors(std::size_t count) {
  std::string text = "{";
  for (std::size_t i = 0; i < count; ++i) {
    if (i > 0) text += ',';
    text += '"' + std::to_string(i) + R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  }
  return text + '}';
}

// Sanitizers take several times as long and remember what was freed.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr double slower = 10, larger = 10;
constexpr std::size_t most = 4'000'000;
#else
constexpr double slower = 1, larger = 1;
constexpr std::size_t most = 20'000'000;
#endif

void expect_refused(const char* what, const std::function<std::string()>& make) {
  const costs found = cost_of(make, 0);
  EXPECT_FALSE(found.accepted) << what;
  EXPECT_LT(found.seconds, 4.0 * slower) << what;
  EXPECT_LT(found.bytes, 200e6 * larger) << what;
}

TEST(header_bombs, are_refused_without_much_ado) {
  expect_refused("lists in lists", [] { return repeated("{\"a\":", "[", most); });
  expect_refused("objects in objects", [] { return repeated("", "{\"a\":", most / 5); });
  expect_refused("metadata in metadata",
                 [] { return repeated("", "{\"__metadata__\":", most / 16); });
  expect_refused("lists in a shape",
                 [] { return repeated(R"({"a":{"dtype":"F32","shape":)", "[", most); });
  expect_refused("dimensions",
                 [] { return repeated(R"({"a":{"dtype":"F32","shape":[)", "1,", most / 2, "1]"); });
  expect_refused("digits",
                 [] { return repeated(R"({"a":{"dtype":"F32","shape":[)", "1", most, "]"); });
  expect_refused("a name", [] { return repeated("{\"", "n", most, "\":{}}"); });
  expect_refused("a name of escapes",
                 [] { return repeated("{\"", "\\u0041", most / 6, "\":{}}"); });
  expect_refused("a dtype", [] { return repeated(R"({"a":{"dtype":")", "F", most, "\"}}"); });
  expect_refused("a string without an end", [] { return repeated("{\"", "n", most); });
  expect_refused("spaces", [] { return repeated("{", " ", most); });
  expect_refused("too long", [] { return repeated("{}", " ", safetensors_header_limit); });
}

TEST(header_bombs, a_million_tensors_are_the_most) {
  const costs found = cost_of([] { return tensors(safetensors_tensor_limit); }, 0);
  EXPECT_TRUE(found.accepted);
  EXPECT_LT(found.seconds, 10.0 * slower);
  EXPECT_LT(found.bytes, 800e6 * larger);
  EXPECT_FALSE(cost_of([] { return tensors(safetensors_tensor_limit + 1); }, 0).accepted);
}

TEST(header_bombs, lengths_are_those_of_the_file) {
  const auto length = [](std::uint64_t value, std::uint64_t file) {
    unsigned char bytes[8];
    for (unsigned i = 0; i < 8; ++i) bytes[i] = static_cast<unsigned char>(value >> (8 * i));
    return parse_safetensors_length(bytes, file, "f");
  };
  EXPECT_EQ(length(2, 10), 2u);
  EXPECT_EQ(length(0, 8), 0u);
  EXPECT_EQ(length(100'000'000, 200'000'000), 100'000'000u);
  for (const auto& [value, file] : {std::pair<std::uint64_t, std::uint64_t>{3, 10},
                                    {100'000'001, 200'000'000},
                                    {~0ULL, ~0ULL},
                                    {1ULL << 63U, ~0ULL},
                                    {0, 7},
                                    {0, 0}}) {
    EXPECT_THROW(static_cast<void>(length(value, file)), corrupt_data) << value << " " << file;
  }
}

}  // namespace
}  // namespace zero::checkpoint
