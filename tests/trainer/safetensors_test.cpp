// Files: written, read back, damaged, and mapped to a GPT.

#include "trainer/safetensors.hpp"

#include "trainer/gpt_model.hpp"
#include "trainer/parameter_source.hpp"
#include "trainer/safetensors_writer.hpp"
#include "trainer/scratch_folder.hpp"

#include <zero/base/error.hpp>
#include <zero/base/float16.hpp>

#include <gtest/gtest.h>
#include <sys/stat.h>

namespace zero::trainer::testing {
namespace {

template <typename T>
const_typed_span run(const std::vector<T>& values, dtype type) {
  return {values.data(), values.size(), type};
}

// "a" fp32 [2, 3], "b" bf16 [5], "c" fp16 [], written in runs that cut through tensors.
std::string write_three(const scratch_folder& scratch) {
  const std::string path = scratch.path("m.safetensors");
  safetensors_writer writer(path);
  writer.declare("a", dtype::fp32, {2, 3});
  writer.declare("empty", dtype::fp16, {4, 0});
  writer.declare("b", dtype::bf16, {5});
  writer.declare("c", dtype::fp16, {});
  writer.add_metadata("format", "pt");
  writer.write(run<float>({0, 1}, dtype::fp32));
  writer.write(run<float>({2, 3, 4, 5}, dtype::fp32));
  std::vector<bf16_t> b;
  for (const float v : {10.f, 11.f, 12.f, 13.f, 14.f}) b.push_back(to_bf16(v));
  writer.write(run(b, dtype::bf16));
  writer.write(run<fp16_t>({to_fp16(0.5f)}, dtype::fp16));
  writer.finish();
  return path;
}

std::vector<float> whole(const safetensors& read, const std::string& name, std::size_t count) {
  std::vector<float> values(count);
  read.read(*read.find(name), 0, values);
  return values;
}

TEST(safetensors, what_is_written_is_read_back) {
  const scratch_folder scratch;
  const safetensors read(write_three(scratch));
  EXPECT_EQ(read.entries().size(), 4u);
  EXPECT_EQ(whole(read, "a", 6), (std::vector<float>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(whole(read, "b", 5), (std::vector<float>{10, 11, 12, 13, 14}));
  EXPECT_EQ(whole(read, "c", 1), std::vector<float>{0.5f});
  EXPECT_EQ(read.find("d"), nullptr);
  std::vector<float> middle(3);
  read.read(*read.find("a"), 2, middle);
  EXPECT_EQ(middle, (std::vector<float>{2, 3, 4}));
  EXPECT_THROW(read.read(*read.find("a"), 4, middle), invalid_argument);
  EXPECT_THROW(read.read(*read.find("a"), ~std::uint64_t{0}, middle), invalid_argument);
  // One file, under its own name, nobody else's to read.
  EXPECT_EQ(scratch.names(), std::vector<std::string>{"m.safetensors"});
  struct stat status {};
  ASSERT_EQ(::stat(read.path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST(safetensors, long_16_bit_tensors_are_read_in_pieces) {
  const scratch_folder scratch;
  std::vector<bf16_t> values;
  for (int i = 0; i < 20001; ++i) values.push_back(to_bf16(static_cast<float>(i % 251)));
  {
    safetensors_writer writer(scratch.path("m"));
    writer.declare("a", dtype::bf16, {20001});
    writer.write(run(values, dtype::bf16));
    writer.finish();
  }
  const safetensors read(scratch.path("m"));
  std::vector<float> out(20000);
  read.read(*read.find("a"), 1, out);
  for (std::size_t i = 0; i < out.size(); ++i) {
    ASSERT_EQ(out[i], static_cast<float>((i + 1) % 251));
  }
}

TEST(safetensors, refuses_every_truncation) {
  const scratch_folder scratch;
  write_three(scratch);
  const std::string good = scratch.read("m.safetensors");
  for (std::size_t size = 0; size < good.size(); ++size) {
    const std::string path = scratch.write("cut", good.substr(0, size));
    EXPECT_THROW(safetensors read(path), corrupt_data) << size;
  }
  EXPECT_THROW(safetensors read(scratch.write("more", good + "x")), corrupt_data);
}

TEST(safetensors, refuses_headers_longer_than_the_file_or_the_limit) {
  const scratch_folder scratch;
  for (const std::uint64_t length :
       {std::uint64_t{3}, std::uint64_t{100000001}, std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
    const std::string path = scratch.write("m", bytes_of(length) + "{}");
    EXPECT_THROW(safetensors read(path), corrupt_data) << length;
  }
  // A sparse file large enough for the header it claims is refused for the limit.
  const std::string path = scratch.write("m", bytes_of(std::uint64_t{100000001}) + "{}");
  std::filesystem::resize_file(path, 200000000);
  EXPECT_THROW(safetensors read(path), corrupt_data);
  EXPECT_THROW(safetensors read(scratch.write("m", bytes_of(std::uint64_t{0}))), corrupt_data);
  EXPECT_NO_THROW(safetensors read(scratch.write("m", bytes_of(std::uint64_t{2}) + "{}")));
  EXPECT_THROW(safetensors read(scratch.path("none")), io_error);
}

TEST(safetensors, a_file_that_shrinks_is_noticed) {
  const scratch_folder scratch;
  const std::string path = write_three(scratch);
  const safetensors read(path);
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1);
  std::vector<float> out(1);
  EXPECT_THROW(read.read(*read.find("c"), 0, out), corrupt_data);
}

TEST(safetensors_writer, refuses_what_was_not_declared) {
  const scratch_folder scratch;
  safetensors_writer writer(scratch.path("m"));
  writer.declare("a", dtype::fp32, {2});
  writer.declare("b", dtype::fp32, {1});
  EXPECT_THROW(writer.declare("a", dtype::fp32, {2}), invalid_argument);
  EXPECT_THROW(writer.declare("__metadata__", dtype::fp32, {2}), invalid_argument);
  EXPECT_THROW(writer.declare("c", dtype::byte, {2}), invalid_argument);
  EXPECT_THROW(writer.declare("c", dtype::fp32, {std::uint64_t{1} << 62}), invalid_argument);
  EXPECT_THROW(writer.declare("c", dtype::fp32, {(std::uint64_t{1} << 62) - 1}), invalid_argument);
  EXPECT_THROW(writer.write(run<float>({1, 2, 3}, dtype::fp32)), invalid_argument);
  EXPECT_THROW(writer.write(run<std::uint16_t>({1, 2}, dtype::bf16)), invalid_argument);
  writer.write(run<float>({1, 2}, dtype::fp32));
  EXPECT_THROW(writer.declare("c", dtype::fp32, {2}), invalid_argument);
  EXPECT_THROW(writer.add_metadata("k", "v"), invalid_argument);
  EXPECT_THROW(writer.finish(), invalid_argument);
  EXPECT_FALSE(std::filesystem::exists(scratch.path("m")));
  writer.write(run<float>({3}, dtype::fp32));
  EXPECT_THROW(writer.write(run<float>({4}, dtype::fp32)), invalid_argument);
  writer.finish();
  EXPECT_EQ(whole(safetensors(scratch.path("m")), "b", 1), std::vector<float>{3});
}

TEST(safetensors_writer, what_is_not_finished_leaves_nothing) {
  const scratch_folder scratch;
  scratch.write("m", "an older file");
  {
    safetensors_writer writer(scratch.path("m"));
    writer.declare("a", dtype::fp32, {2});
    writer.write(run<float>({1, 2}, dtype::fp32));
    EXPECT_EQ(scratch.names().size(), 2u);
  }
  EXPECT_EQ(scratch.names(), std::vector<std::string>{"m"});
  EXPECT_EQ(scratch.read("m"), "an older file");
  {
    safetensors_writer writer(scratch.path("m"));
    writer.finish();
  }
  EXPECT_TRUE(safetensors(scratch.path("m")).entries().empty());
  EXPECT_EQ(scratch.names(), std::vector<std::string>{"m"});
}

TEST(safetensors_writer, a_folder_that_is_not_there_is_named) {
  const scratch_folder scratch;
  safetensors_writer writer(scratch.path("no/m"));
  EXPECT_THROW(writer.finish(), io_error);
  std::filesystem::create_directory(scratch.path("m"));
  safetensors_writer onto_folder(scratch.path("m"));
  EXPECT_THROW(onto_folder.finish(), io_error);
}

// ---- as a model --------------------------------------------------------------------------------

const gpt_config small{"small", 7, 2, 4, 2, 3};

// A file of all parameters of `config`, element i of parameter p being p + i / 1024.
std::string write_model(const scratch_folder& scratch, const gpt_config& config,
                        const std::string& prefix, const std::string& left_out = "") {
  const std::string path = scratch.path("model.safetensors");
  safetensors_writer writer(path);
  std::vector<float> values;
  int index = 0;
  for (const auto& unit : model_of(config, dtype::fp32).units) {
    for (const auto& parameter : unit.parameters) {
      if (parameter.name == left_out) continue;
      writer.declare(prefix + parameter.name, dtype::fp32, parameter.shape);
      std::uint64_t count = 1;
      for (const auto dimension : parameter.shape) count *= dimension;
      for (std::uint64_t i = 0; i < count; ++i) {
        values.push_back(static_cast<float>(index) + static_cast<float>(i) / 1024);
      }
      ++index;
    }
  }
  writer.declare("h.0.attn.bias", dtype::fp32, {1});  // a mask some exporters add
  std::size_t at = 0;
  for (const auto& unit : model_of(config, dtype::fp32).units) {
    for (const auto& parameter : unit.parameters) {
      if (parameter.name == left_out) continue;
      std::uint64_t count = 1;
      for (const auto dimension : parameter.shape) count *= dimension;
      writer.write({values.data() + at, count, dtype::fp32});
      at += count;
    }
  }
  writer.write(run<float>({1}, dtype::fp32));
  writer.finish();
  return path;
}

TEST(open_parameters, reads_a_model_with_and_without_prefix) {
  for (const char* prefix : {"", "transformer."}) {
    const scratch_folder scratch;
    const auto source = open_parameters(write_model(scratch, small, prefix), small);
    std::vector<float> out(2);
    source->read("wpe.weight", 3, out);
    EXPECT_EQ(out, (std::vector<float>{1 + 3.0f / 1024, 1 + 4.0f / 1024}));
    source->read("h.1.ln_1.weight", 0, out);
    EXPECT_EQ(out[0], 14.0f);
    EXPECT_THROW(source->read("h.2.ln_1.weight", 0, out), invalid_argument);
    EXPECT_THROW(source->read("ln_f.bias", 3, out), invalid_argument);
  }
}

TEST(open_parameters, refuses_another_model_by_name) {
  const scratch_folder scratch;
  const std::string path = write_model(scratch, small, "");
  gpt_config other = small;
  other.vocabulary = 8;
  try {
    static_cast<void>(open_parameters(path, other));
    FAIL();
  } catch (const invalid_argument& error) {
    EXPECT_NE(std::string(error.what()).find("'wte.weight' of [7, 4], the model of [8, 4]"),
              std::string::npos)
        << error.what();
  }
  const std::string lacking = write_model(scratch, small, "", "h.1.mlp.c_fc.bias");
  try {
    static_cast<void>(open_parameters(lacking, small));
    FAIL();
  } catch (const invalid_argument& error) {
    EXPECT_NE(std::string(error.what()).find("h.1.mlp.c_fc.bias"), std::string::npos);
  }
  for (const char* bytes : {"", "x", "some text that is neither"}) {
    EXPECT_THROW(static_cast<void>(open_parameters(scratch.write("f", bytes), small)),
                 corrupt_data);
  }
}

}  // namespace
}  // namespace zero::trainer::testing
