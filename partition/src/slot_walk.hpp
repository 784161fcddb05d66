#pragma once
// slot_walk: what becomes of slots while a step is walked.

#include <zero/partition/slot_plan.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace zero::partition {

// How often each unit is brought into a slot in a step that begins with empty slots and walks the
// plan once for every micro-batch.
[[nodiscard]] std::vector<std::uint64_t> gathers_by_unit(std::size_t units, const slot_plan& slots,
                                                         int micro_batches);

}  // namespace zero::partition
