#pragma once
// corpus: the tokens to train on, from text (a byte is a token) or from an llm.c token file.
//
// Immutable; thread-safe.

#include <zero/base/span.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace zero::trainer {

class corpus {
 public:
  // `bytes` are tokens of `token_bytes` (1 or 2, little endian) each; `origin` is for messages.
  corpus(std::vector<std::uint8_t> bytes, int token_bytes, std::string origin);

  [[nodiscard]] std::uint64_t token_count() const noexcept { return bytes_.size() / token_bytes_; }
  [[nodiscard]] std::int32_t token(std::uint64_t index) const noexcept {
    return token_bytes_ == 1 ? bytes_[index] : bytes_[2 * index] | bytes_[2 * index + 1] << 8;
  }
  // Bytes of tokens read, and their SHA-256 in 64 hex digits (of the text, or of the token file's
  // tokens without its header).
  [[nodiscard]] std::uint64_t byte_count() const noexcept { return bytes_.size(); }
  [[nodiscard]] const std::string& digest() const noexcept { return digest_; }
  // What was read, in order.
  [[nodiscard]] const std::vector<std::string>& files() const noexcept { return files_; }
  void set_files(std::vector<std::string> files) { files_ = std::move(files); }

  // Throws invalid_argument, naming the token and where it is, if one is not below `vocabulary`;
  // and if there are fewer than sequence + 1 tokens.
  void check(int vocabulary, int sequence) const;

 private:
  std::vector<std::uint8_t> bytes_;
  std::size_t token_bytes_;
  std::string origin_;
  std::string digest_;
  std::vector<std::string> files_;
};

}  // namespace zero::trainer
