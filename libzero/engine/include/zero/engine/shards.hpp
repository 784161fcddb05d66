#pragma once
// shards: a training state as values in logical coordinates, whatever the world, the stage, the
// tier and the format it rests in. Between a sharded_optimizer and whoever keeps states.
//
// Plain values. Pointers handed to a function are valid during the call.

#include <zero/base/typed_span.hpp>
#include <zero/engine/own_rule.hpp>
#include <zero/optim/loss_scale.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#pragma GCC visibility push(default)
namespace zero {

// Elements [offset, offset + count) of a parameter, by registration index of the owner of the
// storage. count > 0.
struct shard_extent {
  std::size_t parameter = 0;
  std::uint64_t offset = 0;
  std::uint64_t count = 0;
};

// The values of an extent. All in host memory.
struct shard_values {
  shard_extent where;
  const_typed_span weights;  // fp32 master weights; of a frozen parameter itself, in its dtype
  // fp32 whatever they rest in: the rule's, then the extra ones; none of a frozen parameter.
  const float* states[2 * most_own_states] = {};
  int state_count = 0;
};

// Where the values of an extent are to be put; likewise.
struct shard_room {
  shard_extent where;
  typed_span weights;
  float* states[2 * most_own_states] = {};
  int state_count = 0;
};

using read_shard_function = std::function<void(const shard_values&)>;
using write_shard_function = std::function<void(const shard_room&)>;

// What of the state is no array; the same on every rank.
struct training_progress {
  std::uint64_t updates = 0;  // steps that changed anything: what corrects the bias of moments
  std::uint64_t steps = 0;    // those that were skipped too
  optim::loss_scale::state loss_scale = {1.0F, 0, 0};
};

}  // namespace zero
#pragma GCC visibility pop
