#pragma once
// The checks that every path of packed.hpp shares. All throw invalid_argument.

#include <zero/optim/packed.hpp>

namespace zero::optim::detail {

// Of an update that counts as step `step`, where that is known: else any from 1.
void check_packed(algorithm a, span<const update_run> runs, std::uint64_t step,
                  const packed_spans& spans);
// Of pack_master and unpack_master.
void check_weights(const const_typed_span& values, const packed_spans& spans);

}  // namespace zero::optim::detail
