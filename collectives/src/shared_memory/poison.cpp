#include "shared_memory/poison.hpp"

#include <algorithm>
#include <cstddef>

namespace zero::collectives {

bool set_poison(poison_record& record, error_class kind, const std::vector<int>& world_ranks,
                const std::string& text) noexcept {
  std::uint32_t none = 0;
  if (!record.state.compare_exchange_strong(none, 1)) return false;
  const std::size_t ranks = std::min(world_ranks.size(), record.ranks.size());
  record.kind = static_cast<std::int32_t>(kind);
  record.count = static_cast<std::int32_t>(ranks);
  std::copy_n(world_ranks.begin(), ranks, record.ranks.begin());
  const std::size_t length = std::min(text.size(), record.text.size() - 1);
  std::copy_n(text.begin(), length, record.text.begin());
  record.text[length] = '\0';
  record.state.store(2);
  return true;
}

void throw_poison(const poison_record& record, const char* backend) {
  const std::string text =
      "[collectives." + std::string(backend) + "] " + std::string(record.text.data());
  std::vector<int> ranks(record.ranks.begin(), record.ranks.begin() + record.count);
  if (record.kind == static_cast<std::int32_t>(error_class::desync)) {
    throw desync(text, std::move(ranks));
  }
  throw peer_lost(text, std::move(ranks));
}

}  // namespace zero::collectives
