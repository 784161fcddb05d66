#pragma once
// sharded_optimizer: one rank's share of parameters, gradients and optimizer states, and the eight
// verbs that move them: fetch, gather, release, reduce, clip, update, publish, spill.
//
// Belongs to one thread at a time. Every rank of the communicator makes the same calls in the same
// order; ranks that do not are told so (desync) before wrong bytes are used. After an error from a
// collective the object can only be destroyed.
//
// All work on memory is queued on the stream of one processor, and so is what the client does with
// gathered parameters and gradients: on the host it is done when a call returns; on a device the
// client queues its own kernels on stream() and the host waits only where a call says so.
//
// Nothing is allocated after construction but by full_parameters() and, where master weights are
// not in fp32, by initialize() and stream_master().

#include <zero/base/hash.hpp>
#include <zero/base/span.hpp>
#include <zero/base/trace.hpp>
#include <zero/base/typed_span.hpp>
#include <zero/collectives/communicator.hpp>
#include <zero/engine/options.hpp>
#include <zero/engine/own_rule.hpp>
#include <zero/engine/reports.hpp>
#include <zero/engine/shards.hpp>
#include <zero/engine/views.hpp>
#include <zero/optim/processor.hpp>
#include <zero/partition/communication_plan.hpp>
#include <zero/partition/fit.hpp>
#include <zero/partition/layout.hpp>
#include <zero/partition/tier_traffic.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#pragma GCC visibility push(default)
namespace zero {

class sharded_optimizer {
 public:
  struct [[gnu::visibility("hidden")]] state;  // private to the engine's sources

  // Lays out and allocates everything. Collective: compares version, options and model with all
  // ranks first and throws desync that names the first difference and the ranks in the minority.
  // Throws invalid_argument for options that cannot be, out_of_memory. `ranks` must outlive this;
  // groups of ranks are split from it with the deadline that it has now.
  // Until initialize() parameters are zero; on a disk there are none.
  sharded_optimizer(collectives::communicator& ranks, partition::model_spec model,
                    engine_options options);
  // On a device: `work` must reach the memory of `ranks` and outlive this. Throws invalid_argument
  // where the two are not of one place.
  sharded_optimizer(collectives::communicator& ranks, optim::processor& work,
                    partition::model_spec model, engine_options options);
  sharded_optimizer(const sharded_optimizer&) = delete;
  sharded_optimizer& operator=(const sharded_optimizer&) = delete;
  ~sharded_optimizer();

  // Sets initial values. `fill(parameter, offset, values)` is called for every run of elements
  // this rank keeps master weights of and must write values[i] = value of element offset + i of
  // that parameter (by registration index), a function of those two alone. Collective.
  using fill_function = std::function<void(std::size_t, std::uint64_t, span<float>)>;
  void initialize(const fill_function& fill);

  // Where clients queue their own work between the calls below; see the head of this file.
  [[nodiscard]] zero::stream& stream() noexcept;

  // ---- one micro-batch ----
  // Says where in the schedule the client is. Call before the first gather of each micro-batch.
  // Throws invalid_argument if gradients were added to kept ones (reduce_at::boundary) and the
  // unit was not reduced.
  void begin_micro_batch(pass kind = pass::train);

  // The unit's parameters are whole for what follows on stream(); queues what comes next in the
  // schedule. Blocks on the host until they are, on a device only as far as peers are to be told.
  // Throws invalid_argument when units are held so that no slot is left, naming them.
  [[nodiscard]] gathered_unit gather(int unit);

  // A parameter, by registration index, that is never sharded (options.resident_bytes), for what
  // follows on stream(); no data for another. Valid until the next step.
  [[nodiscard]] const_typed_span resident(std::size_t parameter);

  // The unit's gradient buffers, free once the slot's previous reduction is done. Throws
  // invalid_argument once the unit was reduced options.accumulate times, until the next step.
  [[nodiscard]] unit_gradients gradients(int unit);

  // Says that this rank's gradients of the unit are final for this micro-batch and queues their
  // reduction: the sum over ranks and over reductions since the last step. Does not block, but in
  // codes (quantized_reduce) for the exchange of the unit reduced before, on the host. A unit
  // never reduced in a step has gradient 0. Throws invalid_argument past options.accumulate.
  void reduce(int unit);

  // ---- one step ----
  // Says what step() will be called with; call it before the backwards that make its gradients.
  // Where nothing of all ranks has to be known first (clip_norm 0, non_finite::apply, a fixed loss
  // scale, gradients not in codes), what is updated below the device is then updated as soon as its
  // unit's gradients are final, that is reduced options.accumulate times, while the backward goes
  // on. Changes no bits. Such a unit can be gathered again only after the step. Blocks for the last
  // step. If ranks turn out to step otherwise, this object can only be destroyed. Throws
  // invalid_argument for a rate that is not finite.
  void announce_step(float learning_rate);

  // Norm, clipping, update of the own shards with `learning_rate` (times each group's factor),
  // and publication of the new parameters. If any gradient is not finite on any rank, no rank
  // changes any state and `skipped` is set. Gradients are zero afterwards. Throws desync, naming
  // the ranks, where learning rates, counts of reductions or constants of groups differ;
  // invalid_argument for a rate that is not finite or not the announced one and while a unit is
  // held.
  step_result step(float learning_rate) {
    queue_step(learning_rate);
    return last_step();
  }

  // The two halves of step, for clients on a device: queue_step waits for nothing but what became
  // of the step before; last_step blocks until it is known what became of this one. An error of
  // the step is thrown by last_step or the next call that needs to know.
  void queue_step(float learning_rate);
  step_result last_step();

  // The same by the client's own rule (options.own_states; without one the above are called, with
  // one these). Blocks until it is known what becomes of the step; if it is applied, `update` is
  // called in order on every run of one parameter that this rank updates. What it throws is thrown
  // on: then this object can only be destroyed, and the other ranks are told so.
  step_result step(float learning_rate, const range_function& update) {
    queue_step(learning_rate, update);
    return last_step();
  }
  void queue_step(float learning_rate, const range_function& update);

  // The norm that step() would report, of the gradients as they are. Collective; blocks; changes
  // nothing, but until the step gradients() and reduce() throw invalid_argument. Throws desync as
  // step does.
  [[nodiscard]] double gradient_norm();

  // This rank's vote that no rank shall change anything in the next step, whatever its gradients
  // are; to a dynamic loss scale it is no overflow. Throws invalid_argument where an announced
  // step may have begun, and then announce_step does.
  void skip_next_step();

  // New constants of a group for the steps to come, the same on all ranks. Throws invalid_argument
  // for a group that is not there and where an announced step may have begun.
  void set_group(int group, const parameter_group& constants);

  // What gradients must be multiplied with by the client (multiply the loss); step divides it out.
  // Blocks for the last step where the scale depends on it (loss_scale_options::dynamic).
  [[nodiscard]] float loss_scale();

  // ---- all parameters ----
  // Gathers the whole model on every rank, for what follows on stream(), until the region ends, in
  // the memory of the communicator. Collective; blocks; allocates the full
  // size of what is sharded, beside the predicted memory. No unit may be held.
  [[nodiscard]] full_parameters_region full_parameters();

  // Calls `take(parameter, offset, values)` on rank 0 with consecutive runs of the fp32 master
  // weights (or of fp32 parameters) in registration order, without gathering the model anywhere.
  // Tied parameters are visited once, at their storage. Collective.
  using take_function = std::function<void(std::size_t, std::uint64_t, span<const float>)>;
  void stream_master(const take_function& take);

  // The same of array `number` of the states, the rule's and then the extra ones, or with -1
  // stream_master(). Frozen parameters have no states. Throws invalid_argument for an array that is
  // not there or not in fp32.
  void stream_state(int number, const take_function& take);

  // ---- weights and states where they are, between steps ----
  // All throw invalid_argument once gradients were reduced for the next step, and but for
  // write_parameters where states or master weights do not rest in fp32.

  // Calls `see` in order on every run that this rank updates, without a gradient, wherever it
  // rests. read: of this rank alone; nothing may be changed. write: collective; parameters are made
  // of the master weights and published, as after a step, and no unit may be held; if `see` throws,
  // this object can only be destroyed.
  void visit(access how, const range_function& see);
  // Exchanges the master weights with array `number` of the states, bit for bit, and publishes what
  // the parameters then are. Collective.
  void swap_with_state(int number);
  // As initialize(), but states are kept. Collective.
  void write_parameters(const fill_function& fill);

  // The whole state in logical coordinates, whatever it rests in: shards.hpp.
  [[nodiscard]] std::vector<shard_extent> saved_extents() const;
  void read_shards(const read_shard_function& see);
  [[nodiscard]] std::vector<shard_extent> kept_extents() const;
  void write_shards(const write_shard_function& fill);
  [[nodiscard]] std::vector<std::string> state_names() const;
  [[nodiscard]] training_progress progress() const;
  void resume(const training_progress& from);

  // Digest of the values stream_master visits, the same on every rank. Collective.
  [[nodiscard]] digest128 parameters_digest();

  // ---- reports ----
  [[nodiscard]] const partition::layout& layout() const noexcept;
  [[nodiscard]] const engine_options& options() const noexcept;
  [[nodiscard]] memory_report memory() const noexcept;
  [[nodiscard]] seconds_by_phase seconds() const noexcept;
  [[nodiscard]] schedule_report schedule() const noexcept;
  [[nodiscard]] std::uint64_t allocations() const noexcept;
  // Of the communicator this was made with and of those split from it for groups of ranks. Blocks
  // until what this rank has queued is done, and throws what that failed with.
  [[nodiscard]] collectives::traffic traffic() const;
  // Of everything queued so far. Blocks until it is done, and throws what it failed with.
  [[nodiscard]] tier_report tiers() const;
  // What is not as one would wish of tiers (memory that could not be pinned, a disk without direct
  // I/O), one sentence each, for printing once. Blocks as tiers() does.
  [[nodiscard]] std::vector<std::string> notes() const;
  // Records the verbs on the compute lane, moves between tiers on the copy lanes, and what runs
  // over the groups of ranks that were split off. nullptr stops. Blocks until what this rank has
  // queued there is done.
  void set_trace(trace_recorder* recorder) noexcept;

  // Bytes by class that a rank of such a run would hold, without allocating anything.
  [[nodiscard]] static memory_report predict(const partition::model_spec& model,
                                             const engine_options& options, int world_size,
                                             memory_place place = memory_place::host);
  // What has to rest on a disk so that such a rank holds at most `budget` bytes; likewise. Puts
  // what `may` be chosen in the place of options.tiers.
  [[nodiscard]] static partition::fitted fit(const partition::model_spec& model,
                                             const engine_options& options, int world_size,
                                             const partition::free_tiers& may, std::uint64_t budget,
                                             memory_place place = memory_place::host);
  // What a rank moves between tiers in one step of `accumulate` micro-batches, likewise. tiers()
  // grows by it in a step that keeps to the declared order and is not skipped.
  [[nodiscard]] static partition::tier_traffic_plan predict_tier_traffic(
      const partition::model_spec& model, const engine_options& options, int world_size);
  // The collective operations of one step of `accumulate` micro-batches that keeps to the
  // declared order, likewise; whether it is skipped makes no difference. traffic() grows by it.
  // options.node_ranks counts as it is: 0 is all ranks at once.
  [[nodiscard]] static partition::communication_plan predict_communication(
      const partition::model_spec& model, const engine_options& options, int world_size);
  // Of those, bytes that `rank` sends to other hosts; rank r of the world is on host_of_rank[r].
  [[nodiscard]] static std::uint64_t predict_crossing(const partition::model_spec& model,
                                                      const engine_options& options,
                                                      const std::vector<int>& host_of_rank,
                                                      int rank);

 private:
  friend class gathered_unit;
  friend class unit_gradients;
  friend class full_parameters_region;
  std::unique_ptr<state> state_;
};

}  // namespace zero
#pragma GCC visibility pop
