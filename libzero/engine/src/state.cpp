// Where everything lies: allocation by the plan, and the spans of each bucket.

#include "state.hpp"

#include "plan_options.hpp"

#include <zero/base/error.hpp>
#include <zero/base/quantized.hpp>

#include <algorithm>
#include <string>
#include <utility>

namespace zero {

using partition::purpose;
using partition::reduced_in;
using partition::sharded_over;
using partition::updated_from;

namespace {

place_on_host place_of(const collectives::communicator& ranks) {
  place_on_host place;
  place.rank = ranks.rank();
  place.neighbours = 0;
  for (int rank = 0; rank < ranks.size(); ++rank) {
    if (ranks.host_of(rank) != ranks.host_of(ranks.rank())) continue;
    if (rank == ranks.rank()) place.index = place.neighbours;
    ++place.neighbours;
  }
  return place;
}

// Before anything is allocated.
void check_budget(const partition::memory_plan& plan, std::uint64_t budget) {
  if (budget == 0 || plan.peak() <= budget) return;
  throw out_of_memory("[engine] the memory budget of a rank does not hold what these options need",
                      plan.peak(), budget);
}

}  // namespace

sharded_optimizer::state::state(collectives::communicator& communicator,
                                optim::processor& processor,
                                std::unique_ptr<optim::processor> own_processor,
                                partition::model_spec model, engine_options wanted)
    : ranks(communicator),
      host_work(std::move(own_processor)),
      work(processor),
      queue(work.queue()),
      options(checked(std::move(wanted), model, communicator)),
      layout(std::move(model), layout_options_of(options, communicator.size())),
      plan(layout, plan_options_of(options, work.place())),
      groups((check_budget(plan, options.memory_budget), communicator)),
      buckets(layout.buckets().size()),
      parameter_slots(ranks.memory(), statistics, plan.parameter_slots(), plan.parameter_bytes(),
                      options.addressing, queue),
      gradient_slots(ranks.memory(), statistics, plan.gradient_slots(), plan.gradient_bytes(),
                     options.addressing, queue),
      tiers(plan, options, work, ranks.memory(), statistics, place_of(ranks)),
      scale(options.loss_scale) {
  units.resize(layout.model().units.size());
  slot_reductions.resize(plan.gradient_slots().slot_bytes.size());
  staged_bucket = {no_bucket_staged, no_bucket_staged};
  if (work.place() != ranks.memory().place()) {
    throw invalid_argument(std::string("[engine] the processor does not reach the memory of '") +
                           ranks.backend() + "'");
  }
  handshake(ranks, layout, options);
  groups.connect(plan.groups(), partition::plan_communication(layout, plan, 1));
  allocate();
}

sharded_optimizer::state::~state() {
  // Peers may still read what this rank is about to free, and its own stream may use it.
  try {
    wait_all();
  } catch (const std::exception& why) {
    // Peers may not know: of an error of a group only its ranks do, of a disk's this one alone.
    ranks.abort(why.what());
    wait_each([](const completion& c) {
      try {
        c.wait();
      } catch (...) {
        // Whatever it failed with, it uses no memory any more.
      }
    });
  }
}

template <typename Wait>
void sharded_optimizer::state::wait_each(const Wait& wait_for) {
  wait_for(queue.record());
  for (const unit_progress& u : units) wait_for(u.gathered);
  for (const coded_reduction& c : coded) wait_for(c.moved);
  for (const bucket_storage& b : buckets) {
    wait_for(b.reduced);
    wait_for(b.exchanged);
    wait_for(b.published);
  }
}

void sharded_optimizer::state::wait_all() {
  if (tiers.any()) tiers.lane().drain();
  wait_each([](const completion& c) { c.wait(); });
}

void sharded_optimizer::state::allocate() {
  for (std::size_t i = 0; i < buckets.size(); ++i) {
    buckets[i].shape = &layout.buckets()[i];
    buckets[i].plan = &plan.buckets()[i];
  }
  for (const partition::allocation& a : plan.allocations()) place(a);
  std::size_t parameters = 0;
  for (const partition::unit_spec& unit : layout.model().units) {
    first_parameter.push_back(parameters);
    parameters += unit.parameters.size();
  }
  runs.resize(plan.cells().size());
  parameter_runs.resize(plan.cells().size());
  for (std::size_t i = 0; i < runs.size(); ++i) find_runs(i);
  std::size_t most_runs = 0;
  for (const auto& of_cell : runs) most_runs = std::max(most_runs, of_cell.size());
  packed_runs.reserve(most_runs);
  under_way.resize(static_cast<std::size_t>(plan.tiers().depth));
  for (std::size_t i = 0; i < under_way.size(); ++i) under_way[i].block = i;
  block_of.resize(plan.cells().size());
  early.buckets.reserve(buckets.size());
  early.cells.reserve(plan.cells().size());
  landing.reserve(buckets.size());
  votes_read.resize(host_staging ? static_cast<std::size_t>(ranks.size()) : 0);
  groups_digest = digest_of_groups(options);
  cell_squares.resize(plan.cells().size());
  joined_squares.resize(buckets.size());
  make_additions();
}

void sharded_optimizer::state::place(const partition::allocation& a) {
  const auto make = [&] {
    return buffer(ranks.memory(), statistics, a.account, a.payload, a.padding);
  };
  switch (a.what) {
    case purpose::parameter:
      buckets[a.index].parameter = make();
      break;
    case purpose::gradient:
      buckets[a.index].gradient = make();
      break;
    case purpose::gradient_shard:
      buckets[a.index].gradient_shard = make();
      break;
    case purpose::optimizer:
      buckets[a.index].optimizer = make();
      break;
    case purpose::secondary_parameter:
      buckets[a.index].secondary = make();
      break;
    case purpose::parameter_slot:
    case purpose::gradient_slot:
      break;  // the pools have made theirs
    case purpose::reduced_staging:
      reduced_staging[a.index] = make();
      break;
    case purpose::reduction_codes:
      reduction_codes[a.index] = make();
      coded[a.index].sent = reduction_codes[a.index].as<std::byte>();
      coded[a.index].received = coded[a.index].sent + a.payload / 2;
      break;
    case purpose::gathered_gradient:
      gathered_gradient = make();
      break;
    case purpose::exchange:
      exchange = make();
      break;
    case purpose::staging:
      staging = make();
      break;
    case purpose::squares:
      squares = make();
      break;
    case purpose::gradient_staging:
      gradient_staging[a.index] = make();
      break;
    case purpose::cell_device:
    case purpose::cell_host:
    case purpose::bounce:
    case purpose::tier_records:
      break;  // of the tiers
    case purpose::host_staging:
      host_staging = buffer(work.host_memory(), statistics, a.account, a.payload, a.padding);
      break;
  }
}

optim::step_decision* sharded_optimizer::state::decision_here() const noexcept {
  return exchange.as<optim::step_decision>();
}

double* sharded_optimizer::state::squares_of(std::size_t bucket) const noexcept {
  return squares.as<double>() + bucket;
}

float* sharded_optimizer::state::host_values() const noexcept {
  return host_staging ? host_staging.as<float>() : staging.as<float>();
}

optim::step_vote* sharded_optimizer::state::votes() const noexcept {
  return reinterpret_cast<optim::step_vote*>(exchange.as<std::byte>() + partition::decision_bytes);
}

optim::step_decision* sharded_optimizer::state::decision_read() noexcept {
  if (!host_staging) return &decision;
  return reinterpret_cast<optim::step_decision*>(host_staging.as<std::byte>() +
                                                 partition::staging_bytes);
}

bool sharded_optimizer::state::packed_master(const partition::cell& c) const noexcept {
  return options.formats.master != optim::master_format::fp32 &&
         buckets[c.bucket].shape->type != dtype::fp32;
}

bool sharded_optimizer::state::repeated() const noexcept {
  return plan.options().reductions > 1 && !plan.options().keep_gradients;
}

void sharded_optimizer::state::expect_whole() const {
  if (broken != nullptr) std::rethrow_exception(broken);
}

typed_span sharded_optimizer::state::full_parameters(std::size_t bucket) const noexcept {
  const bucket_storage& b = buckets[bucket];
  if (!b.plan->gathered) {
    return {b.parameter.data(), b.shape->padded, b.shape->type};
  }
  return {parameter_slots.address(b.shape->unit) + b.plan->parameter_slot_offset, b.shape->padded,
          b.shape->type};
}

typed_span sharded_optimizer::state::parameters_over(std::size_t bucket,
                                                     sharded_over over) const noexcept {
  const bucket_storage& b = buckets[bucket];
  const typed_span resting{b.parameter.data(), plan.elements(*b.shape, b.plan->parameters),
                           b.shape->type};
  const int before = held(over).first - held(b.plan->parameters).first;
  return resting.part(static_cast<std::uint64_t>(before) * b.shape->shard,
                      plan.elements(*b.shape, over));
}

typed_span sharded_optimizer::state::secondary_parameters(std::size_t bucket) const noexcept {
  const bucket_storage& b = buckets[bucket];
  return {b.secondary.data(), plan.elements(*b.shape, sharded_over::group), b.shape->type};
}

typed_span sharded_optimizer::state::gathered_codes(std::size_t bucket,
                                                    std::size_t slot) const noexcept {
  const bucket_storage& b = buckets[bucket];
  return {parameter_slots.memory(slot) + b.plan->parameter_codes_offset,
          quantized_bytes(b.shape->padded, b.plan->gather_bits), dtype::byte};
}

typed_span sharded_optimizer::state::full_gradient(std::size_t bucket) const noexcept {
  const bucket_storage& b = buckets[bucket];
  if (b.plan->full_gradient) return {b.gradient.data(), b.shape->padded, b.shape->type};
  return {
      gradient_slots.memory(gradient_slots.slot_of(b.shape->unit)) + b.plan->gradient_slot_offset,
      b.shape->padded, b.shape->type};
}

typed_span sharded_optimizer::state::seen_gradient(std::size_t bucket) const noexcept {
  const bucket_storage& b = buckets[bucket];
  if (b.plan->full_gradient) return full_gradient(bucket);
  return {gradient_slots.address(b.shape->unit) + b.plan->gradient_slot_offset, b.shape->padded,
          b.shape->type};
}

typed_span sharded_optimizer::state::reduced_piece(std::size_t bucket) const noexcept {
  const bucket_storage& b = buckets[bucket];
  const partition::piece_run own = held(sharded_over::world);
  if (b.plan->update == updated_from::around) {
    const int before = own.first - held(b.plan->optimizer).first;
    return reduced_run(bucket).part(static_cast<std::uint64_t>(before) * b.shape->shard,
                                    b.shape->shard);
  }
  switch (b.plan->reduced) {
    case reduced_in::shard:
      return {b.gradient_shard.data(), b.shape->shard, b.plan->reduced_type};
    case reduced_in::own_piece:
      return full_gradient(bucket).part(static_cast<std::uint64_t>(own.first) * b.shape->shard,
                                        b.shape->shard);
    case reduced_in::full_front:
      return {b.gradient.data(), b.shape->shard, b.plan->reduced_type};
    case reduced_in::local:
      return full_gradient(bucket);
    case reduced_in::staged:
      return {gradient_staging[b.staging].data(), b.shape->shard,
              repeated() && !b.first_landing ? dtype::fp32 : b.plan->reduced_type};
    case reduced_in::nowhere:
      break;
  }
  return {};
}

typed_span sharded_optimizer::state::reduced_run(std::size_t bucket) const noexcept {
  const bucket_storage& b = buckets[bucket];
  const std::uint64_t count = update_length(bucket);
  switch (b.plan->reduced) {
    case reduced_in::shard:
      return {b.gradient_shard.data(), count, b.plan->reduced_type};
    case reduced_in::own_piece:
      return full_gradient(bucket).part(
          static_cast<std::uint64_t>(held(b.plan->optimizer).first) * b.shape->shard, count);
    case reduced_in::full_front:
      return {b.gradient.data(), count, b.plan->reduced_type};
    case reduced_in::local:
    case reduced_in::staged:
    case reduced_in::nowhere:
      break;
  }
  return {};
}

std::uint64_t sharded_optimizer::state::update_length(std::size_t bucket) const noexcept {
  const bucket_storage& b = buckets[bucket];
  return plan.elements(*b.shape, b.plan->optimizer);
}

void sharded_optimizer::state::wait(const completion& what) {
  if (what.ready()) {
    queue.wait(what);  // for the error it may carry, and for caches of a device
    return;
  }
  const std::int64_t begin = trace_clock();
  queue.wait(what);
  ranks.progress();  // whatever it was, a disk say: this rank goes on
  seconds[static_cast<std::size_t>(phase::exposed_communication)] +=
      1e-9 * static_cast<double>(trace_clock() - begin);
}

collectives::call sharded_optimizer::state::call_of(const char* name, int tag,
                                                    const completion& also) {
  collectives::call how;
  if (work.place() == memory_place::host && !also.ready()) {
    how.after = also;  // the host's own work was done when it was queued
  } else {
    queue.wait(also);
    how.after = queue.record();
  }
  how.name = name;
  how.tag = tag;
  how.step = step_calls;
  return how;
}

std::int64_t sharded_optimizer::state::note(phase where, int unit, std::int64_t begin,
                                            std::int64_t inner) {
  const std::int64_t end = trace_clock();
  seconds[static_cast<std::size_t>(where)] += 1e-9 * static_cast<double>(end - begin - inner);
  if (trace != nullptr) trace->record(trace_event{name_of(where), lane::compute, unit, begin, end});
  return end - begin;
}

void sharded_optimizer::state::trace_slots() const noexcept {
  if (trace == nullptr) return;
  trace->record(memory_sample{trace_clock(), parameter_slots.in_use() + gradient_slots.in_use(),
                              parameter_slots.reserved() + gradient_slots.reserved()});
}

}  // namespace zero
