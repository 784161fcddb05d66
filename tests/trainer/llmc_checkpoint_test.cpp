// llm.c checkpoints, written here the way llm.c's own exporter lays them out.

#include "trainer/llmc_checkpoint.hpp"

#include "trainer/scratch_folder.hpp"

#include <zero/base/error.hpp>
#include <zero/base/float16.hpp>

#include <gtest/gtest.h>

#include <map>

namespace zero::trainer::testing {
namespace {

constexpr int V = 11, padded = 16, L = 2, C = 6, H = 3, T = 5;

// A value that names its place: tensor, layer, row and column, small enough for bf16 to round.
float value_at(int tensor, int layer, int row, int column) {
  return static_cast<float>(tensor) + 0.25f * static_cast<float>(layer) +
         0.0078125f * static_cast<float>(row) + 0.001f * static_cast<float>(column);
}

struct stacked {
  int layers, rows, columns;
};
// llm.c's 16 tensors; matrices are [out, in].
const stacked tensors[16] = {{1, padded, C}, {1, T, C},     {L, 1, C},     {L, 1, C},
                             {L, 3 * C, C},  {L, 1, 3 * C}, {L, C, C},     {L, 1, C},
                             {L, 1, C},      {L, 1, C},     {L, 4 * C, C}, {L, 1, 4 * C},
                             {L, C, 4 * C},  {L, 1, C},     {1, 1, C},     {1, 1, C}};

std::vector<std::int32_t> good_header(int version) {
  std::vector<std::int32_t> header(256, 0);
  const std::int32_t numbers[] = {20240326, version, T, V, L, H, C, padded};
  std::copy(std::begin(numbers), std::end(numbers), header.begin());
  return header;
}

std::string checkpoint(const std::vector<std::int32_t>& header, int version) {
  std::string bytes(reinterpret_cast<const char*>(header.data()), 1024);
  for (int t = 0; t < 16; ++t) {
    for (int l = 0; l < tensors[t].layers; ++l) {
      for (int r = 0; r < tensors[t].rows; ++r) {
        for (int c = 0; c < tensors[t].columns; ++c) {
          const float value = value_at(t, l, r, c);
          bytes += version == 3 ? bytes_of(value) : bytes_of(to_bf16(value).bits);
        }
      }
    }
  }
  return bytes;
}

// Our name, which of llm.c's tensors it is, and our [in, out].
struct mapping {
  const char* name;
  int tensor, layer, rows, columns;
  bool transposed;
};
const mapping mappings[] = {
    {"wte.weight", 0, 0, V, C, false},
    {"wpe.weight", 1, 0, T, C, false},
    {"h.0.ln_1.weight", 2, 0, 1, C, false},
    {"h.1.ln_1.bias", 3, 1, 1, C, false},
    {"h.0.attn.c_attn.weight", 4, 0, C, 3 * C, true},
    {"h.1.attn.c_attn.weight", 4, 1, C, 3 * C, true},
    {"h.1.attn.c_attn.bias", 5, 1, 1, 3 * C, false},
    {"h.0.attn.c_proj.weight", 6, 0, C, C, true},
    {"h.0.attn.c_proj.bias", 7, 0, 1, C, false},
    {"h.1.ln_2.weight", 8, 1, 1, C, false},
    {"h.0.ln_2.bias", 9, 0, 1, C, false},
    {"h.1.mlp.c_fc.weight", 10, 1, C, 4 * C, true},
    {"h.0.mlp.c_fc.bias", 11, 0, 1, 4 * C, false},
    {"h.1.mlp.c_proj.weight", 12, 1, 4 * C, C, true},
    {"h.1.mlp.c_proj.bias", 13, 1, 1, C, false},
    {"ln_f.weight", 14, 0, 1, C, false},
    {"ln_f.bias", 15, 0, 1, C, false},
};

TEST(llmc_checkpoint, every_tensor_is_found_and_transposed) {
  const scratch_folder scratch;
  for (const int version : {3, 5}) {
    llmc_checkpoint read(scratch.write("m.bin", checkpoint(good_header(version), version)));
    EXPECT_EQ(read.type(), version == 3 ? dtype::fp32 : dtype::bf16);
    EXPECT_EQ(read.config().vocabulary, V);
    EXPECT_EQ(read.config().layers, L);
    EXPECT_EQ(read.config().channels, C);
    EXPECT_EQ(read.config().heads, H);
    EXPECT_EQ(read.config().context, T);
    for (const mapping& m : mappings) {
      std::vector<float> values(static_cast<std::size_t>(m.rows * m.columns));
      read.read(m.name, 0, values);
      for (int r = 0; r < m.rows; ++r) {
        for (int c = 0; c < m.columns; ++c) {
          const float exact =
              m.transposed ? value_at(m.tensor, m.layer, c, r) : value_at(m.tensor, m.layer, r, c);
          ASSERT_EQ(values[static_cast<std::size_t>(r * m.columns + c)],
                    version == 3 ? exact : to_float(to_bf16(exact)))
              << m.name << " " << r << " " << c;
        }
      }
    }
  }
}

TEST(llmc_checkpoint, any_slice_is_a_piece_of_the_whole) {
  const scratch_folder scratch;
  for (const int version : {3, 5}) {
    llmc_checkpoint read(scratch.write("m.bin", checkpoint(good_header(version), version)));
    for (const char* name : {"wte.weight", "h.1.mlp.c_proj.weight", "h.0.attn.c_attn.bias"}) {
      const std::size_t count = name[0] == 'w' ? V * C : name[4] == 'm' ? 4 * C * C : 3 * C;
      std::vector<float> all(count);
      read.read(name, 0, all);
      for (std::size_t offset = 0; offset <= count; offset += 5) {
        std::vector<float> slice(std::min<std::size_t>(7, count - offset));
        read.read(name, offset, slice);
        EXPECT_TRUE(std::equal(slice.begin(), slice.end(), all.begin() + std::ptrdiff_t(offset)));
      }
      std::vector<float> one(1);
      EXPECT_THROW(read.read(name, count, one), invalid_argument);
      EXPECT_THROW(read.read(name, ~std::uint64_t{0}, one), invalid_argument);
    }
    std::vector<float> one(1);
    EXPECT_THROW(read.read("h.2.ln_1.bias", 0, one), invalid_argument);
  }
}

std::int64_t offset_of_fault(const scratch_folder& scratch, const std::string& bytes) {
  const std::string path = scratch.write("m.bin", bytes);
  try {
    llmc_checkpoint read(path);
  } catch (const corrupt_data& error) {
    EXPECT_EQ(error.path, path);
    return static_cast<std::int64_t>(error.offset);
  }
  return -1;
}

TEST(llmc_checkpoint, refuses_foreign_headers_with_the_offset) {
  const scratch_folder scratch;
  EXPECT_EQ(offset_of_fault(scratch, checkpoint(good_header(3), 3)), -1);
  const auto with = [&](int index, std::int32_t value) {
    std::vector<std::int32_t> header = good_header(3);
    header[static_cast<std::size_t>(index)] = value;
    return offset_of_fault(scratch, checkpoint(header, 3));
  };
  EXPECT_EQ(with(0, 20240520), 0);
  for (const int version : {0, 1, 2, 4, 6, -3}) EXPECT_EQ(with(1, version), 4) << version;
  for (const int index : {2, 3, 4, 5, 6}) {
    for (const std::int32_t value : {0, -1, 2147483647, -2147483647 - 1}) {
      EXPECT_EQ(with(index, value), 8) << index << " " << value;
    }
  }
  EXPECT_EQ(with(5, 4), 8);  // channels no multiple of heads
  for (const std::int32_t value : {V - 1, 0, -1, 2147483647}) EXPECT_EQ(with(7, value), 28);
  EXPECT_EQ(with(4, L + 1), 1024);
  EXPECT_EQ(with(4, 1 << 20), 1024);
  EXPECT_EQ(with(7, padded + 1), 1024);
  EXPECT_EQ(with(1, 5), 1024);  // as if it were bf16
}

// Channels, layers and the rest as large as they may be: the product stays inside 64 bits.
TEST(llmc_checkpoint, the_largest_numbers_do_not_overflow) {
  const scratch_folder scratch;
  std::vector<std::int32_t> header(256, 0);
  const std::int32_t numbers[] = {20240326, 3,       1 << 20, 1 << 20,
                                  1 << 20,  1 << 20, 1 << 20, 1 << 21};
  std::copy(std::begin(numbers), std::end(numbers), header.begin());
  EXPECT_EQ(offset_of_fault(scratch, checkpoint(header, 3)), 1024);
}

TEST(llmc_checkpoint, refuses_every_truncation_and_what_follows_the_end) {
  const scratch_folder scratch;
  const std::string good = checkpoint(good_header(5), 5);
  for (std::size_t size = 0; size < 1024; ++size) {
    EXPECT_EQ(offset_of_fault(scratch, good.substr(0, size)), std::int64_t(size));
  }
  for (std::size_t size = 1024; size < good.size(); size += 97) {
    EXPECT_EQ(offset_of_fault(scratch, good.substr(0, size)), 1024);
  }
  EXPECT_EQ(offset_of_fault(scratch, good.substr(0, good.size() - 1)), 1024);
  EXPECT_EQ(offset_of_fault(scratch, good + "x"), 1024);
  EXPECT_THROW(llmc_checkpoint read(scratch.path("none")), io_error);
  EXPECT_THROW(llmc_checkpoint read(scratch.path()), io_error);
}

TEST(llmc_checkpoint, open_parameters_knows_the_file_and_the_model) {
  const scratch_folder scratch;
  const std::string path = scratch.write("m.bin", checkpoint(good_header(3), 3));
  const gpt_config config{"small", V, L, C, H, T};
  std::vector<float> one(1);
  open_parameters(path, config)->read("h.0.mlp.c_fc.weight", 1, one);
  EXPECT_EQ(one[0], value_at(10, 0, 1, 0));
  int gpt_config::*const members[] = {&gpt_config::vocabulary, &gpt_config::layers,
                                      &gpt_config::context};
  for (const auto member : members) {
    gpt_config other = config;
    ++(other.*member);
    EXPECT_THROW(static_cast<void>(open_parameters(path, other)), invalid_argument);
  }
}

}  // namespace
}  // namespace zero::trainer::testing
