// Ranks that are threads of one process.

#include "ranks_making.hpp"

#include <zero/collectives/shared_memory.hpp>

#include <algorithm>
#include <vector>

zero_status zero_ranks_threads(int32_t count, zero_ranks** out, zero_message* why) {
  using namespace zero;
  return client::guarded(why, [&] {
    if (out == nullptr) throw invalid_argument("[client.ranks] out is null");
    if (count < 1) {
      throw invalid_argument("[client.ranks] " + std::to_string(count) +
                             " ranks: expected 1 or more");
    }
    auto world = collectives::shared_memory_world::create(count);  // refuses too large a count
    std::fill_n(out, count, nullptr);
    std::vector<std::unique_ptr<zero_ranks>> made;
    made.reserve(static_cast<std::size_t>(count));
    const auto meeting = std::make_shared<client::device_meeting>();
    for (int rank = 0; rank < count; ++rank) {
      made.push_back(client::ranks_over(world.join(rank), rank));
      made.back()->threads = meeting;
    }
    for (auto& ranks : made) *out++ = ranks.release();
  });
}
