#pragma once
// crash_states: what a directory may look like after a loss of power, made from the operations that
// memory_files kept. See there for what is promised; all else is chosen here.

#include "memory_files.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <random>
#include <vector>

namespace zero::testing {

// What became of an operation that nothing had made durable.
enum class fate : unsigned char {
  kept,
  lost,
  torn_512,   // of a write: some of its sectors
  torn_4096,  // of a write: some of its pages
  only_size,  // of a write: the file is as long, and there are zeros
};

class crash_states {
 public:
  explicit crash_states(std::vector<file_operation> operations)
      : operations_(std::move(operations)) {}

  // `see(prefix, image)` for states of every prefix of the operations: everything kept, everything
  // lost, all but each one, none but each one, and `random` others. States that look the same are
  // seen once for each prefix. Returns how many were seen.
  std::uint64_t visit(int random, std::uint64_t seed,
                      const std::function<void(std::size_t prefix, const directory_image&)>& see);

  // The last mark in a prefix; "" if there is none.
  [[nodiscard]] std::string mark_before(std::size_t prefix) const;

 private:
  [[nodiscard]] std::vector<std::size_t> pending(std::size_t prefix) const;
  [[nodiscard]] directory_image build(std::size_t prefix, const std::vector<fate>& fates,
                                      std::uint64_t tearing) const;

  std::vector<file_operation> operations_;
};

}  // namespace zero::testing
