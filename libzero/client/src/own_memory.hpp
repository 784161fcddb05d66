#pragma once
// own_memory: which memory of a client may hold what, at a stage. Plain values.

#include "client_device.hpp"
#include "client_range.hpp"
#include "segment_list.hpp"

#include <memory>
#include <vector>

namespace zero::client {

using range_list = std::vector<std::unique_ptr<client_range>>;

struct own_memory {
  const range_list& parameters;
  const range_list& gradients;
  int stage = 0;
  const client_device* device = nullptr;  // null: the host

  // In the client's memory between uses.
  [[nodiscard]] bool parameters_stay() const noexcept { return stage < 3; }
  [[nodiscard]] bool gradients_stay() const noexcept { return stage < 2; }

  // Throws invalid_argument that says what is wrong with where a segment lies.
  void check(const segment& s) const;
  void check_all(const segment_list& segments) const;

 private:
  void check(const segment& s, const void* memory, range_use use) const;
};

}  // namespace zero::client
