#pragma once
// sharded_optimizer::state: what one rank holds, and the verbs as its member functions. Each verb
// is defined in the file of its name.

#include "rank_groups.hpp"
#include "resting_tiers.hpp"
#include "slot_pool.hpp"

#include <zero/base/buffer.hpp>
#include <zero/base/trace.hpp>
#include <zero/engine/sharded_optimizer.hpp>
#include <zero/optim/loss_scale.hpp>
#include <zero/optim/processor.hpp>
#include <zero/partition/memory_plan.hpp>
#include <zero/partition/tier_traffic.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace zero {

// A run of elements that share a parameter group, in the arrays an update walks.
struct update_run {
  std::uint64_t offset = 0;  // elements
  std::uint64_t count = 0;
  int group = 0;
};

// The memory of one bucket and what is under way in it.
struct bucket_storage {
  const partition::bucket* shape = nullptr;
  const partition::bucket_plan* plan = nullptr;
  buffer parameter;
  buffer gradient;
  buffer gradient_shard;
  buffer optimizer;
  buffer secondary;
  completion reduced;            // of the latest reduction
  completion exchanged;          // of the latest exchange of reduced pieces
  bool exchange_queued = false;  // in place, since the last step
  completion published;          // of the latest publication, or of what came up a tier for it

  // ---- of what rests off the device ----
  completion landed;               // of the reduction whose piece is to be spilled
  bool first_landing = false;      // of the step: it overwrites, later ones are added
  bool added = false;              // one of the step was added, so the sum is known below alone
  std::size_t staging = 0;         // of the reduced piece, where it is staged
  completion spilled;              // of the reduced gradient
  completion risen;                // of the parameters, from where they were updated
  const_typed_span update_source;  // the gradient on the device that the update reads
};

// A cell of the update on its way, in a block of its own.
struct cell_under_way {
  std::byte* optimizer = nullptr;  // its arrays
  typed_span gradient;
  typed_span parameter;
  completion fetched;  // of what comes from a store, or up
  completion lowered;  // of what comes down from the device
  completion spilled;  // of what went from here
  completion risen;
  completion used;  // of the update, where that is queued
};

inline constexpr std::size_t no_bucket_staged = static_cast<std::size_t>(-1);

// A reduction in codes, until it lands.
struct coded_reduction {
  std::size_t bucket = no_bucket_staged;
  bool first = false;   // since the last step: overwrites the reduced piece
  bool last = false;    // before the next
  bool across = false;  // is on its way across groups
  completion moved;     // of its latest exchange
  std::byte* sent = nullptr;
  std::byte* received = nullptr;
};

struct unit_progress {
  completion gathered;     // of the latest gather into its slot
  int calls = 0;           // of reduce since the last step
  int reductions = 0;      // of those, carried out
  bool zeroed = false;     // its full gradients are zero or hold this micro-batch's
  bool open = false;       // its gradients were taken and not reduced since
  bool coded = false;      // what was gathered last is codes still
  bool secondary = false;  // its secondary parameters are those of this step
};

struct sharded_optimizer::state {
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
  const engine_options options;
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

  std::vector<unit_progress> units;
  std::vector<std::size_t> first_parameter;  // registration index of each unit's first
  std::vector<completion> slot_reductions;   // by gradient slot: the reduction that reads it
  std::array<std::size_t, 2> staged_bucket;  // by staging: the bucket not yet landed from there
  std::size_t next_staging = 0;
  std::array<coded_reduction, 2> coded;
  std::size_t next_coded = 0;                  // the one queued longer ago, or free
  std::vector<std::vector<update_run>> runs;   // by cell; offsets from where it begins
  std::vector<optim::update_run> packed_runs;  // of the cell at hand
  std::vector<cell_under_way> under_way;       // by cell, modulo their number
  std::vector<std::size_t> landing;            // buckets to be spilled, in order of reduction
  std::array<std::size_t, 2> staged_gradient{no_bucket_staged, no_bucket_staged};
  std::size_t next_gradient_staging = 0;
  std::vector<offload::amendment> additions;     // by cell: adds to its gradient
  std::vector<double> cell_squares;              // by cell, of sums that additions made
  std::vector<double> joined_squares;            // by bucket
  partition::tier_bytes crossed;                 // without the lane
  std::size_t read_cell = partition::no_record;  // whose record is in the first host block
  std::size_t read_bucket = no_bucket_staged;    // whose parameters were fetched to be read
  typed_span read_parameters;
  std::size_t cursor = 0;  // the next use of plan.parameter_slots().uses expected
  std::size_t limit = 0;   // where this micro-batch ends in it

  optim::loss_scale scale;
  std::uint64_t steps = 0;
  completion decided;             // of reading back the decision of the last step
  bool undecided = false;         // that has not been waited for
  optim::step_decision decision;  // as read back, where there is no host_staging
  step_result last_result;
  schedule_report kept;
  seconds_by_phase seconds{};
  std::int64_t* nested = nullptr;  // nanoseconds within the innermost verb_timer
  trace_recorder* trace = nullptr;

  [[nodiscard]] bool alone() const noexcept { return ranks.size() == 1; }
  // This rank's pieces of what is sharded over `over`.
  [[nodiscard]] partition::piece_run held(partition::sharded_over over) const noexcept {
    return plan.groups().held(over, ranks.rank());
  }

  // ---- where things are ----
  // The full bucket as the client may see it while its unit is held.
  [[nodiscard]] typed_span full_parameters(std::size_t bucket) const noexcept;
  // This rank's shard of the parameters if they are cut over `over`, within what rests; which is
  // over no more ranks.
  [[nodiscard]] typed_span parameters_over(std::size_t bucket,
                                           partition::sharded_over over) const noexcept;
  [[nodiscard]] typed_span secondary_parameters(std::size_t bucket) const noexcept;
  // Of all ranks a bucket is gathered from, in a slot; bytes.
  [[nodiscard]] typed_span gathered_codes(std::size_t bucket, std::size_t slot) const noexcept;
  // The full gradient, in its own buffer or in the slot its unit holds, for collectives.
  [[nodiscard]] typed_span full_gradient(std::size_t bucket) const noexcept;
  [[nodiscard]] typed_span seen_gradient(std::size_t bucket) const noexcept;
  // This rank's reduced piece; valid once landed.
  [[nodiscard]] typed_span reduced_piece(std::size_t bucket) const noexcept;
  // The run it is part of, where that is exchanged in place (updated_from::around).
  [[nodiscard]] typed_span reduced_run(std::size_t bucket) const noexcept;
  // Array 0 is the master weights, then come the states; each as long as the update walks.
  [[nodiscard]] optim::step_decision* decision_here() const noexcept {
    return exchange.as<optim::step_decision>();
  }
  [[nodiscard]] optim::step_vote* votes() const noexcept {
    return reinterpret_cast<optim::step_vote*>(exchange.as<std::byte>() +
                                               partition::decision_bytes);
  }
  [[nodiscard]] float* host_values() const noexcept {
    return host_staging ? host_staging.as<float>() : staging.as<float>();
  }
  [[nodiscard]] optim::step_decision* decision_read() noexcept {
    return host_staging ? reinterpret_cast<optim::step_decision*>(host_staging.as<std::byte>() +
                                                                  partition::staging_bytes)
                        : &decision;
  }
  [[nodiscard]] std::uint64_t update_length(std::size_t bucket) const noexcept;
  // Something of the bucket rests off the device.
  [[nodiscard]] bool tiered(std::size_t bucket) const noexcept;
  // 16-bit parameters whose master weights are not all in the array apart.
  [[nodiscard]] bool packed_master(const partition::cell& c) const noexcept {
    return options.formats.master != optim::master_format::fp32 &&
           buckets[c.bucket].shape->type != dtype::fp32;
  }
  // The weights of a cell, without gradient and states.
  [[nodiscard]] optim::packed_spans packed_weights(const partition::cell& c, std::byte* arrays,
                                                   const typed_span& parameter) const noexcept;
  // Reductions are added to what earlier ones of the step left.
  [[nodiscard]] bool repeated() const noexcept {
    return plan.options().reductions > 1 && !plan.options().keep_gradients;
  }

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
  void update_all(float learning_rate);
  [[nodiscard]] bool may_begin(std::size_t cell, std::size_t current) const noexcept;
  void begin_cell(std::size_t cell);
  void update_cell(std::size_t cell, float learning_rate);
  void update_runs(std::size_t cell, const cell_under_way& area, float learning_rate);
  void update_packed(std::size_t cell, const cell_under_way& area, float learning_rate);
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
  void fetch_cell(std::size_t cell, cell_under_way& area);
  void fetch_cell_gradient(const partition::cell& c, cell_under_way& area);
  void spill_cell(std::size_t cell, cell_under_way& area);
  enum class crossing : unsigned char { in, out };  // of what the update reads, writes
  void count_crossing(partition::tier rests, const partition::cell& c, std::uint64_t bytes,
                      crossing way) noexcept;
  [[nodiscard]] bool reads_parameter(const partition::cell& c) const noexcept;
  // The reduction of a bucket was queued: its piece will be spilled once it has landed.
  void take_staging(std::size_t bucket, bool first);
  void spill_later(std::size_t bucket);
  void spill_landed();                      // those that have; does not block
  void spill_gradient(std::size_t bucket);  // blocks until it has landed
  void finish_spill(int unit);              // its gradients' memory is free again
  [[nodiscard]] double* squares_of(std::size_t bucket) const noexcept {
    return squares.as<double>() + bucket;
  }
  void collect_squares(std::size_t bucket);

  void queue_step(float learning_rate);
  // Blocks until it is known what became of the last step. Throws desync where ranks differed.
  void settle();

  // ---- master weights ----
  void initialize(const fill_function& fill);
  void fill_bucket(std::size_t bucket, const fill_function& fill);
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
  [[nodiscard]] const float* read_master(std::size_t bucket, int piece, std::uint64_t at,
                                         std::uint64_t count);
  // What was gathered or kept of the parameters is about to be old.
  void forget_gathered();
  // Calls take on every rank; blocks.
  void visit_master(const take_function& take);

  // Throws invalid_argument, naming the unit, if one is held.
  void expect_none_held(const char* call) const;

  // ---- clocks ----
  // Blocks until everything this rank has queued is done.
  void wait_all();
  // What is queued from now on runs after `what`.
  void wait(const completion& what);
  // How a collective call is queued: after everything queued so far, and after `also`, for which
  // the host does not wait.
  [[nodiscard]] collectives::call call_of(const char* name, int tag, const completion& also = {});
  // What a verb_timer took from `begin` until now, `inner` nanoseconds of it within others; returns
  // all of it.
  std::int64_t note(phase where, int unit, std::int64_t begin, std::int64_t inner);

 private:
  void allocate();
  void place(const partition::allocation& a);
  void find_runs(std::size_t cell);
  void make_additions();
};

// What the plan of `options` is made from.
[[nodiscard]] partition::plan_options plan_options_of(const engine_options& options,
                                                      memory_place place);
[[nodiscard]] partition::layout_options layout_options_of(const engine_options& options,
                                                          int world_size);

// Compares version, options and model with every rank. Throws desync.
void handshake(collectives::communicator& ranks, const partition::layout& layout,
               const engine_options& options);

}  // namespace zero
