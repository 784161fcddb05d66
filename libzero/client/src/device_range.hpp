#pragma once
// client_range on a device: addresses that are reserved once, behind which the granules of a pool
// come and go. Granules that units share stay once they are there.

#include "client_range.hpp"
#include "granule_pool.hpp"

#include <memory>

namespace zero::client {

// `filled`: there is memory behind all of it from the start, zeros. Else gradients have some from
// their first take() on. `pool` must outlive it. Throws out_of_memory.
[[nodiscard]] std::unique_ptr<client_range> make_device_range(range_use use, std::size_t bytes,
                                                              bool filled, granule_pool& pool);

}  // namespace zero::client
