#include "trainer/corpus.hpp"

#include "trainer/sha256.hpp"

#include <zero/base/error.hpp>

#include <utility>

namespace zero::trainer {

corpus::corpus(std::vector<std::uint8_t> bytes, int token_bytes, std::string origin)
    : bytes_(std::move(bytes)),
      token_bytes_(static_cast<std::size_t>(token_bytes)),
      origin_(std::move(origin)) {
  sha256 digest;
  digest.update(bytes_.data(), bytes_.size());
  digest_ = digest.hex();
}

void corpus::check(int vocabulary, int sequence) const {
  const std::uint64_t needed = static_cast<std::uint64_t>(sequence) + 1;
  if (token_count() < needed) {
    throw invalid_argument(origin_ + " has " + std::to_string(token_count()) +
                           " tokens; sequences of " + std::to_string(sequence) + " need " +
                           std::to_string(needed) + " at least");
  }
  if (token_bytes_ == 1 && vocabulary >= 256) return;
  for (std::uint64_t i = 0; i < token_count(); ++i) {
    if (token(i) >= vocabulary) {
      throw invalid_argument(origin_ + " has token " + std::to_string(token(i)) + " at place " +
                             std::to_string(i) + ", outside the vocabulary of " +
                             std::to_string(vocabulary));
    }
  }
}

}  // namespace zero::trainer
