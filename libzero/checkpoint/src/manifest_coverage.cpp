// The proof that every element of every parameter is in the files once, and that each file is as
// long as what is in it.

#include "manifest_rules.hpp"
#include "shard_file.hpp"

#include <zero/base/error.hpp>
#include <zero/checkpoint/manifest.hpp>

#include <algorithm>
#include <tuple>

namespace zero::checkpoint {
namespace {

[[noreturn]] void fail(const std::string& path, const saved_parameter& p, std::uint64_t element,
                       const char* how) {
  throw corrupt_data("element " + std::to_string(element) + " of '" + p.name + "' is saved " + how,
                     path);
}

void check_elements(const manifest& m, const std::string& path) {
  std::vector<shard_extent> sorted;
  for (const saved_file& file : m.files) {
    sorted.insert(sorted.end(), file.extents.begin(), file.extents.end());
  }
  std::sort(sorted.begin(), sorted.end(), [](const shard_extent& a, const shard_extent& b) {
    return std::tie(a.parameter, a.offset) < std::tie(b.parameter, b.offset);
  });
  auto extent = sorted.begin();
  for (std::size_t i = 0; i < m.parameters.size(); ++i) {
    const saved_parameter& p = m.parameters[i];
    std::uint64_t covered = 0;
    for (; extent != sorted.end() && extent->parameter == i; ++extent) {
      if (extent->offset > covered) fail(path, p, covered, "nowhere");
      if (extent->offset < covered) fail(path, p, extent->offset, "twice");
      covered += extent->count;
    }
    if (p.tied_to.empty() && covered != elements_of(p)) fail(path, p, covered, "nowhere");
  }
}

void check_sizes(const manifest& m, std::size_t rank, const header_lengths& headers,
                 const std::string& path) {
  const saved_file& file = m.files[rank];
  const auto require = [&](bool holds, const std::string& what) {
    if (!holds) throw corrupt_data("'" + file.name + "' " + what, path);
  };
  const std::uint64_t body = body_bytes_of(m, file);
  require(body <= most_bytes, "would have more than 2^62 bytes");
  const std::uint64_t header = headers.of(rank);
  require(header <= header_bytes_limit,
          "would have a header of more than 100 million bytes or a million tensors");
  require(file.header_bytes == header, "has a header of " + std::to_string(header) +
                                           " bytes, not " + std::to_string(file.header_bytes));
  const std::uint64_t bytes = header + body;
  require(file.bytes == bytes,
          "has " + std::to_string(bytes) + " bytes, not " + std::to_string(file.bytes));
  const std::uint64_t chunks = bytes / chunk_bytes + (bytes % chunk_bytes != 0 ? 1 : 0);
  require(file.checksums.size() == chunks, "has " + std::to_string(chunks) + " chunks and " +
                                               std::to_string(file.checksums.size()) +
                                               " checksums");
}

}  // namespace

void check_coverage(const manifest& m, const std::string& path) {
  try {
    check_rules(m);
  } catch (const broken_rule& broken) {
    throw corrupt_data(broken.what(), path);
  }
  check_elements(m, path);
  const header_lengths headers(m);
  for (std::size_t rank = 0; rank < m.files.size(); ++rank) check_sizes(m, rank, headers, path);
}

}  // namespace zero::checkpoint
