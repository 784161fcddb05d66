#pragma once
// The cases of bench_disk_read and bench_disk_write.

#include "measure/measure.hpp"
#include "offload/disk_run.hpp"

namespace zero::bench {

// `engine`: checked transfers without checksums; `store`: records, every one hashed. --bytes is of
// the file, in blocks of 1 MiB.
void register_disk(const settings& s, pattern p);

}  // namespace zero::bench
