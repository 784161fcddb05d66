#pragma once
// granule_pool: blocks of device memory, a granule each, that go from one part of a client's ranges
// to the next. What is given back stays where it is until its memory is needed elsewhere: the
// device may still be using it, and mappings change at once, not in the order of a stream.
//
// One thread at a time. Blocks beyond twice what one unit needs are got only where a client holds
// more at once, and go with trim().

#include "client_range.hpp"

#include <zero/base/completion.hpp>
#include <zero/base/memory_resource.hpp>
#include <zero/optim/processor.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

namespace zero::client {

// What it costs that memory comes and goes at one address.
struct mapping_cost {
  std::uint64_t mapped_bytes = 0;
  std::uint64_t unmapped_bytes = 0;
  std::uint64_t map_nanoseconds = 0;
  std::uint64_t unmap_nanoseconds = 0;
  std::uint64_t waits = 0;  // of the host, until the device had done with what was given back
};

// A granule of a range. `block` is null where nothing is mapped.
struct granule_place {
  std::byte* at = nullptr;
  void* block = nullptr;
  std::uint64_t leaving = 0;  // number of its latest leave(), while that has not been undone
};

class granule_pool {
 public:
  // All must outlive it. Throws invalid_argument where memory cannot be mapped a second time.
  granule_pool(memory_resource& memory, optim::processor& work, range_count& count);
  granule_pool(const granule_pool&) = delete;
  granule_pool& operator=(const granule_pool&) = delete;
  ~granule_pool();

  [[nodiscard]] address_space& space() noexcept { return space_; }
  [[nodiscard]] optim::processor& work() noexcept { return work_; }
  [[nodiscard]] std::size_t granule() const noexcept { return space_.granularity(); }
  [[nodiscard]] const mapping_cost& cost() const noexcept { return cost_; }

  // A granule of bytes whose bits are all set: no numbers in any dtype. Throws out_of_memory.
  [[nodiscard]] const std::byte* no_numbers();

  // So many granules are used at once by one unit.
  void expect(std::size_t granules) noexcept;
  // Puts memory of any contents behind it. Throws out_of_memory.
  void fill(granule_place& place);
  // Nobody uses them after what is queued now; they must stay where they are until end().
  void leave(span<granule_place* const> places);
  // It is used again, as it is.
  void stay(granule_place& place) noexcept;
  // Takes what was given back from where it was and frees what is not needed. Blocks.
  void trim();
  // Takes the memory from behind it. What used it must be done.
  void end(granule_place& place);

 private:
  struct leaver {
    granule_place* place;
    std::uint64_t number;  // its place has another one by now if it is used again
    completion used;
  };
  void take_away(granule_place& place);
  // Frees the block of that which was given back first. False where there is none.
  bool reclaim(bool may_wait);

  memory_resource& memory_;
  optim::processor& work_;
  address_space& space_;
  range_count& count_;
  mapping_cost cost_;
  void* no_numbers_ = nullptr;
  std::vector<void*> free_;
  std::deque<leaver> leaving_;
  std::uint64_t number_ = 0;
  std::size_t blocks_ = 0;  // all there are
  std::size_t wanted_ = 0;
};

}  // namespace zero::client
