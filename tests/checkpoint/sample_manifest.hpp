#pragma once
// A small manifest with everything in it, whose files are whole; and tools to spoil its text.

#include <zero/base/hash.hpp>
#include <zero/checkpoint/manifest.hpp>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace zero::checkpoint::testing {

// Sizes and as many checksums as there are chunks, for what the manifest says is in its files. The
// sum is done here: a header is what header_of says, the rest is counted.
inline void settle_sizes(manifest& m) {
  for (std::size_t rank = 0; rank < m.files.size(); ++rank) {
    saved_file& file = m.files[rank];
    std::uint64_t bytes = 0;
    for (const shard_extent& e : file.extents) {
      const saved_parameter& p = m.parameters[e.parameter];
      const std::uint64_t element = p.trainable ? 4 * (1 + m.states.size()) : size_of(p.type);
      bytes += e.count * element;
    }
    for (const auto& [name, count] : file.attachments) bytes += count;
    file.header_bytes = header_of(m, rank).size();
    file.bytes = file.header_bytes + bytes;
    file.checksums.assign((file.bytes + chunk_bytes - 1) / chunk_bytes, 0);
    for (std::size_t i = 0; i < file.checksums.size(); ++i) {
      file.checksums[i] = 0x0123456789abcdefU * (2 * i + 1) + rank;
    }
  }
}

// Two ranks; a parameter in two parts, a frozen one, a tied one, an empty one, a scalar.
inline manifest sample_manifest() {
  manifest m;
  m.id = {42, 3, "000102030405060708090a0b0c0d0e0f"};
  m.written_by = "0.1.0";
  m.algorithm = "adamw";
  m.states = {"exp_avg", "exp_avg_sq"};
  m.parameters = {{"embed \"q\" \\ \xc3\xa9", {7, 3}, dtype::fp32, true, 0, ""},
                  {"h.0/w", {300000}, dtype::bf16, true, 1, ""},
                  {"head", {7, 3}, dtype::fp32, true, 0, "embed \"q\" \\ \xc3\xa9"},
                  {"frozen", {2, 2}, dtype::bf16, false, 0, ""},
                  {"none", {0, 5}, dtype::fp16, true, 0, ""},
                  {"scale", {}, dtype::fp16, true, 0, ""}};
  m.groups = {{{{"lr", 0.001}, {"eps", 1e-8}, {"weight_decay", -0.0}}}, {}};
  m.progress = {40, 42, {65536.0F, 12, 1}};
  m.settings = {{"stage", "3"}, {"note", "two\nlines"}};
  m.files.resize(2);
  m.files[0].name = "rank-00000-of-00002.safetensors";
  m.files[0].extents = {{0, 0, 11}, {1, 0, 150000}, {5, 0, 1}};
  m.files[0].attachments = {{"text position", 16}, {"empty", 0}};
  m.files[1].name = "rank-00001-of-00002.safetensors";
  m.files[1].extents = {{0, 11, 10}, {1, 150000, 150000}, {3, 0, 4}};
  settle_sizes(m);
  return m;
}

// The text with a digest that is right for what stands before it.
inline std::string with_digest(const std::string& text) {
  const std::string mark = "\"digest\":\"";
  const std::size_t at = text.rfind(mark);
  if (at == std::string::npos) return text;
  const std::string before = text.substr(0, at + mark.size());
  hash128 hash;
  hash.update(before.data(), before.size());
  return before + to_hex(hash.digest()) + "\"}\n";
}

// `text` with the first `from` in it made `to`, and the digest put right.
inline std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  if (at == std::string::npos) return "no '" + from + "' in it";
  return with_digest(text.replace(at, from.size(), to));
}

}  // namespace zero::checkpoint::testing
