#pragma once
// options: what wrap() can be told, and how calls of the library that fail are thrown.

#include <zero/client_error.hpp>
#include <zero/torch/units.hpp>
#include <zero/zero.h>

#include <functional>
#include <string>
#include <vector>

namespace zero::torch {

struct options {
  zero_config config;  // rule, own_states and device are set by wrap()
  // Which modules are gathered and released by themselves at stage 3.
  block_function is_block = lies_in_container;
  // Names of units in the order in which one forward uses them, as often as it does; empty: once
  // each, as they were registered. Other orders are served, but not ahead of their use.
  std::vector<std::string> forward_order;
  // Whether children of nn::Sequential need no line of their own. They must take one tensor and
  // return one; Sequential::at and ptr give something else than the child then.
  bool enter_sequentials = true;
  // The cudaStream_t the module is run on, where it is on a GPU; nothing: the default stream.
  std::function<void*()> stream;

  options() { zero_config_init(&config); }  // NOLINT(cppcoreguidelines-pro-type-member-init)
};

// Throws the class of <zero/client_error.hpp> that belongs to a call that failed.
inline void expect(zero_optimizer* z, zero_status status) {
  if (status == ZERO_OK) return;
  throw_client_error(status, zero_last_error(z), zero_first_error(z) != ZERO_OK);
}

}  // namespace zero::torch
