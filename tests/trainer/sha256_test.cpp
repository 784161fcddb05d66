#include "trainer/sha256.hpp"

#include <gtest/gtest.h>

#include <string>

namespace zero::trainer {
namespace {

std::string digest(const std::string& text) {
  sha256 hash;
  hash.update(text.data(), text.size());
  return hash.hex();
}

// FIPS 180-4's examples and NIST's long ones.
TEST(sha256, vectors_of_the_standard) {
  EXPECT_EQ(digest(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(digest("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(digest("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
                   "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu"),
            "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
  EXPECT_EQ(digest(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(sha256, cuts_between_calls_do_not_matter) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += static_cast<char>(i * 7);
  for (std::size_t cut = 0; cut <= 200; ++cut) {
    sha256 hash;
    hash.update(text.data(), cut);
    EXPECT_EQ(hash.hex(), digest(text.substr(0, cut)));
    hash.update(text.data() + cut, text.size() - cut);
    EXPECT_EQ(hash.hex(), digest(text)) << cut;
  }
}

}  // namespace
}  // namespace zero::trainer
