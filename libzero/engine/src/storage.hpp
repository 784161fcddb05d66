#pragma once
// What a sharded_optimizer keeps of each bucket, unit, cell and reduction: memory, and what is
// under way in it. Plain values; the verbs give them meaning.

#include <zero/base/buffer.hpp>
#include <zero/base/completion.hpp>
#include <zero/base/trace.hpp>
#include <zero/base/typed_span.hpp>
#include <zero/engine/own_rule.hpp>
#include <zero/engine/reports.hpp>
#include <zero/offload/tier_lane.hpp>
#include <zero/optim/decision.hpp>
#include <zero/optim/packed.hpp>
#include <zero/partition/layout.hpp>
#include <zero/partition/memory_plan.hpp>
#include <zero/partition/tier_traffic.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <vector>

namespace zero {

// A run of elements that share a parameter group, in the arrays an update walks.
struct update_run {
  std::uint64_t offset = 0;  // elements
  std::uint64_t count = 0;
  int group = 0;
};

// A run of elements of one parameter there.
struct parameter_run {
  std::uint64_t offset = 0;
  std::uint64_t count = 0;
  std::size_t parameter = 0;           // by registration
  std::uint64_t parameter_offset = 0;  // of the first element, in the parameter
};

// What cells are walked for: it says what is brought, and whether buckets are published.
// save: as read, but only of the piece this rank owns. replace: nothing is brought.
enum class errand : unsigned char { step, write, read, save, replace };
// Of what crosses between tiers: what an update reads, writes.
enum class crossing : unsigned char { in, out };
// Of the states when master weights are set.
enum class state_fate : unsigned char { cleared, kept };
// Of the master weights among a cell's arrays, whose states are numbered from 0.
inline constexpr int master_number = -1;

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
  bool early = false;              // was given to the update before the step
};

// A cell of the update on its way, in a block of its own.
struct cell_under_way {
  std::size_t block = 0;           // which
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

// Cells that are updated before the step, in the order in which their gradients were final.
struct early_updates {
  bool announced = false;  // a rate, that is
  bool on = false;         // and nothing has to be known first
  float learning_rate = 0.0F;
  optim::step_decision decision;     // the step's, but for what is not known yet
  std::vector<std::size_t> buckets;  // reduced for the last time, until that has landed
  std::vector<std::size_t> cells;
  std::size_t begun = 0;  // of cells
  std::size_t done = 0;
  bool in_step = false;  // the last step had some
};

// Where a rank is in its step. Of what it holds nothing is here.
struct step_progress {
  std::vector<unit_progress> units;
  std::vector<std::size_t> first_parameter;  // registration index of each unit's first
  std::vector<completion> slot_reductions;   // by gradient slot: the reduction that reads it
  std::array<std::size_t, 2> staged_bucket;  // by staging: the bucket not yet landed from there
  std::size_t next_staging = 0;
  std::array<coded_reduction, 2> coded;
  std::size_t next_coded = 0;                              // the one queued longer ago, or free
  std::vector<std::vector<update_run>> runs;               // by cell; offsets from where it begins
  std::vector<std::vector<parameter_run>> parameter_runs;  // by cell, likewise
  const range_function* own_rule = nullptr;                // the client's rule, in a step
  std::vector<optim::update_run> packed_runs;              // of the cell at hand
  std::vector<cell_under_way> under_way;                   // one a block
  std::vector<std::size_t> block_of;                       // by cell, that has been begun
  std::size_t next_block = 0;
  early_updates early;
  std::exception_ptr broken;         // ranks stepped otherwise after cells had been updated
  bool half_written = false;         // or shards could not be filled: write_shards mends it
  std::vector<std::size_t> landing;  // buckets to be spilled, in order of reduction
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

  bool norm_taken = false;                   // since the last step
  bool leave_out = false;                    // this rank's vote on the next
  std::uint32_t groups_digest = 0;           // of the constants of all groups
  std::vector<optim::step_vote> votes_read;  // where the host does not reach them

  std::uint64_t steps = 0;        // that were applied
  std::uint64_t taken = 0;        // and those that were not
  std::int64_t step_calls = 0;    // what operations are compared by: not known later, as steps is
  completion decided;             // of reading back the decision of the last step
  bool undecided = false;         // that has not been waited for
  optim::step_decision decision;  // as read back, where there is no host_staging
  step_result last_result;
  schedule_report kept;
  seconds_by_phase seconds{};
  std::int64_t* nested = nullptr;  // nanoseconds within the innermost verb_timer
  trace_recorder* trace = nullptr;
};

}  // namespace zero
