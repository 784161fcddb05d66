// What makes the checksum of a chunk that of this place alone.

#include <zero/base/hash.hpp>
#include <zero/checkpoint/manifest.hpp>

namespace zero::checkpoint {

std::uint64_t chunk_seed(const save_id& id, int rank, std::uint64_t chunk) noexcept {
  const std::uint64_t place[] = {id.step, id.epoch, static_cast<std::uint64_t>(rank), chunk};
  return checksum64(place, sizeof place, checksum64(id.nonce.data(), id.nonce.size(), 0));
}

}  // namespace zero::checkpoint
