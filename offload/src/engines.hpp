#pragma once
// The models of disk_engine, as make_disk_engine finds them.

#include <zero/offload/disk_engine.hpp>

#include <memory>
#include <string>

namespace zero::offload {

// An engine, or nullptr with `why` and, where the kernel said it, its errno.
struct uring_attempt {
  std::unique_ptr<disk_engine> engine;
  std::string why;
  int error_number = 0;
};
[[nodiscard]] uring_attempt try_uring_engine(const disk_engine_options& options);

// `note` is what it will say of itself.
[[nodiscard]] std::unique_ptr<disk_engine> make_threads_engine(const disk_engine_options& options,
                                                               std::string note);

}  // namespace zero::offload
