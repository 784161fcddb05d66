// The public face: argument checks, and reports.

#include "plan_options.hpp"
#include "state.hpp"

#include <zero/base/error.hpp>
#include <zero/engine/planned_rank.hpp>

#include <string>
#include <utility>

namespace zero {
namespace {

void check_unit(const partition::layout& layout, int unit, const char* call) {
  if (unit >= 0 && static_cast<std::size_t>(unit) < layout.model().units.size()) return;
  throw invalid_argument(std::string("[engine.") + call + "] unit " + std::to_string(unit) +
                         " of " + std::to_string(layout.model().units.size()));
}

}  // namespace

gathered_unit::gathered_unit(gathered_unit&& other) noexcept
    : owner_(std::exchange(other.owner_, nullptr)), unit_(other.unit_) {}

gathered_unit& gathered_unit::operator=(gathered_unit&& other) noexcept {
  if (this != &other) {
    release();
    owner_ = std::exchange(other.owner_, nullptr);
    unit_ = other.unit_;
  }
  return *this;
}

gathered_unit::~gathered_unit() { release(); }

void gathered_unit::release() noexcept {
  sharded_optimizer* owner = std::exchange(owner_, nullptr);
  if (owner == nullptr) return;
  try {
    owner->state_->release(unit_);
  } catch (...) {
    // What can fail here is queueing the next gather, and then the communicator is poisoned:
    // whatever the client asks next throws that same error.
  }
}

sharded_optimizer::sharded_optimizer(collectives::communicator& ranks, partition::model_spec model,
                                     engine_options options) {
  auto host = optim::make_host_processor();
  optim::processor& work = *host;
  state_ =
      std::make_unique<state>(ranks, work, std::move(host), std::move(model), std::move(options));
}

sharded_optimizer::sharded_optimizer(collectives::communicator& ranks, optim::processor& work,
                                     partition::model_spec model, engine_options options)
    : state_(std::make_unique<state>(ranks, work, nullptr, std::move(model), std::move(options))) {}

sharded_optimizer::~sharded_optimizer() = default;

void sharded_optimizer::initialize(const fill_function& fill) {
  state_->set_masters(fill, state_fate::cleared, "initialize");
}

void sharded_optimizer::write_parameters(const fill_function& fill) {
  state_->expect_whole();
  state_->settle();
  state_->expect_between_steps("write_parameters");
  state_->set_masters(fill, state_fate::kept, "write_parameters");
}

void sharded_optimizer::visit(access how, const range_function& see) { state_->visit(how, see); }

void sharded_optimizer::swap_with_state(int number) { state_->swap_with_state(number); }

zero::stream& sharded_optimizer::stream() noexcept { return state_->queue; }

void sharded_optimizer::begin_micro_batch(pass kind) { state_->begin(kind); }

gathered_unit sharded_optimizer::gather(int unit) {
  check_unit(state_->layout, unit, "gather");
  state_->gather(unit);
  return {*this, unit};
}

unit_gradients sharded_optimizer::gradients(int unit) {
  check_unit(state_->layout, unit, "gradients");
  state_->take_gradients(unit);
  return {*this, unit};
}

void sharded_optimizer::reduce(int unit) {
  check_unit(state_->layout, unit, "reduce");
  state_->reduce(unit);
}

void sharded_optimizer::announce_step(float learning_rate) { state_->announce(learning_rate); }

void sharded_optimizer::queue_step(float learning_rate) {
  state_->queue_step(learning_rate, nullptr);
}

void sharded_optimizer::queue_step(float learning_rate, const range_function& update) {
  state_->queue_step(learning_rate, &update);
}

double sharded_optimizer::gradient_norm() { return state_->gradient_norm(); }

void sharded_optimizer::skip_next_step() { state_->skip_next_step(); }

void sharded_optimizer::set_group(int group, const parameter_group& constants) {
  state_->set_group(group, constants);
}

step_result sharded_optimizer::last_step() {
  state_->expect_whole();
  state_->settle();
  return state_->last_result;
}

float sharded_optimizer::loss_scale() {
  if (state_->options.loss_scale.dynamic) state_->settle();
  return state_->scale.value();
}

namespace {

const partition::placement& place_of(const sharded_optimizer::state& s, int unit, std::size_t i,
                                     const char* call) {
  const auto& parameters = s.layout.model().units[static_cast<std::size_t>(unit)].parameters;
  if (i >= parameters.size()) {
    throw invalid_argument(std::string("[engine.") + call + "] parameter " + std::to_string(i) +
                           " of " + std::to_string(parameters.size()));
  }
  const auto all = s.layout.parameters();
  const partition::placement& p =
      all[all[s.first_parameter[static_cast<std::size_t>(unit)] + i].storage];
  if (p.unit != unit) {
    throw invalid_argument(std::string("[engine.") + call + "] '" + parameters[i].name +
                           "' is tied to '" + s.layout.parameter(p.index).name +
                           "' of another unit: ask that unit for it");
  }
  return p;
}

}  // namespace

const_typed_span sharded_optimizer::resident(std::size_t parameter) {
  state& s = *state_;
  if (parameter >= s.layout.parameters().size()) {
    throw invalid_argument("[engine.resident] parameter " + std::to_string(parameter) + " of " +
                           std::to_string(s.layout.parameters().size()));
  }
  const partition::placement& p = s.layout.parameters()[s.layout.parameters()[parameter].storage];
  if (p.bucket == partition::no_bucket) return {};
  const bucket_storage& b = s.buckets[p.bucket];
  if (!b.shape->resident || b.plan->gathered) return {};
  s.wait(b.published);
  return s.full_parameters(p.bucket).part(p.offset, p.count);
}

const_typed_span gathered_unit::parameter(std::size_t i) const {
  if (owner_ == nullptr) throw invalid_argument("[engine.parameter] the unit was released");
  const sharded_optimizer::state& s = *owner_->state_;
  const partition::placement& p = place_of(s, unit_, i, "parameter");
  if (p.bucket == partition::no_bucket) return {};
  return s.full_parameters(p.bucket).part(p.offset, p.count);
}

typed_span unit_gradients::gradient(std::size_t i) const {
  const sharded_optimizer::state& s = *owner_->state_;
  const partition::placement& p = place_of(s, unit_, i, "gradient");
  if (p.bucket == partition::no_bucket || !s.buckets[p.bucket].shape->trainable) return {};
  if (!s.units[static_cast<std::size_t>(unit_)].zeroed) {
    throw invalid_argument("[engine.gradient] unit '" +
                           s.layout.model().units[static_cast<std::size_t>(unit_)].name +
                           "' was reduced: ask for its gradients again");
  }
  return s.seen_gradient(p.bucket).part(p.offset, p.count);
}

void sharded_optimizer::stream_master(const take_function& take) {
  stream_state(master_number, take);
}

void sharded_optimizer::stream_state(int number, const take_function& take) {
  const bool first = state_->ranks.rank() == 0;
  if (number != master_number) state_->expect_state(number, "stream_state");
  state_->visit_array(number,
                      [&](std::size_t parameter, std::uint64_t offset, span<const float> values) {
                        if (first) take(parameter, offset, values);
                      });
}

digest128 sharded_optimizer::parameters_digest() {
  hash128 hash;
  state_->visit_array(master_number, [&](std::size_t, std::uint64_t, span<const float> values) {
    hash.update(values.data(), values.size_bytes());
  });
  return hash.digest();
}

const partition::layout& sharded_optimizer::layout() const noexcept { return state_->layout; }
const engine_options& sharded_optimizer::options() const noexcept { return state_->options; }

memory_report sharded_optimizer::memory() const noexcept {
  memory_report report;
  report.predicted = state_->plan.bytes();
  report.predicted_peak = state_->plan.peak();
  report.measured = state_->statistics.current();
  report.measured_peak = state_->statistics.peak();
  return report;
}

seconds_by_phase sharded_optimizer::seconds() const noexcept { return state_->seconds; }
schedule_report sharded_optimizer::schedule() const noexcept { return state_->kept; }
std::uint64_t sharded_optimizer::allocations() const noexcept {
  return state_->statistics.allocations();
}
collectives::traffic sharded_optimizer::traffic() const {
  state_->wait_all();
  return state_->groups.traffic();
}

tier_report sharded_optimizer::tiers() const {
  state_->wait_all();
  tier_report report = state_->tiers.report();
  report.host_to_device += state_->crossed.host_to_device;
  report.device_to_host += state_->crossed.device_to_host;
  report.host_to_device_reached = state_->crossed.host_to_device;
  report.device_to_host_reached = state_->crossed.device_to_host;
  for (const phase p : {phase::fetch, phase::spill}) {
    report.exposed += state_->seconds[static_cast<std::size_t>(p)];
  }
  return report;
}

std::vector<std::string> sharded_optimizer::notes() const {
  state_->wait_all();
  return state_->tiers.notes();
}

void sharded_optimizer::set_trace(trace_recorder* recorder) noexcept {
  state_->trace = recorder;
  state_->trace_slots();
  try {
    state_->wait_all();
    state_->groups.set_trace(recorder);
    if (state_->tiers.any()) state_->tiers.lane().set_trace(recorder);
  } catch (...) {
    // A poisoned communicator has nothing more to record.
  }
}

memory_report sharded_optimizer::predict(const partition::model_spec& model,
                                         const engine_options& options, int world_size,
                                         memory_place place) {
  const planned_rank planned = plan_rank(model, options, world_size, place);
  memory_report report;
  report.predicted = planned.memory.bytes();
  report.predicted_peak = planned.memory.peak();
  return report;
}

partition::fitted sharded_optimizer::fit(const partition::model_spec& model,
                                         const engine_options& options, int world_size,
                                         const partition::free_tiers& may, std::uint64_t budget,
                                         memory_place place) {
  const partition::layout layout(model, layout_options_of(options, world_size));
  return partition::fit(layout, plan_options_of(options, place), budget, may);
}

partition::tier_traffic_plan sharded_optimizer::predict_tier_traffic(
    const partition::model_spec& model, const engine_options& options, int world_size) {
  const planned_rank planned = plan_rank(model, options, world_size);
  return partition::plan_tier_traffic(planned.layout, planned.memory, options.accumulate);
}

partition::communication_plan sharded_optimizer::predict_communication(
    const partition::model_spec& model, const engine_options& options, int world_size) {
  const planned_rank planned = plan_rank(model, options, world_size);
  return partition::plan_communication(planned.layout, planned.memory, options.accumulate);
}

}  // namespace zero
