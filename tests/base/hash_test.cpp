#include <zero/base/hash.hpp>

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <utility>

namespace zero::testing {
namespace {

std::string digest_of(const std::string& bytes) {
  hash128 h;
  h.update(bytes.data(), bytes.size());
  return to_hex(h.digest());
}

// From xxHash's published test vector: XXH3 of no bytes, 128 bits, seed 0.
TEST(hash, of_nothing) { EXPECT_EQ(digest_of(""), "99aa06d3014798d86001c324468d497f"); }

TEST(hash, hex) {
  digest128 digest{};
  for (std::size_t i = 0; i < digest.size(); ++i) digest[i] = static_cast<std::uint8_t>(i * 17);
  EXPECT_EQ(to_hex(digest), "00112233445566778899aabbccddeeff");
}

TEST(hash, does_not_depend_on_the_cut) {
  std::string text;
  for (int i = 0; i < 1500; ++i) text += static_cast<char>(i * 31);
  const std::string whole = digest_of(text);
  for (std::size_t cut = 0; cut <= text.size(); cut += 37) {
    hash128 h;
    h.update(text.data(), cut);
    h.update(text.data() + cut, text.size() - cut);
    EXPECT_EQ(to_hex(h.digest()), whole) << cut;
  }
}

TEST(hash, depends_on_every_byte_and_on_order) {
  std::set<std::string> digests;
  std::string text(300, 'a');
  digests.insert(digest_of(text));
  for (char& c : text) {
    c = 'b';
    digests.insert(digest_of(text));
  }
  EXPECT_EQ(digests.size(), 301U);
  EXPECT_NE(digest_of("ab"), digest_of("ba"));
}

TEST(hash, tells_texts_apart_that_join_to_the_same) {
  const auto of = [](const std::string& a, const std::string& b) {
    hash128 h;
    h.update(a);
    h.update(b);
    return h.digest();
  };
  EXPECT_NE(of("ab", "c"), of("a", "bc"));
  EXPECT_NE(of("", "abc"), of("abc", ""));
  EXPECT_EQ(of("ab", "c"), of("ab", "c"));
}

TEST(hash, numbers_are_eight_little_endian_bytes) {
  hash128 h;
  h.update(std::uint64_t{0x0807060504030201});
  EXPECT_EQ(to_hex(h.digest()), digest_of("\x01\x02\x03\x04\x05\x06\x07\x08"));
}

TEST(hash, digest_may_be_asked_for_on_the_way_and_a_hash_moved) {
  hash128 h;
  h.update("ab", 2);
  EXPECT_EQ(to_hex(h.digest()), digest_of("ab"));
  EXPECT_EQ(to_hex(h.digest()), digest_of("ab"));
  hash128 moved(std::move(h));
  moved.update("cd", 2);
  EXPECT_EQ(to_hex(moved.digest()), digest_of("abcd"));
}

// From xxHash's published test vectors: XXH3 of no bytes, 64 bits, seed 0.
TEST(checksum, of_nothing) { EXPECT_EQ(checksum64(nullptr, 0, 0), 0x2D06800538D394C2U); }

TEST(checksum, depends_on_every_bit_and_on_the_seed) {
  for (const std::size_t count : {1, 7, 16, 129, 241, 4096}) {
    std::string bytes(count, 'x');
    std::set<std::uint64_t> seen{checksum64(bytes.data(), count, 1)};
    EXPECT_TRUE(seen.insert(checksum64(bytes.data(), count, 2)).second);
    EXPECT_FALSE(seen.insert(checksum64(bytes.data(), count, 1)).second);
    for (std::size_t bit = 0; bit < 8 * count; ++bit) {
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
      EXPECT_TRUE(seen.insert(checksum64(bytes.data(), count, 1)).second) << bit << " of " << count;
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    }
  }
}

}  // namespace
}  // namespace zero::testing
