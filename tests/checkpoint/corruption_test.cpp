// Damage to whole checkpoints: thousands at random, and files and manifests that are right but
// elsewhere. Loading finds each, says where, and takes the older checkpoint; or, where there is
// none, nothing.

#include "checkpoint/small_state.hpp"
#include "checkpoint/store_use.hpp"
#include "support/memory_files.hpp"

#include <zero/base/error.hpp>
#include <zero/checkpoint/store.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <random>

namespace zero::checkpoint::testing {
namespace {

using zero::testing::directory_image;
using zero::testing::memory_files;
using zero::testing::run_ranks;

constexpr const char* older = "step-000000000003";
constexpr const char* newer = "step-000000000006";

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int damages = 600, long_damages = 30;
#else
constexpr int damages = 9800, long_damages = 200;
#endif

std::string name_of_rank(int rank, int ranks) {
  return "rank-0000" + std::to_string(rank) + "-of-0000" + std::to_string(ranks) + ".safetensors";
}

// Steps 3 and 6, saved by so many ranks.
directory_image saved(int ranks, std::uint64_t nonce_seed, small_model model = {}) {
  const auto files = std::make_shared<memory_files>();
  save_steps(with(files, nonce_seed), ranks, {3, 6}, model);
  directory_image image = files->image();
  image.files.clear();  // the lock and the epoch of the owner that saved
  return image;
}

// What loading it comes to on `world` ranks: step 3, having passed over step 6 for a reason that
// has `words` in it.
void expect_fallback(const directory_image& image, int world, const std::string& words,
                     small_model model = {}) {
  const auto files = std::make_shared<memory_files>(image);
  run_ranks(
      world,
      [&](collectives::communicator& ranks) {
        store from(ranks, "", with(files));
        small_target into(model, ranks.rank(), world);
        loaded out;
        ASSERT_TRUE(from.load(into, out));
        EXPECT_EQ(out.from.step, 3U);
        EXPECT_EQ(into.wrong(3), "");
        ASSERT_EQ(out.passed_over.size(), 1U);
        EXPECT_NE(out.passed_over[0].find(words), std::string::npos) << out.passed_over[0];
      },
      std::uint64_t{16} << 20U);
}

// Likewise where there is nothing else to load.
void expect_nothing_loaded(directory_image image, int world, small_model model = {}) {
  image.folders.erase(older);
  const auto files = std::make_shared<memory_files>(image);
  run_ranks(
      world,
      [&](collectives::communicator& ranks) {
        store from(ranks, "", with(files));
        small_target into(model, ranks.rank(), world);
        loaded out;
        EXPECT_THROW(static_cast<void>(from.load(into, out)), corrupt_data);
        EXPECT_TRUE(into.untouched());
      },
      std::uint64_t{16} << 20U);
}

// One of the things that happen to files.
class damaging {
 public:
  explicit damaging(unsigned seed) : random_(seed) {}

  std::size_t below(std::size_t count) { return count == 0 ? 0 : random_() % count; }

  // `stale` is what the file was at an older step, `other` that of another rank.
  std::string damaged(const std::string& good, const std::string& stale, const std::string& other) {
    for (;;) {
      std::string bad = once(good, stale, other);
      if (bad != good) return bad;
    }
  }

 private:
  std::string once(std::string text, const std::string& stale, const std::string& other) {
    const std::size_t at = below(text.size());
    const std::size_t count = std::min(text.size() - at, std::size_t{1} << below(13));
    switch (below(10)) {
      case 0:
        text[at] = static_cast<char>(text[at] ^ 1 << below(8));
        return text;
      case 1:
        text[at] = static_cast<char>(below(256));
        return text;
      case 2:  // a sector that was never written
        return text.replace(at, count, count, '\0');
      case 3:  // or is of an older file
        return text.replace(at, count, stale.substr(std::min(at, stale.size()), count));
      case 4:  // or of another one
        return text.replace(at, count, other.substr(std::min(at, other.size()), count));
      case 5: {  // two places exchanged
        const std::size_t to = below(text.size() - count + 1);
        const std::string kept = text.substr(to, count);
        return text.replace(to, count, text.substr(at, count)).replace(at, count, kept);
      }
      case 6:
        return text.substr(0, at);
      case 7:
        return text + std::string(1 + below(5000), static_cast<char>(below(2)));
      case 8:
        return text.erase(at, count);
      default:
        return text.insert(at, count, static_cast<char>(below(256)));
    }
  }

  std::mt19937 random_;
};

TEST(corruption, random_damage_to_files_is_always_found) {
  constexpr int ranks = 3;
  const directory_image whole = saved(ranks, 1);
  damaging random(20260101);
  for (int i = 0; i < damages && !::testing::Test::HasFailure(); ++i) {
    SCOPED_TRACE("damage " + std::to_string(i));
    directory_image image = whole;
    const int rank = static_cast<int>(random.below(ranks));
    const std::string name = name_of_rank(rank, ranks);
    std::string& file = image.folders[newer][name];
    file = random.damaged(file, image.folders[older][name],
                          image.folders[newer][name_of_rank((rank + 1) % ranks, ranks)]);
    const int world = 1 + static_cast<int>(random.below(4));
    if (i % 4 == 0) {
      expect_nothing_loaded(image, world);
    } else {
      expect_fallback(image, world, name);
    }
  }
}

// Files of several chunks, of which each rank reads some.
TEST(corruption, random_damage_to_long_files_is_always_found) {
  constexpr int ranks = 2;
  const small_model model = {60000};
  const directory_image whole = saved(ranks, 1, model);
  ASSERT_GT(whole.folders.at(newer).at(name_of_rank(0, ranks)).size(), 2 * chunk_bytes);
  damaging random(7);
  for (int i = 0; i < long_damages && !::testing::Test::HasFailure(); ++i) {
    SCOPED_TRACE("damage " + std::to_string(i));
    directory_image image = whole;
    const int rank = static_cast<int>(random.below(ranks));
    const std::string name = name_of_rank(rank, ranks);
    std::string& file = image.folders[newer][name];
    file = random.damaged(file, image.folders[older][name],
                          image.folders[newer][name_of_rank(1 - rank, ranks)]);
    expect_fallback(image, 1 + static_cast<int>(random.below(3)), name, model);
  }
}

TEST(corruption, files_that_are_right_elsewhere_are_found) {
  constexpr int ranks = 2;
  const directory_image whole = saved(ranks, 1);
  const directory_image another = saved(ranks, 2);  // of the same states, by another run
  const std::string first = name_of_rank(0, ranks);
  const std::string second = name_of_rank(1, ranks);
  using folder = std::map<std::string, std::string>;
  const struct {
    const char* what;
    std::string words;
    std::function<void(folder&)> spoil;
  } cases[] = {
      {"swapped", "rank-0000", [&](folder& f) { std::swap(f[first], f[second]); }},
      {"another rank's", second, [&](folder& f) { f[second] = f[first]; }},
      {"an older step's", first, [&](folder& f) { f[first] = whole.folders.at(older).at(first); }},
      {"another run's", first, [&](folder& f) { f[first] = another.folders.at(newer).at(first); }},
      {"gone", second, [&](folder& f) { f.erase(second); }},
      {"empty", second, [&](folder& f) { f[second].clear(); }},
      {"all of another run", "rank-0000",
       [&](folder& f) {
         const std::string own = f[manifest_name];
         f = another.folders.at(newer);
         f[manifest_name] = own;
       }},
      {"manifest gone", manifest_name, [&](folder& f) { f.erase(manifest_name); }},
      {"manifest empty", manifest_name, [&](folder& f) { f[manifest_name].clear(); }},
      {"an older step's manifest", manifest_name,
       [&](folder& f) { f[manifest_name] = whole.folders.at(older).at(manifest_name); }},
      {"another run's manifest", "rank-0000",
       [&](folder& f) { f[manifest_name] = another.folders.at(newer).at(manifest_name); }},
      {"an older checkpoint altogether", manifest_name,
       [&](folder& f) { f = whole.folders.at(older); }},
  };
  for (const auto& one : cases) {
    SCOPED_TRACE(one.what);
    for (const int world : {1, 2, 3}) {
      directory_image image = whole;
      one.spoil(image.folders[newer]);
      expect_fallback(image, world, one.words);
      expect_nothing_loaded(image, world);
      memory_files files(image);
      EXPECT_ANY_THROW(verify(files, newer));
      EXPECT_NO_THROW(verify(files, older));
    }
  }
}

TEST(corruption, every_flipped_bit_of_a_manifest_in_its_place_is_found) {
  directory_image image = saved(1, 1);
  std::string& text = image.folders[newer][manifest_name];
  for (std::size_t bit = 0; bit < 8 * text.size(); ++bit) {
    text[bit / 8] = static_cast<char>(text[bit / 8] ^ 1 << bit % 8);
    memory_files files(image);
    ASSERT_THROW(static_cast<void>(read_manifest(files, newer)), corrupt_data) << bit;
    text[bit / 8] = static_cast<char>(text[bit / 8] ^ 1 << bit % 8);
  }
}

}  // namespace
}  // namespace zero::checkpoint::testing
