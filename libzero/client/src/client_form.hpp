#pragma once
// client_form: where a client sees parameters and gradients. Mirrored: in memory of its own, which
// is kept like what the engine has; placed: in the engine's.
//
// On a device everything is queued on the engine's stream, and what a call puts there comes after
// what the client was seen to have queued (client_streams).
//
// One thread at a time. Order is the caller's business (call_order); what is thrown after something
// has been changed leaves the form useless.

#include "own_memory.hpp"
#include "segment_list.hpp"
#include "value_staging.hpp"

#include <zero/collectives/communicator.hpp>
#include <zero/engine/sharded_optimizer.hpp>
#include <zero/optim/processor.hpp>

#include <cstddef>
#include <memory>
#include <vector>

namespace zero::client {

// What a form is made from; all of it outlives the form.
struct form_parts {
  sharded_optimizer& engine;
  collectives::communicator& ranks;
  optim::processor& work;   // where the client's memory is
  memory_resource& blocks;  // of such memory
  value_staging& staging;
  const segment_list& segments;
  own_memory memory;
  std::vector<int> order;         // every unit once, as a forward uses them
  bool every_micro_batch = true;  // gradients are reduced then, not at the boundary
  bool stable = false;            // addresses of what is placed
};

class client_form {
 public:
  client_form() = default;
  client_form(const client_form&) = delete;
  client_form& operator=(const client_form&) = delete;
  virtual ~client_form() = default;

  // Values of rank 0 come to every rank and to the engine; what the stage gives back is given back.
  virtual void begin() = 0;
  // A micro-batch of training, or forwards that have no backward.
  virtual void begin_micro_batch(pass kind) = 0;

  // Parameters of the unit, between the first begin and the last end.
  virtual void make_whole(int unit) = 0;
  virtual void release(int unit) = 0;

  // Its backward begins: gradients are zeros, or what earlier micro-batches left.
  virtual void begin_gradients(int unit) = 0;
  // They are final for this micro-batch; `last`: and for the step.
  virtual void end_gradients(int unit, bool last) = 0;
  // The segment got memory for its gradient.
  virtual void gradient_bound(std::size_t segment) = 0;

  // Between steps, or after one; `changed`: the engine's parameters are others than before.
  virtual void stepped(bool changed) = 0;

  // All parameters are where the client has them, or asks for them, if `here`. Collective.
  virtual void full_begin(bool here) = 0;
  // `keep`: what rank 0 has there becomes every rank's.
  virtual void full_end(bool here, bool keep) = 0;

  // Where a slice is now; throws invalid_argument where it is nowhere.
  [[nodiscard]] virtual void* parameter(const slice_place& of) = 0;
  [[nodiscard]] virtual void* gradient(const slice_place& of) = 0;
};

// Every rank's elements become those of rank 0. Collective; blocks.
inline void spread_values(const form_parts& parts, const typed_span& elements, int unit) {
  if (parts.ranks.size() == 1) return;
  collectives::call how;
  how.name = "values of rank 0";
  how.tag = unit;
  how.after = parts.work.queue().record();
  const completion there = parts.ranks.broadcast(elements, 0, how);
  parts.work.queue().wait(there);
  there.wait();
}

[[nodiscard]] std::unique_ptr<client_form> make_mirrored(const form_parts& parts);
[[nodiscard]] std::unique_ptr<client_form> make_placed(const form_parts& parts);

}  // namespace zero::client
