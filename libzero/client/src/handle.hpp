#pragma once
// What a zero_optimizer is: the settings of a client, what it has attached and, once that is
// committed, an engine with the form in which the client sees its memory. The functions of the C
// interface work on it, each let in by the gate.

#include "call_gate.hpp"
#include "call_order.hpp"
#include "client_form.hpp"
#include "client_range.hpp"
#include "client_streams.hpp"
#include "granule_pool.hpp"
#include "open_checkpoint.hpp"
#include "ranks_handle.hpp"
#include "segment_list.hpp"
#include "value_staging.hpp"

#include <zero/zero.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace zero::client {

// How often a unit was made ready for use and given back, and what that took the host.
struct visit_cost {
  std::uint64_t count = 0;
  std::uint64_t nanoseconds = 0;
};

// From commit to close. Members are destroyed in reverse.
struct session {
  std::unique_ptr<sharded_optimizer> engine;
  std::unique_ptr<client_form> form;
  std::unique_ptr<call_order> order;
  std::unique_ptr<zero_checkpoint> checkpoints;  // null: none are open
  std::vector<int> units;                        // once each, in the order of a forward
  std::vector<bool> trainable;                   // by unit
  std::vector<slice_place> places;               // by index in the model
  bool updated = false;                          // last_step has something to tell
  visit_cost begins;                             // of units' parameters
  visit_cost ends;
  bool full = false;  // between zero_full_begin and its end
  bool full_here = false;
  bool full_written = false;
};

// Destroys what zero_ranks_environment made.
struct ranks_deleter {
  void operator()(zero_ranks* ranks) const noexcept { zero_ranks_destroy(ranks); }
};

}  // namespace zero::client

struct zero_optimizer {
  zero_optimizer(const zero_config& wanted, zero_ranks* reached_by, bool owned);
  ~zero_optimizer();
  zero_optimizer(const zero_optimizer&) = delete;
  zero_optimizer& operator=(const zero_optimizer&) = delete;

  // Members below are destroyed in reverse.
  std::unique_ptr<zero_ranks, zero::client::ranks_deleter> own_ranks;  // null: the client's
  zero_ranks& ranks;
  zero::client::call_gate gate;
  const zero_config config;
  const std::unique_ptr<zero::optim::processor> host_work;  // null on a device
  zero::page_resource host_blocks;
  zero::client::client_streams streams;
  zero::client::value_staging staging;
  zero::client::range_count counts[2];                   // by ZERO_PARAMETERS, ZERO_GRADIENTS
  std::unique_ptr<zero::client::granule_pool> pools[2];  // likewise; of ranges on a device
  std::vector<std::unique_ptr<zero::client::client_range>> ranges[2];
  zero::client::segment_list segments;
  std::map<int, zero_group> groups;
  std::vector<int> forward_order;
  bool wrapped_flat = false;
  std::string report;
  std::vector<double> summed;     // of all ranks; kept, so that steps allocate nothing
  zero::client::session at_work;  // empty until zero_commit

  [[nodiscard]] zero::collectives::communicator& reach() const noexcept { return ranks.reach(); }
  [[nodiscard]] bool on_device() const noexcept { return ranks.device != nullptr; }
  // Where the client's memory is worked on, and where blocks of it come from.
  [[nodiscard]] zero::optim::processor& work() const noexcept {
    return on_device() ? ranks.device->work() : *host_work;
  }
  [[nodiscard]] zero::memory_resource& blocks() noexcept {
    return on_device() ? ranks.device->memory() : host_blocks;
  }
  [[nodiscard]] bool committed() const noexcept { return at_work.engine != nullptr; }
};

namespace zero::client {

// Throws invalid_argument unless zero_commit has been.
session& at_work(zero_optimizer& z, const char* call);
// Throws invalid_argument if it has.
void expect_open(const zero_optimizer& z, const char* call);

// A slice of a segment, or of that which it is tied to. Throws invalid_argument.
slice_place place_of(const zero_optimizer& z, const session& s, const char* name, int slice,
                     const char* call);
void** checked_out(void** out, const char* call);
// Collective.
void sum_over_ranks(zero_optimizer& z, double* values, std::size_t count);
// Gradients of this micro-batch that nobody said are final are so now.
void finish_micro_batch(session& s, bool last);

template <typename Work>
[[nodiscard]] zero_status enter(zero_optimizer* z, const char* call, Work&& work) noexcept {
  if (z == nullptr) return ZERO_INVALID;
  return z->gate.enter(call, [&] { std::forward<Work>(work)(*z); });
}

// Of a call between commit and close.
template <typename Work>
[[nodiscard]] zero_status enter_work(zero_optimizer* z, const char* call, Work&& work) noexcept {
  if (z == nullptr) return ZERO_INVALID;
  return z->gate.enter(call, [&] { std::forward<Work>(work)(*z, at_work(*z, call)); });
}

// Likewise, where the client's memory is used: after what it has queued on `stream`, and before
// what it queues there next. NULL: the stream of calls that name none.
template <typename Work>
[[nodiscard]] zero_status enter_ordered(zero_optimizer* z, const char* call, void* stream,
                                        Work&& work) noexcept {
  return enter_work(z, call, [&](zero_optimizer& own, session& s) {
    own.streams.arrive(stream);
    std::forward<Work>(work)(own, s);
    own.streams.depart(stream);
  });
}

}  // namespace zero::client
