#include "names.hpp"

#include <zero/base/hash.hpp>

#include <cstddef>
#include <cstdio>
#include <random>
#include <string_view>

namespace zero::checkpoint {
namespace {

constexpr std::size_t step_digits = 12;
constexpr std::size_t nonce_digits = 32;
constexpr std::size_t most_digits = 19;  // of an epoch: below 2^63

std::string padded(std::uint64_t number, int digits) {
  char text[24];
  std::snprintf(text, sizeof text, "%0*llu", digits, static_cast<unsigned long long>(number));
  return text;
}

// Takes what must come next off the front of a name.
class name_parts {
 public:
  explicit name_parts(std::string_view name) : rest_(name) {}

  bool word(std::string_view expected) {
    if (rest_.substr(0, expected.size()) != expected) return false;
    rest_.remove_prefix(expected.size());
    return true;
  }
  // Between `least` and `most` digits; of a number without leading zeros if those differ.
  std::optional<std::uint64_t> number(std::size_t least, std::size_t most) {
    std::size_t digits = 0;
    std::uint64_t value = 0;
    while (digits < rest_.size() && digits < most && rest_[digits] >= '0' && rest_[digits] <= '9') {
      value = value * 10 + static_cast<std::uint64_t>(rest_[digits++] - '0');
    }
    const bool zero_first = digits > 0 && least != most && rest_[0] == '0';
    if (digits < least || zero_first) return std::nullopt;
    rest_.remove_prefix(digits);
    return value;
  }
  bool nonce() {
    if (rest_.size() < nonce_digits) return false;
    for (std::size_t i = 0; i < nonce_digits; ++i) {
      const char c = rest_[i];
      if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return false;
    }
    rest_.remove_prefix(nonce_digits);
    return true;
  }
  [[nodiscard]] bool end() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

std::optional<std::uint64_t> staging_epoch(const std::string& name) {
  name_parts parts(name);
  if (!parts.word(".staging-") || !parts.number(step_digits, step_digits) || !parts.word("-")) {
    return std::nullopt;
  }
  const auto epoch = parts.number(1, most_digits);
  return epoch && parts.word("-") && parts.nonce() && parts.end() ? epoch : std::nullopt;
}

std::optional<std::uint64_t> trash_epoch(const std::string& name) {
  name_parts parts(name);
  if (!parts.word(".trash-")) return std::nullopt;
  const auto epoch = parts.number(1, most_digits);
  return epoch && parts.word("-") && parts.nonce() && parts.end() ? epoch : std::nullopt;
}

}  // namespace

std::string step_folder(std::uint64_t step) {
  return "step-" + padded(step, static_cast<int>(step_digits));
}

std::string epoch_name(std::uint64_t epoch) { return ".epoch-" + std::to_string(epoch); }

std::string staging_name(const save_id& id) {
  return ".staging-" + padded(id.step, static_cast<int>(step_digits)) + "-" +
         std::to_string(id.epoch) + "-" + id.nonce;
}

std::string trash_name(std::uint64_t epoch, const std::string& nonce) {
  return ".trash-" + std::to_string(epoch) + "-" + nonce;
}

std::optional<std::uint64_t> step_of(const std::string& name) {
  name_parts parts(name);
  if (!parts.word("step-")) return std::nullopt;
  const auto step = parts.number(step_digits, step_digits);
  return parts.end() ? step : std::nullopt;
}

std::optional<std::uint64_t> epoch_of(const std::string& name) {
  name_parts parts(name);
  if (!parts.word(".epoch-")) return std::nullopt;
  const auto epoch = parts.number(1, most_digits);
  return parts.end() ? epoch : std::nullopt;
}

std::optional<std::uint64_t> leftover_of(const std::string& name) {
  const auto staging = staging_epoch(name);
  return staging ? staging : trash_epoch(name);
}

bool is_staging(const std::string& name) { return staging_epoch(name).has_value(); }

bool is_shard(const std::string& name) {
  name_parts parts(name);
  return parts.word("rank-") && parts.number(5, 5) && parts.word("-of-") && parts.number(5, 5) &&
         parts.word(".safetensors") && parts.end();
}

std::string nonce_source::next(std::uint64_t epoch) {
  hash128 hash;
  hash.update(seed_);
  hash.update(epoch);
  hash.update(count_++);
  if (seed_ == 0) {
    std::random_device entropy;
    for (int i = 0; i < 8; ++i) hash.update(static_cast<std::uint64_t>(entropy()));
  }
  return to_hex(hash.digest());
}

}  // namespace zero::checkpoint
