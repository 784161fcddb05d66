#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>
#include <zero/offload/record_layout.hpp>

#include <algorithm>
#include <limits>
#include <string>

namespace zero::offload {

record_layout::record_layout(const std::vector<std::uint64_t>& sizes, std::size_t alignment)
    : alignment_(alignment) {
  if (alignment == 0 || (alignment & (alignment - 1)) != 0) {
    throw invalid_argument("[offload.record_layout] an alignment of " + std::to_string(alignment) +
                           " bytes; it must be a power of two");
  }
  // Offsets in files are signed.
  constexpr std::uint64_t most = std::numeric_limits<std::int64_t>::max();
  places_.reserve(sizes.size());
  for (const std::uint64_t bytes : sizes) {
    if (bytes > most - alignment || round_up(bytes, alignment) > most - bytes_) {
      throw invalid_argument("[offload.record_layout] records of more than 2^63 bytes in all");
    }
    const std::uint64_t stride = round_up(bytes, alignment);
    places_.push_back({bytes_, bytes, stride});
    bytes_ += stride;
    largest_ = std::max(largest_, stride);
  }
}

}  // namespace zero::offload
