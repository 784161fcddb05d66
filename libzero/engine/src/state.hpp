#pragma once
// sharded_optimizer::state: what one rank holds, and the verbs as its member functions. Each verb
// is defined in the file of its name.

#include "rank_groups.hpp"
#include "resting_tiers.hpp"
#include "slot_pool.hpp"
#include "storage.hpp"

#include <zero/base/buffer.hpp>
#include <zero/base/trace.hpp>
#include <zero/engine/sharded_optimizer.hpp>
#include <zero/optim/loss_scale.hpp>
#include <zero/optim/processor.hpp>
#include <zero/partition/memory_plan.hpp>
#include <zero/partition/tier_traffic.hpp>

#include <memory>

namespace zero {

struct sharded_optimizer::state : step_progress {
  // `own_processor` is kept where it is not null; `processor` is it then.
  state(collectives::communicator& communicator, optim::processor& processor,
        std::unique_ptr<optim::processor> own_processor, partition::model_spec model,
        engine_options wanted);
  ~state();

  // Members below are destroyed in reverse: buffers before the statistics they report to.
  collectives::communicator& ranks;
  const std::unique_ptr<optim::processor> host_work;
  optim::processor& work;  // everything done to memory, in order
  zero::stream& queue;     // its stream: what waits and is waited for
  engine_options options;  // but for the constants of groups, as it was made with
  const partition::layout layout;
  const partition::memory_plan plan;
  rank_groups groups;
  memory_statistics statistics;
  std::vector<bucket_storage> buckets;
  slot_pool parameter_slots;
  slot_pool gradient_slots;
  std::array<buffer, 2> reduced_staging;
  std::array<buffer, 2> reduction_codes;
  std::array<buffer, 2> gradient_staging;
  buffer squares;  // a double of each bucket
  buffer gathered_gradient;
  buffer exchange;  // step_decision, then a step_vote of every rank
  buffer staging;
  buffer host_staging;  // empty where the host reaches staging
  resting_tiers tiers;
  optim::loss_scale scale;

  [[nodiscard]] bool alone() const noexcept { return ranks.size() == 1; }
  // This rank's pieces of what is sharded over `over`.
  [[nodiscard]] partition::piece_run held(partition::sharded_over over) const noexcept {
    return plan.groups().held(over, ranks.rank());
  }

  // ---- where things are ----
  // The full bucket as the client may see it while its unit is held.
  [[nodiscard]] typed_span full_parameters(std::size_t bucket) const noexcept;
  // This rank's shard of the parameters cut over `over`, within what rests: over no more ranks.
  [[nodiscard]] typed_span parameters_over(std::size_t bucket,
                                           partition::sharded_over over) const noexcept;
  [[nodiscard]] typed_span secondary_parameters(std::size_t bucket) const noexcept;
  // Of all ranks, in a slot; bytes.
  [[nodiscard]] typed_span gathered_codes(std::size_t bucket, std::size_t slot) const noexcept;
  // The full gradient, in its own buffer or in the slot its unit holds, for collectives.
  [[nodiscard]] typed_span full_gradient(std::size_t bucket) const noexcept;
  [[nodiscard]] typed_span seen_gradient(std::size_t bucket) const noexcept;
  // This rank's reduced piece; valid once landed.
  [[nodiscard]] typed_span reduced_piece(std::size_t bucket) const noexcept;
  // The run it is part of, where that is exchanged in place (updated_from::around).
  [[nodiscard]] typed_span reduced_run(std::size_t bucket) const noexcept;
  [[nodiscard]] optim::step_decision* decision_here() const noexcept;
  [[nodiscard]] optim::step_vote* votes() const noexcept;
  [[nodiscard]] float* host_values() const noexcept;
  [[nodiscard]] optim::step_decision* decision_read() noexcept;
  [[nodiscard]] std::uint64_t update_length(std::size_t bucket) const noexcept;
  // Something of the bucket rests off the device.
  [[nodiscard]] bool tiered(std::size_t bucket) const noexcept;
  // 16-bit parameters whose master weights are not all in the array apart.
  [[nodiscard]] bool packed_master(const partition::cell& c) const noexcept;
  // The weights of a cell, without gradient and states.
  [[nodiscard]] optim::packed_spans packed_weights(const partition::cell& c, std::byte* arrays,
                                                   const typed_span& parameter) const noexcept;
  // Reductions are added to what earlier ones of the step left.
  [[nodiscard]] bool repeated() const noexcept;

  // ---- the verbs ----
  void begin(pass kind);
  void gather(int unit);
  void queue_gather(int unit, std::size_t slot);
  void decode_gathered(int unit);
  void keep_secondary(int unit);
  // What is queued from now on runs after every gather, so that shards may change.
  void wait_gathered();
  void gather_ahead();
  [[nodiscard]] bool must_gather(int unit, std::size_t planned) const noexcept;
  void release(int unit);

  void take_gradients(int unit);
  // Throws invalid_argument once the norm was taken.
  void expect_open(const char* call) const;
  void abandon(int unit);
  void reduce(int unit);
  void queue_unit_reduce(int unit);
  void reduce_alone(std::size_t bucket, bool first);
  void queue_reduce(std::size_t bucket, bool first);
  void land(std::size_t staging_index);
  void queue_exchange(std::size_t bucket);
  void queue_reduce_codes(std::size_t bucket, bool first, bool last);
  void encode_pieces(const coded_reduction& of);
  void send_across(coded_reduction& of);
  void land_codes(coded_reduction& of);
  void finish_reductions();

  void clip(float learning_rate);
  // What this rank is about to do is told to all, and what they are lies in votes().
  void exchange_votes(float learning_rate, int tag);
  [[nodiscard]] double gradient_norm();
  void skip_next_step();
  void set_group(int group, const parameter_group& constants);
  // Throws invalid_argument once an announced step may have begun.
  void expect_not_begun(const char* call) const;
  void update_all(float learning_rate);
  void announce(float learning_rate);
  // Its gradients are final as soon as what is under way has landed.
  void update_early(int unit);
  // As far as that can go on without waiting; or to the end.
  void progress_early(bool to_the_end);
  [[nodiscard]] bool landed_for_update(std::size_t bucket) const noexcept;
  // Throws invalid_argument while cells of the next step are updated already.
  void expect_no_early(const char* call) const;
  [[nodiscard]] bool may_begin(std::size_t cell, std::size_t current) const noexcept;
  [[nodiscard]] bool block_is_free() const noexcept;
  [[nodiscard]] cell_under_way& take_block(std::size_t cell) noexcept;
  template <typename Each>
  void walk_cells(errand why, const Each& each);
  void begin_cell(std::size_t cell, errand why);
  void update_cell(std::size_t cell, float learning_rate, const optim::step_decision* by);
  void clear_padding(std::size_t cell, const cell_under_way& area);
  void update_runs(std::size_t cell, const cell_under_way& area, float learning_rate,
                   const optim::step_decision* by);
  void update_packed(std::size_t cell, const cell_under_way& area, float learning_rate,
                     const optim::step_decision* by);
  // By `own_rule`, the client's rule.
  void update_own(std::size_t cell, const cell_under_way& area, float learning_rate,
                  const optim::step_decision* by);
  // Calls `see` on every run of the cell; `learning_rate` without the factor of groups.
  void show_cell(std::size_t cell, const cell_under_way& area, float learning_rate,
                 const const_typed_span& gradient, const range_function& see);
  // 16-bit parameters of a cell from its fp32 master weights.
  void make_parameters(std::size_t cell, const cell_under_way& area);
  [[nodiscard]] optim::hyper constants_of(int group, float learning_rate) const noexcept;
  [[nodiscard]] const_typed_span update_gradient(std::size_t bucket);
  void publish(std::size_t bucket);
  void wait_published();

  // ---- fetch and spill: between tiers ----
  // This rank's shard of the parameters comes to `shard`, where the processor works.
  completion fetch_parameters(std::size_t bucket, const typed_span& shard);
  completion spill_parameters(std::size_t bucket, const typed_span& shard);
  // Where a cell is worked on: as it rests, or in its block.
  void locate(std::size_t cell, cell_under_way& area) const noexcept;
  void fetch_cell(std::size_t cell, cell_under_way& area, errand why);
  void fetch_cell_gradient(const partition::cell& c, cell_under_way& area);
  void spill_cell(std::size_t cell, cell_under_way& area);
  void count_crossing(partition::tier rests, const partition::cell& c, std::uint64_t bytes,
                      crossing way) noexcept;
  [[nodiscard]] bool reads_parameter(const partition::cell& c) const noexcept;
  // The reduction of a bucket was queued: its piece will be spilled once it has landed.
  void take_staging(std::size_t bucket, bool first);
  void spill_later(std::size_t bucket);
  void spill_landed();                      // those that have; does not block
  void spill_gradient(std::size_t bucket);  // blocks until it has landed
  void finish_spill(int unit);              // its gradients' memory is free again
  [[nodiscard]] double* squares_of(std::size_t bucket) const noexcept;
  void collect_squares(std::size_t bucket);

  // With `rule` where the client has its own, else null.
  void queue_step(float learning_rate, const range_function* rule);
  void expect_rule(const range_function* rule) const;
  // What was taken and not reduced is forgotten; all else is reduced, or on its way.
  void finish_gradients();
  // The votes of the last exchange, in the order of pieces, to be read by the host; blocks.
  [[nodiscard]] const optim::step_vote* read_votes();
  [[nodiscard]] std::vector<int> ranks_that(
      const std::function<bool(const optim::step_vote&)>& voted);
  [[nodiscard]] std::exception_ptr dissent();
  // Blocks until it is known what became of the last step. Throws desync where ranks differed.
  void settle();

  // ---- master weights ----
  void visit(access how, const range_function& see);
  void swap_with_state(int number);
  void swap_cell(std::size_t cell, const cell_under_way& area, int number);
  void expect_between_steps(const char* call) const;
  void expect_state(int number, const char* call) const;
  void expect_wide(const char* call) const;
  void prepare_to_change(const char* call);
  void set_masters(const fill_function& fill, state_fate of_states, const char* call);
  void fill_bucket(std::size_t bucket, const fill_function& fill, state_fate of_states);
  void fill_cell(const partition::cell& c, std::byte* arrays, const typed_span& parameter,
                 const fill_function& fill);
  void fill_window(const partition::cell& c, std::byte* arrays, const typed_span& parameter,
                   std::uint64_t at, span<const float> values);
  // A cell's optimizer arrays where it rests or, of a tier that must be read, in host memory.
  [[nodiscard]] std::byte* optimizer_to_read(std::size_t cell);
  void unpack_masters(std::size_t cell, std::uint64_t at, std::uint64_t count, float* out);
  void adopt_masters(std::size_t bucket, const typed_span& written);
  [[nodiscard]] typed_span free_slot(std::size_t bucket);
  [[nodiscard]] typed_span parameters_to_read(std::size_t bucket);
  [[nodiscard]] std::size_t cell_at(std::size_t bucket, std::uint64_t at) const noexcept;
  [[nodiscard]] const float* read_array(int number, std::size_t bucket, int piece, std::uint64_t at,
                                        std::uint64_t count);
  // What was gathered or kept of the parameters is about to be old.
  void forget_gathered();
  // Calls take on every rank; blocks.
  void visit_array(int number, const take_function& take);

  [[nodiscard]] optim::decision_rule decision_rule() const noexcept;
  // Throws what made this object useless.
  void expect_whole() const;
  // Throws invalid_argument, naming the unit, if one is held.
  void expect_none_held(const char* call) const;

  // ---- clocks ----
  // Blocks until everything this rank has queued is done.
  void wait_all();
  template <typename Wait>
  void wait_each(const Wait& wait_for);
  // What is queued from now on runs after `what`.
  void wait(const completion& what);
  // How a collective call is queued: after everything queued so far, and after `also`, for which
  // the host does not wait.
  [[nodiscard]] collectives::call call_of(const char* name, int tag, const completion& also = {});
  // What a verb_timer took from `begin` until now, `inner` nanoseconds of it within others; returns
  // all of it.
  std::int64_t note(phase where, int unit, std::int64_t begin, std::int64_t inner);
  void trace_slots() const noexcept;  // what is in use of them has changed

 private:
  void allocate();
  void place(const partition::allocation& a);
  void find_runs(std::size_t cell);
  void make_additions();
};

}  // namespace zero
