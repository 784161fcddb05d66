// Checkpoints of every version of the format that was ever released, kept as files: they load, and
// what writes them still writes these bytes.

#include "checkpoint/small_state.hpp"
#include "checkpoint/store_use.hpp"
#include "support/memory_files.hpp"

#include <zero/base/hash.hpp>
#include <zero/checkpoint/manifest.hpp>
#include <zero/checkpoint/store.hpp>

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

namespace zero::checkpoint::testing {
namespace {

using zero::testing::directory_image;
using zero::testing::memory_files;
using named_bytes = std::map<std::string, std::string>;

constexpr const char* step_folder = "step-000000000042";
constexpr std::uint64_t step = 42;

named_bytes kept(const std::string& version) {
  named_bytes found;
  const std::string folder = std::string(ZERO_GOLDEN_FOLDER) + "/" + version + "/" + step_folder;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ifstream in(entry.path(), std::ios::binary);
    found[entry.path().filename().string()] = {std::istreambuf_iterator<char>(in), {}};
  }
  return found;
}

// The low `bytes` bytes of a value as they lie in a file.
std::string little_endian(std::uint32_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i) & 0xffU);
  return text;
}

// A rank's file, from what is known of every value: nothing that saves is asked but for its header.
std::string file_of(const manifest& m, std::size_t rank) {
  std::string bytes = header_of(m, rank);
  for (const shard_extent& e : m.files[rank].extents) {
    const bool frozen = e.parameter == small_model::frozen;
    for (int array = 0; array < (frozen ? 1 : 3); ++array) {
      for (std::uint64_t i = e.offset; i < e.offset + e.count; ++i) {
        const std::uint32_t bits = bits_at(e.parameter, array, i, m.id.step);
        bytes += frozen ? little_endian(bits >> 16U, 2) : little_endian(bits, 4);
      }
    }
  }
  for (const auto& [name, value] : rank == 0 ? client_at(m.id.step) : attachments{}) bytes += value;
  return bytes;
}

// The folder as two ranks would write it, whose manifest has this id and library.
named_bytes made(const save_id& id, const std::string& library) {
  const small_model model;
  manifest m = model.describe(id.step);
  m.id = id;
  m.written_by = library;
  m.files.resize(2);
  named_bytes folder;
  for (std::size_t rank = 0; rank < 2; ++rank) {
    saved_file& file = m.files[rank];
    file.name = "rank-0000" + std::to_string(rank) + "-of-00002.safetensors";
    file.extents = small_source(model, static_cast<int>(rank), 2, id.step).extents();
    if (rank == 0) {
      for (const auto& [name, value] : client_at(id.step)) {
        file.attachments.emplace_back(name, value.size());
      }
    }
    const std::string bytes = file_of(m, rank);
    file.header_bytes = header_of(m, rank).size();
    file.bytes = bytes.size();
    file.checksums = {
        checksum64(bytes.data(), bytes.size(), chunk_seed(id, static_cast<int>(rank), 0))};
    folder[file.name] = bytes;
  }
  folder[manifest_name] = format_manifest(m);
  return folder;
}

TEST(golden, version_1_is_written_as_it_was) {
  const named_bytes now = made({step, 3, "000102030405060708090a0b0c0d0e0f"}, "0.1.0");
  const named_bytes then = kept("version_1");
  if (now == then) return;
  const std::string folder = ::testing::TempDir() + "zero_golden_" + step_folder;
  std::filesystem::create_directories(folder);
  for (const auto& [name, bytes] : now) {
    std::ofstream(folder + "/" + name, std::ios::binary).write(bytes.data(), std::ssize(bytes));
  }
  ADD_FAILURE() << "a new version of the format? What is written now lies in " << folder;
}

TEST(golden, version_1_is_read) {
  for (const int world : {1, 2, 3}) {
    directory_image image;
    image.folders[step_folder] = kept("version_1");
    const auto files = std::make_shared<memory_files>(image);
    verify(*files, step_folder);
    zero::testing::run_ranks(
        world,
        [&](collectives::communicator& ranks) {
          store from(ranks, "", with(files));
          small_target into({}, ranks.rank(), world);
          loaded out;
          ASSERT_TRUE(from.load(into, out));
          EXPECT_EQ(into.wrong(step), "");
          EXPECT_EQ(out.client, client_at(step));
        },
        small_world);
  }
}

TEST(golden, a_store_writes_what_the_format_says) {
  const auto files = std::make_shared<memory_files>();
  save_steps(files, 2, {step});
  const named_bytes saved = files->image().folders.at(step_folder);
  const manifest m = parse_manifest(saved.at(manifest_name), "m");
  EXPECT_EQ(made(m.id, m.written_by), saved);
}

TEST(golden, a_manifest_of_the_future_is_refused_naming_both_versions) {
  directory_image image;
  image.folders[step_folder] = kept("version_2_of_the_future");
  const auto files = std::make_shared<memory_files>(image);
  expect_text<invalid_argument>([&] { static_cast<void>(read_manifest(*files, step_folder)); },
                                "of version 2 of the format; this library reads version 1");
}

}  // namespace
}  // namespace zero::checkpoint::testing
