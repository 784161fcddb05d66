#pragma once
// segment_list: what a client has attached, checked one by one, and the model it makes.
//
// One thread at a time. What add() and bind() refuse leaves everything as it was.

#include <zero/base/dtype.hpp>
#include <zero/partition/model_spec.hpp>
#include <zero/zero.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace zero::client {

struct segment {
  std::string name;
  std::byte* parameter = nullptr;
  std::byte* gradient = nullptr;
  std::uint64_t count = 0;  // elements, of all slices
  dtype type = dtype::fp32;
  int unit = 0;  // of slice 0
  int slices = 1;
  bool stacked = false;  // its slices are in units of their own
  int group = 0;
  bool trainable = true;
  std::string tied_to;
  std::vector<std::uint64_t> shape;  // of a slice

  [[nodiscard]] std::uint64_t slice_count() const noexcept {
    return count / static_cast<std::uint64_t>(slices);
  }
  [[nodiscard]] std::size_t slice_bytes() const noexcept { return slice_count() * size_of(type); }
  [[nodiscard]] std::size_t bytes() const noexcept { return count * size_of(type); }
};

// A slice of a segment, at its place in the model.
struct slice_place {
  std::size_t segment = 0;
  int slice = 0;
  int unit = 0;
  std::size_t position = 0;  // in the unit
};

class segment_list {
 public:
  // Throws invalid_argument that names the segment and what is wrong with it.
  void add(const zero_segment* segments, std::size_t count, std::size_t segment_size);
  void bind_gradient(std::size_t index, void* gradient);

  [[nodiscard]] bool empty() const noexcept { return segments_.empty(); }
  [[nodiscard]] const std::vector<segment>& all() const noexcept { return segments_; }
  // Throws invalid_argument where there is none of that name; `name` may be null.
  [[nodiscard]] std::size_t find(const char* name, const char* call) const;
  // That whose memory it is: its own index unless tied.
  [[nodiscard]] std::size_t owner(std::size_t index) const;
  // The client has no memory for parameters: the library places them.
  [[nodiscard]] bool placed() const noexcept;
  [[nodiscard]] int units() const noexcept;
  [[nodiscard]] int groups() const noexcept;  // one more than the highest

  // In the order of registration: by unit, then as attached.
  [[nodiscard]] std::vector<slice_place> places() const;
  [[nodiscard]] partition::model_spec model() const;
  [[nodiscard]] std::string slice_name(std::size_t index, int slice) const;

 private:
  [[nodiscard]] std::vector<segment> checked(const zero_segment* segments, std::size_t count,
                                             std::size_t segment_size) const;

  std::vector<segment> segments_;
};

}  // namespace zero::client
