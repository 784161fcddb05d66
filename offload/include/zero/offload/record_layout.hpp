#pragma once
// record_layout: where each record lies in a file. Pure arithmetic: what a plan says and what a
// store reserves come from here.

#include <cstddef>
#include <cstdint>
#include <vector>

#pragma GCC visibility push(default)
namespace zero::offload {

// A record: its bytes, and how many it takes in the file and in any transfer.
struct record_place {
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  std::uint64_t stride = 0;  // bytes rounded up to the alignment
};

// What file systems hardly ever exceed; swap_file::alignment() says what it is for one file.
inline constexpr std::size_t usual_alignment = 4096;

class record_layout {
 public:
  // One record after the other in the order of `sizes` (bytes; 0 is a record of nothing), each
  // beginning at a multiple of `alignment`, a power of two. Throws invalid_argument if it is none
  // or the sum overflows.
  explicit record_layout(const std::vector<std::uint64_t>& sizes,
                         std::size_t alignment = usual_alignment);

  [[nodiscard]] std::size_t count() const noexcept { return places_.size(); }
  [[nodiscard]] const record_place& operator[](std::size_t record) const noexcept {
    return places_[record];
  }
  // Of the file.
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
  // The largest stride: what memory for any record must hold.
  [[nodiscard]] std::uint64_t largest() const noexcept { return largest_; }
  [[nodiscard]] std::size_t alignment() const noexcept { return alignment_; }

 private:
  std::vector<record_place> places_;
  std::uint64_t bytes_ = 0;
  std::uint64_t largest_ = 0;
  std::size_t alignment_;
};

}  // namespace zero::offload
#pragma GCC visibility pop
