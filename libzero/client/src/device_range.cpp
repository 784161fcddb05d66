#include "device_range.hpp"

#include <zero/base/bytes.hpp>
#include <zero/base/typed_span.hpp>

#include <algorithm>
#include <vector>

namespace zero::client {
namespace {

class device_range final : public client_range {
 public:
  device_range(range_use use, std::size_t bytes, bool filled, granule_pool& pool)
      : use_(use),
        bytes_(bytes),
        pool_(pool),
        size_(round_up(bytes, pool.granule())),
        memory_(static_cast<std::byte*>(pool.space().reserve(size_))),
        granules_(size_ / pool.granule()) {
    for (std::size_t i = 0; i < granules_.size(); ++i) {
      granules_[i].at = memory_ + i * pool_.granule();
    }
    try {
      if (use_ == range_use::parameters) static_cast<void>(pool_.no_numbers());
      for (granule_place& place : granules_) {
        if (filled) hold(place, true);
      }
      pool_.work().queue().record().wait();  // a client may write on any stream
    } catch (...) {
      end();
      throw;
    }
  }
  ~device_range() override { end(); }

  [[nodiscard]] std::byte* begin() const noexcept override { return memory_; }
  [[nodiscard]] std::size_t size() const noexcept override { return bytes_; }

  void take(span<const extent> parts) override {
    std::size_t touched = 0;
    for (const extent& part : parts) touched += last(part) - first(part);
    pool_.expect(touched);
    for (const extent& part : parts) {
      for (std::size_t i = first(part); i < last(part); ++i) {
        hold(granules_[i], use_ == range_use::gradients);
      }
    }
  }

  void give_back(span<const extent> parts) override {
    left_.clear();
    for (const extent& part : parts) {
      const std::size_t end = part.at + part.bytes;
      for (std::size_t i = first(part); i < last(part); ++i) {
        granule_place& place = granules_[i];
        if (place.block == nullptr || place.leaving != 0) continue;
        const std::size_t from = std::max(part.at, i * pool_.granule());
        const std::size_t to = std::min(end, (i + 1) * pool_.granule());
        const bool whole = to - from == pool_.granule();
        if (use_ == range_use::parameters) {
          spoil(memory_ + from, to - from);
        } else if (!whole) {
          clear(memory_ + from, to - from);
        }
        if (whole) left_.push_back(&place);
      }
    }
    pool_.leave(left_);
  }

  void trim() override { pool_.trim(); }

 private:
  // Granules that a part touches: [first, last).
  [[nodiscard]] std::size_t first(const extent& part) const noexcept {
    return part.at / pool_.granule();
  }
  [[nodiscard]] std::size_t last(const extent& part) const noexcept {
    return round_up(part.at + part.bytes, pool_.granule()) / pool_.granule();
  }

  void clear(std::byte* at, std::size_t bytes) { pool_.work().clear({at, bytes, dtype::byte}); }

  // So that an old weight is never used unseen while its memory is still there.
  void spoil(std::byte* at, std::size_t bytes) {
    pool_.work().copy({pool_.no_numbers(), bytes, dtype::byte}, {at, bytes, dtype::byte});
  }

  // `zeros`: unless it has been in use until now.
  void hold(granule_place& place, bool zeros) {
    if (place.block != nullptr && place.leaving == 0) return;
    if (place.block == nullptr) {
      pool_.fill(place);
    } else {
      pool_.stay(place);
    }
    if (zeros) clear(place.at, pool_.granule());
  }

  void end() noexcept {
    try {
      pool_.work().queue().record().wait();
    } catch (...) {
      // After an error nothing is done any more.
    }
    for (granule_place& place : granules_) {
      try {
        pool_.end(place);
      } catch (...) {
        // The block goes with the process, and so do the addresses.
      }
    }
    pool_.space().unreserve(memory_, size_);
  }

  const range_use use_;
  const std::size_t bytes_;
  granule_pool& pool_;
  const std::size_t size_;
  std::byte* const memory_;
  std::vector<granule_place> granules_;
  std::vector<granule_place*> left_;  // of the call at hand
};

}  // namespace

std::unique_ptr<client_range> make_device_range(range_use use, std::size_t bytes, bool filled,
                                                granule_pool& pool) {
  return std::make_unique<device_range>(use, bytes, filled, pool);
}

}  // namespace zero::client
