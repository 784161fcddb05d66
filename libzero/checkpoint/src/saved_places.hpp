#pragma once
// saved_places: where in the files of a checkpoint the elements of a parameter lie.
//
// Made once for a manifest whose coverage was checked; then constant.

#include <zero/checkpoint/manifest.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace zero::checkpoint {

class saved_places {
 public:
  explicit saved_places(const manifest& m);

  // Elements [offset, offset + count) of one array of a parameter, as they lie in one file.
  struct piece {
    std::size_t file = 0;
    std::uint64_t begin = 0;  // of the first one, in bytes from the start of the file
    std::uint64_t bytes = 0;
    std::uint64_t offset = 0;  // in the parameter
    std::uint64_t count = 0;
  };
  // Each piece of an array (0: weights) that lies in the extent, by offset.
  void visit(const shard_extent& where, int array,
             const std::function<void(const piece&)>& see) const;
  // Of rank 0's file. `index` as in m.files[0].attachments.
  [[nodiscard]] piece attachment(std::size_t index) const;

 private:
  struct run {
    std::uint64_t offset;
    std::uint64_t count;
    std::size_t file;
    std::uint64_t begin;  // of its weights
  };

  const manifest& m_;
  std::vector<std::vector<run>> runs_;  // by parameter, each by offset
  std::uint64_t attachments_ = 0;       // where the first begins
};

}  // namespace zero::checkpoint
