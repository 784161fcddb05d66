#pragma once
// shards: a training state as values in logical coordinates, whatever the world, the stage, the
// tier and the format it rests in. Between a sharded_optimizer and whoever keeps states.
//
// Plain values. Pointers handed to a function are valid during the call. Members of
// sharded_optimizer that use them:
//
// saved_extents()       what this rank answers for: the piece it owns of every bucket, trainable
//                       and frozen, cut at cells and at 2^18 elements. All ranks together have
//                       every element of every parameter with storage once, whatever is sharded.
// read_shards(see)      shows them in that order, weights and states in fp32 as they are used. Of
//                       this rank alone: no collective, and nothing changes.
// kept_extents()        what this rank keeps, replicas included, cut likewise.
// write_shards(fill)    has all of that filled, in that order: every value of the room handed out
//                       must be written, the same on every rank that keeps it. Collective;
//                       parameters are made of the weights and published. No unit may be held. If
//                       `fill` throws on some rank, that rank throws it on and the others an error
//                       that names it; ranks stay in touch, but the state is no state any more:
//                       all calls throw but destruction and another write_shards.
// state_names()         of the arrays beside the weights: "exp_avg", ..., "own.0", ..., "extra.0".
// progress(), resume()  what of a run is no array; resume with the same on all ranks. A loss scale
//                       that is not dynamic stays as it was configured.
//
// What was read and written back at the same world is the same from then on, bit for bit, and so
// is at another world what does not rest in block8: there an element is coded with its new
// neighbours. Between steps, as visit(), whatever states rest in. Reading and writing take host
// memory for 2^18 elements of every array that does not rest in fp32 on the host, beside what was
// predicted, while they last. They block. Throw invalid_argument once gradients were reduced for
// the next step; resume besides where that was announced, and for what is no progress.

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
