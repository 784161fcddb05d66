// verify and read_array: a checkpoint seen by a tool, without ranks and without a lock.

#include "checked_files.hpp"
#include "manifest_rules.hpp"
#include "saved_places.hpp"
#include "shard_feed.hpp"
#include "transfer_memory.hpp"

#include <zero/base/error.hpp>
#include <zero/base/float16.hpp>
#include <zero/checkpoint/store.hpp>

#include <algorithm>
#include <cstring>

namespace zero::checkpoint {
namespace {

constexpr std::uint64_t run_elements = std::uint64_t{1} << 18U;  // handed out at once

void widen(const std::uint8_t* bytes, dtype type, std::size_t count, float* out) {
  if (type == dtype::fp32) {
    std::memcpy(out, bytes, count * sizeof(float));
    return;
  }
  for (std::size_t i = 0; i < count; ++i) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, bytes + i * sizeof bits, sizeof bits);
    out[i] = type == dtype::bf16 ? to_float(bf16_t{bits}) : to_float(fp16_t{bits});
  }
}

}  // namespace

void verify(file_calls& files, const std::string& folder, const progress_function& progress) {
  const manifest m = read_manifest(files, folder);
  const transfer_memory memory;
  checked_files from(files, folder, m, memory.all());
  std::uint64_t all = 0;
  for (const saved_file& file : m.files) all += file.bytes;
  std::uint64_t done = 0;
  const auto seen = [&](std::uint64_t bytes) {
    done += bytes;
    if (progress) progress(done, all);
  };
  for (std::size_t f = 0; f < m.files.size(); ++f) {
    from.check_header(f);
    from.check(f, 0, m.files[f].checksums.size(), seen);
  }
}

void read_array(file_calls& files, const std::string& folder, const manifest& m,
                std::size_t parameter, int array,
                const std::function<void(std::uint64_t offset, span<const float>)>& take) {
  if (parameter >= m.parameters.size() || array < 0 || array >= arrays_of(m, parameter)) {
    throw invalid_argument("[checkpoint.read_array] array " + std::to_string(array) +
                           " of parameter " + std::to_string(parameter) + ": there is none");
  }
  const saved_parameter& p = m.parameters[parameter];
  const dtype type = type_of(p);
  const transfer_memory memory;
  checked_files from(files, folder, m, memory.all());
  std::vector<std::uint8_t> bytes(run_elements * size_of(type));
  std::vector<float> values(run_elements);
  const std::uint64_t elements = elements_of(p);
  if (elements == 0) return;
  saved_places(m).visit({parameter, 0, elements}, array, [&](const saved_places::piece& piece) {
    for (std::uint64_t at = 0; at < piece.count; at += run_elements) {
      const auto part = static_cast<std::size_t>(std::min(run_elements, piece.count - at));
      from.read(piece.file, piece.begin + at * size_of(type), part * size_of(type), bytes.data());
      widen(bytes.data(), type, part, values.data());
      take(piece.offset + at, {values.data(), part});
    }
  });
}

}  // namespace zero::checkpoint
