#include "engines.hpp"

#include <zero/base/error.hpp>
#include <zero/offload/disk_engine.hpp>

#include <string>
#include <utility>

namespace zero::offload {

std::unique_ptr<disk_engine> make_disk_engine(disk_engine_kind kind,
                                              const disk_engine_options& options) {
  if (options.depth < 1 || options.depth > 4096) {
    throw invalid_argument("[offload.disk_engine] a depth of " + std::to_string(options.depth) +
                           "; 1 to 4096 are accepted");
  }
  if (options.threads < 0 || options.threads > 1024) {
    throw invalid_argument("[offload.disk_engine] " + std::to_string(options.threads) +
                           " threads; 0 to 1024 are accepted");
  }
  if (kind == disk_engine_kind::threads) return make_threads_engine(options, "");
  uring_attempt attempt = try_uring_engine(options);
  if (attempt.engine != nullptr) return std::move(attempt.engine);
  if (kind == disk_engine_kind::uring) {
    throw io_error("[offload.disk_engine] setting up", "io_uring (" + attempt.why + ")",
                   attempt.error_number);
  }
  return make_threads_engine(
      options, "io_uring is not to be had (" + attempt.why + "): threads with pread and pwrite do");
}

}  // namespace zero::offload
