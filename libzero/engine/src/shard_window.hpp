#pragma once
// shard_window: a part of a cell as fp32 values in host memory, whatever it rests in and wherever
// it is worked on. What rests in fp32 where the host reaches it is seen as it rests.
//
// One thread, as its sharded_optimizer. Holds host memory for the largest part it was opened on.

#include "shard_parts.hpp"

#include <zero/base/buffer.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace zero {

class shard_window {
 public:
  explicit shard_window(sharded_optimizer::state& of);

  // What follows is about `part`, of a trainable cell that is there (`area`) and stays.
  void open(const shard_part& part, const cell_under_way& area);
  // The values become what rests.
  void read();
  // Zeros, to be filled; padding stays so.
  void clear();
  // What rests becomes the values, and 16-bit parameters what is made of the weights. Blocks.
  void write();

  [[nodiscard]] float* weights() const noexcept { return arrays_[weights_].values; }
  [[nodiscard]] float* state(int number) const noexcept {
    return arrays_[static_cast<std::size_t>(number)].values;
  }

  // Elements of a bucket of frozen parameters, on the device at `rests`, in host memory: as they
  // rest, or a copy that give() takes back.
  [[nodiscard]] std::byte* take(const void* rests, std::uint64_t bytes, errand why);
  void give(void* rests, std::uint64_t bytes);
  // Host memory for a record of a tier.
  [[nodiscard]] std::byte* room(std::uint64_t bytes);

 private:
  struct array {
    std::byte* rests = nullptr;  // where it is worked on; null where there is none
    std::byte* here = nullptr;   // the same bytes in host memory
    std::uint64_t bytes = 0;
    bool wide = true;  // they are fp32, and so the values
    float* values = nullptr;
  };

  void place(array& a, std::byte* rests, std::uint64_t bytes, bool wide);
  [[nodiscard]] bool on_host() const noexcept;
  [[nodiscard]] optim::packed_spans packed() const noexcept;

  sharded_optimizer::state& of_;
  memory_statistics own_statistics_;          // not of what the plan predicts
  buffer staging_;                            // copies of arrays of a device, back to back
  std::uint64_t staged_ = 0;                  // bytes of it in use
  std::vector<std::vector<float>> unpacked_;  // by array, of those that are not wide
  std::vector<array> arrays_;                 // states, then master weights, then parameters
  std::size_t weights_ = 0;                   // whose values the weights are
  const partition::cell* cell_ = nullptr;
  std::uint64_t count_ = 0;
};

}  // namespace zero
