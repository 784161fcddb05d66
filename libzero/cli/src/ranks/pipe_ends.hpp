#pragma once
// pipe_ends: both ends of a pipe. Move-only.

#include <zero/base/descriptor.hpp>

namespace zero::cli {

// Both close-on-exec; the reading end does not block. Throws io_error.
struct pipe_ends {
  descriptor read;
  descriptor write;
};
[[nodiscard]] pipe_ends make_pipe();

}  // namespace zero::cli
