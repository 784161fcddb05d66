#pragma once
// A file read or written past the page cache by as many threads as there would be transfers under
// way, one call after the other each: what the disk gives whoever asks plainly.

#include "offload/disk_run.hpp"

namespace zero::bench {

// One pass over the file by `disk_case::depth` threads, at most 8, each from and to its own block
// of `memory`; in seconds. `p` is read or write. Throws io_error.
[[nodiscard]] double run_plainly(const disk_case& c, const named_file& file,
                                 const block_memory& memory, pattern p);

}  // namespace zero::bench
