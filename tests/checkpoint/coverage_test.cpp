// Every element once, and files as long as what is in them; where in a file an array lies.

#include "checkpoint/sample_manifest.hpp"

#include <zero/base/error.hpp>
#include <zero/checkpoint/manifest.hpp>
#include <zero/checkpoint/safetensors_header.hpp>

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <random>
#include <set>

namespace zero::checkpoint {
namespace {

using testing::sample_manifest;
using testing::settle_sizes;

std::string fault(const manifest& m) {
  try {
    check_coverage(m, "m");
  } catch (const corrupt_data& thrown) {
    return thrown.what();
  }
  return "";
}

void expect_fault(const std::string& what, const std::function<void(manifest&)>& spoil,
                  bool settled = true) {
  manifest m = sample_manifest();
  spoil(m);
  if (settled) settle_sizes(m);
  EXPECT_NE(fault(m).find(what), std::string::npos) << what << ": " << fault(m);
}

TEST(coverage, elements_are_saved_once) {
  EXPECT_EQ(fault(sample_manifest()), "");
  expect_fault("element 11 of 'embed",
               [](manifest& m) { m.files[1].extents.erase(m.files[1].extents.begin()); });
  expect_fault("element 10 of 'embed", [](manifest& m) { m.files[0].extents[0].count = 10; });
  expect_fault("saved nowhere", [](manifest& m) { m.files[0].extents[0].count = 10; });
  expect_fault("element 11 of 'embed", [](manifest& m) { m.files[0].extents[0].count = 12; });
  expect_fault("saved twice", [](manifest& m) { m.files[0].extents[0].count = 12; });
  expect_fault("element 0 of 'embed", [](manifest& m) { m.files[0].extents[0] = {0, 1, 10}; });
  expect_fault("element 20 of 'embed", [](manifest& m) { m.files[1].extents[0].count = 9; });
  expect_fault("element 0 of 'scale' is saved nowhere",
               [](manifest& m) { m.files[0].extents.pop_back(); });
  expect_fault("element 0 of 'scale' is saved twice", [](manifest& m) {
    m.files[1].extents.push_back({5, 0, 1});
  });
  expect_fault("element 3 of 'frozen' is saved nowhere",
               [](manifest& m) { m.files[1].extents[2].count = 3; });
}

TEST(coverage, sizes_add_up) {
  const auto wrong = [](const std::string& what, const std::function<void(manifest&)>& spoil) {
    expect_fault(what, spoil, false);
  };
  wrong("rank-00000-of-00002.safetensors' has", [](manifest& m) { ++m.files[0].bytes; });
  wrong("rank-00001-of-00002.safetensors' has", [](manifest& m) { --m.files[1].bytes; });
  wrong("header", [](manifest& m) { m.files[0].header_bytes += 8; });
  wrong("checksums", [](manifest& m) { m.files[0].checksums.pop_back(); });
  wrong("checksums", [](manifest& m) { m.files[1].checksums.push_back(0); });
  wrong("bytes, not", [](manifest& m) { m.files[0].attachments[0].second = 17; });
  wrong("2^62", [](manifest& m) { m.files[0].attachments[0].second = std::uint64_t{1} << 62U; });
  wrong("2^62", [](manifest& m) {
    m.parameters[5].shape = {std::uint64_t{1} << 59U};
    m.files[0].extents[2].count = std::uint64_t{1} << 59U;
  });
}

// By a table of every element, at every number of extents and files.
TEST(coverage, agrees_with_counting_elements) {
  std::mt19937 random(7);
  int whole = 0;
  for (int round = 0; round < 3000; ++round) {
    manifest m = sample_manifest();
    m.parameters = {{"a", {5}, dtype::fp32, true, 0, ""}, {"b", {1}, dtype::fp32, true, 0, ""}};
    m.files.assign(1 + random() % 3, {});
    std::map<std::pair<std::size_t, std::uint64_t>, int> times;
    for (std::size_t rank = 0; rank < m.files.size(); ++rank) {
      m.files[rank].name = "rank-0000" + std::to_string(rank) + "-of-0000" +
                           std::to_string(m.files.size()) + ".safetensors";
    }
    const auto put = [&](const shard_extent& e) {
      for (std::uint64_t i = 0; i < e.count; ++i) ++times[{e.parameter, e.offset + i}];
      m.files[random() % m.files.size()].extents.push_back(e);
    };
    for (std::uint64_t at = 0; at < 5;) {  // whole so far
      const std::uint64_t count = 1 + random() % (5 - at);
      if (random() % 8 != 0) put({0, at, count});
      at += count;
    }
    if (random() % 8 != 0) put({1, 0, 1});
    if (random() % 8 == 0) put({0, random() % 5, 1});
    bool once = times.size() == 6;
    for (const auto& [element, count] : times) once = once && count == 1;
    if (once) settle_sizes(m);
    ASSERT_EQ(fault(m) == "", once) << round << ": " << fault(m);
    if (once) ++whole;
  }
  EXPECT_GT(whole, 500);
  EXPECT_LT(whole, 2900);
}

TEST(places, headers_are_those_of_the_format_and_places_are_theirs) {
  manifest m = sample_manifest();
  for (std::size_t rank = 0; rank < m.files.size(); ++rank) {
    const saved_file& file = m.files[rank];
    const std::string header = header_of(m, rank);
    ASSERT_EQ(header.size(), file.header_bytes);
    ASSERT_EQ(parse_safetensors_length(header.data(), file.bytes, "f"), header.size() - 8);
    const auto entries =
        parse_safetensors_header(header.substr(8), file.bytes - header.size(), "f");
    std::map<std::string, safetensors_entry> named;
    for (const auto& entry : entries) named[entry.name] = entry;
    const auto begins = extent_begins(m, file);
    ASSERT_EQ(begins.size(), file.extents.size() + 1);
    std::size_t tensors = 0;
    for (std::size_t e = 0; e < file.extents.size(); ++e) {
      const saved_parameter& p = m.parameters[file.extents[e].parameter];
      const int arrays = p.trainable ? 3 : 1;
      for (int array = 0; array < arrays; ++array, ++tensors) {
        const std::string folder = array == 0 ? "weights" : array == 1 ? "exp_avg" : "exp_avg_sq";
        const safetensors_entry& entry =
            named.at(folder + "/" + p.name + "@" + std::to_string(file.extents[e].offset));
        const array_place place = place_of(m, file, e, array);
        EXPECT_EQ(place.begin, header.size() + entry.begin);
        EXPECT_EQ(place.bytes, entry.end - entry.begin);
        EXPECT_EQ(place.type, entry.type);
        EXPECT_EQ(entry.type, p.trainable ? dtype::fp32 : p.type);
        EXPECT_EQ(entry.shape, std::vector<std::uint64_t>{file.extents[e].count});
        if (array == 0) {
          EXPECT_EQ(place.begin, begins[e]);
        }
      }
      EXPECT_THROW(static_cast<void>(place_of(m, file, e, arrays)), invalid_argument);
      EXPECT_THROW(static_cast<void>(place_of(m, file, e, -1)), invalid_argument);
    }
    std::uint64_t at = begins.back();
    for (const auto& [name, bytes] : file.attachments) {
      const safetensors_entry& entry = named.at("client/" + name);
      EXPECT_EQ(entry.type, dtype::byte);
      EXPECT_EQ(entry.begin + header.size(), at);
      at += bytes;
      ++tensors;
    }
    EXPECT_EQ(at, file.bytes);
    EXPECT_EQ(tensors, entries.size());
    EXPECT_THROW(static_cast<void>(place_of(m, file, file.extents.size(), 0)), invalid_argument);
  }
  EXPECT_THROW(static_cast<void>(header_of(m, 2)), invalid_argument);
}

// Lengths are computed without the text: at every number of digits they are those of the text.
TEST(places, lengths_of_headers_are_known_beforehand) {
  manifest m = sample_manifest();
  for (std::uint64_t count = 1; count < 4'000'000'000'000'000; count = count * 7 + 3) {
    m.parameters = {{"a\"b", {count, 1}, dtype::fp32, true, 0, ""},
                    {"frozen", {count}, dtype::fp16, false, 0, ""}};
    m.files.resize(1);
    m.files[0].name = "rank-00000-of-00001.safetensors";
    m.files[0].extents = {{1, 0, count}, {0, 0, count}};
    m.files[0].attachments = {{"a\\b", count}};
    m.files[0].header_bytes = header_of(m, 0).size();
    m.files[0].bytes = m.files[0].header_bytes + count * 15;
    m.files[0].checksums.clear();
    EXPECT_NE(fault(m).find("and 0 checksums"), std::string::npos) << count << ": " << fault(m);
  }
}

// A text of a few bytes an extent describes a header of thousands: refused before it is made.
TEST(places, headers_that_would_be_too_long_are_refused_in_time) {
  manifest m = sample_manifest();
  m.parameters = {{std::string(3900, 'n'), {20000}, dtype::fp32, true, 0, ""}};
  m.files.resize(1);
  m.files[0].name = "rank-00000-of-00001.safetensors";
  m.files[0].attachments.clear();
  m.files[0].extents.clear();
  for (std::uint64_t i = 0; i < 20000; ++i) m.files[0].extents.push_back({0, i, 1});
  EXPECT_NE(fault(m).find("100 million"), std::string::npos) << fault(m);
  EXPECT_THROW(static_cast<void>(header_of(m, 0)), invalid_argument);
}

TEST(chunk_seed, tells_every_place_from_every_other) {
  std::set<std::uint64_t> seeds;
  std::size_t made = 0;
  for (const std::uint64_t step : {0, 1, 42}) {
    for (const std::uint64_t epoch : {1, 2}) {
      for (const char* nonce :
           {"00000000000000000000000000000000", "10000000000000000000000000000000"}) {
        for (const int rank : {0, 1, 7}) {
          for (std::uint64_t chunk = 0; chunk < 50; ++chunk, ++made) {
            seeds.insert(chunk_seed({step, epoch, nonce}, rank, chunk));
          }
        }
      }
    }
  }
  EXPECT_EQ(seeds.size(), made);
}

}  // namespace
}  // namespace zero::checkpoint
