#include "granule_pool.hpp"

#include <zero/base/error.hpp>
#include <zero/base/trace.hpp>

#include <algorithm>

namespace zero::client {
namespace {

address_space& mappings_of(memory_resource& memory) {
  if (memory.mappings() != nullptr) return *memory.mappings();
  throw invalid_argument("[client.range] this device's memory cannot be mapped");
}

std::uint64_t since(std::int64_t begin) noexcept {
  return static_cast<std::uint64_t>(trace_clock() - begin);
}

}  // namespace

granule_pool::granule_pool(memory_resource& memory, optim::processor& work, range_count& count)
    : memory_(memory), work_(work), space_(mappings_of(memory)), count_(count) {}

granule_pool::~granule_pool() {
  if (no_numbers_ != nullptr) free_.push_back(no_numbers_);
  for (void* const block : free_) memory_.deallocate(block, granule());
  count_.subtract(free_.size() * granule());
}

const std::byte* granule_pool::no_numbers() {
  if (no_numbers_ == nullptr) {
    const std::vector<unsigned char> bits(granule(), 0xFF);
    void* const made = memory_.allocate(granule());
    count_.add(granule());
    no_numbers_ = made;
    work_.write(bits.data(), made, granule());
    work_.queue().record().wait();
  }
  return static_cast<const std::byte*>(no_numbers_);
}

void granule_pool::expect(std::size_t granules) noexcept {
  wanted_ = std::max(wanted_, 2 * granules);
}

void granule_pool::fill(granule_place& place) {
  if (free_.empty()) static_cast<void>(reclaim(false));
  // The host waits for the device rather than take more and more memory.
  if (free_.empty() && blocks_ >= wanted_) static_cast<void>(reclaim(true));
  if (free_.empty()) {
    free_.push_back(memory_.allocate(granule()));
    ++blocks_;
    count_.add(granule());
  }
  const std::int64_t begin = trace_clock();
  space_.map(place.at, free_.back(), granule());
  cost_.map_nanoseconds += since(begin);
  cost_.mapped_bytes += granule();
  place.block = free_.back();
  free_.pop_back();
}

void granule_pool::leave(span<granule_place* const> places) {
  if (places.empty()) return;
  const completion used = work_.queue().record();
  for (granule_place* const place : places) {
    place->leaving = ++number_;
    leaving_.push_back({place, number_, used});
  }
}

void granule_pool::stay(granule_place& place) noexcept { place.leaving = 0; }

bool granule_pool::reclaim(bool may_wait) {
  while (!leaving_.empty()) {
    const leaver first = leaving_.front();
    if (first.place->leaving == first.number) {
      if (!first.used.ready()) {
        if (!may_wait) return false;
        ++cost_.waits;
      }
      first.used.wait();
      leaving_.pop_front();
      take_away(*first.place);
      return true;
    }
    leaving_.pop_front();
  }
  return false;
}

void granule_pool::take_away(granule_place& place) {
  const std::int64_t begin = trace_clock();
  space_.unmap(place.at, granule());
  cost_.unmap_nanoseconds += since(begin);
  cost_.unmapped_bytes += granule();
  free_.push_back(place.block);
  place.block = nullptr;
  place.leaving = 0;
}

void granule_pool::trim() {
  while (reclaim(true)) {
  }
  while (blocks_ > wanted_ && !free_.empty()) {
    memory_.deallocate(free_.back(), granule());
    free_.pop_back();
    --blocks_;
    count_.subtract(granule());
  }
}

void granule_pool::end(granule_place& place) {
  const auto found = std::find_if(leaving_.begin(), leaving_.end(), [&](const leaver& l) {
    return l.place == &place && l.number == place.leaving;
  });
  if (found != leaving_.end()) leaving_.erase(found);
  if (place.block != nullptr) take_away(place);
}

}  // namespace zero::client
