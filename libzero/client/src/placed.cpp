// The placed form: parameters and gradients are where the engine has them; nothing is copied.

#include "client_form.hpp"
#include "kept_values.hpp"

#include <zero/base/buffer.hpp>
#include <zero/base/error.hpp>

#include <algorithm>
#include <string>
#include <utility>

namespace zero::client {
namespace {

class placed final : public client_form {
 public:
  explicit placed(const form_parts& parts)
      : parts_(parts), held_(parts.order.size()), taken_(parts.order.size(), false) {}

  void begin() override;
  void begin_micro_batch(pass kind) override;
  void make_whole(int unit) override;
  void release(int unit) override;
  void begin_gradients(int unit) override;
  void end_gradients(int unit, bool last) override;
  void gradient_bound(std::size_t segment) override;
  void stepped(bool changed) override;
  void full_begin(bool here) override;
  void full_end(bool here, bool keep) override;
  [[nodiscard]] void* parameter(const slice_place& of) override;
  [[nodiscard]] void* gradient(const slice_place& of) override;

 private:
  [[nodiscard]] static std::size_t at(int unit) noexcept { return static_cast<std::size_t>(unit); }
  [[nodiscard]] buffer block_of(std::size_t bytes) {
    return {parts_.blocks, beside_, memory_account::buffers, bytes};
  }
  void take_resting_gradients();
  [[nodiscard]] const std::vector<partition::parameter_spec>& parameters_of(int unit) const {
    return parts_.engine.layout().model().units[at(unit)].parameters;
  }
  void spread(int unit, std::size_t first, kept_values& kept);
  [[nodiscard]] std::string name_of(const slice_place& of) const {
    return parts_.segments.slice_name(of.segment, of.slice);
  }

  form_parts parts_;
  std::vector<gathered_unit> held_;        // by unit
  std::vector<bool> taken_;                // its gradients, in this micro-batch
  memory_statistics beside_;               // of what follows, which nobody asks for
  std::vector<std::vector<buffer>> full_;  // by unit and position; none on ranks without them
  std::vector<std::vector<const void*>> stable_;  // by unit and position; where addresses stay
};

void placed::begin() {
  parts_.engine.initialize([](std::size_t, std::uint64_t, span<float> values) {
    std::fill(values.begin(), values.end(), 0.0F);
  });
  if (parts_.stable || parts_.memory.parameters_stay()) {
    stable_.resize(parts_.order.size());
    for (const int unit : parts_.order) {
      const gathered_unit gathered = parts_.engine.gather(unit);
      stable_[at(unit)].resize(parameters_of(unit).size(), nullptr);
      for (std::size_t i = 0; i < stable_[at(unit)].size(); ++i) {
        if (!parameters_of(unit)[i].tied_to.empty()) continue;
        stable_[at(unit)][i] = gathered.parameter(i).data;
      }
    }
  }
  begin_micro_batch(pass::train);
}

// Where gradients rest in full, a client may have their addresses from before: they are made ready
// for it without being asked for.
void placed::take_resting_gradients() {
  if (!parts_.memory.gradients_stay()) return;
  for (const int unit : parts_.order) begin_gradients(unit);
}

// To begin forgets gradients that were taken: an evaluation in their midst does not.
void placed::begin_micro_batch(pass kind) {
  const bool open = std::find(taken_.begin(), taken_.end(), true) != taken_.end();
  if (kind == pass::evaluate && open) return;
  parts_.engine.begin_micro_batch(kind);
  taken_.assign(taken_.size(), false);
  if (kind == pass::train) take_resting_gradients();
}

void placed::make_whole(int unit) { held_[at(unit)] = parts_.engine.gather(unit); }

void placed::release(int unit) { held_[at(unit)].release(); }

void placed::begin_gradients(int unit) {
  static_cast<void>(parts_.engine.gradients(unit));
  taken_[at(unit)] = true;
}

// The engine itself keeps them until the boundary, where that was asked for.
void placed::end_gradients(int unit, bool last) {
  static_cast<void>(last);
  parts_.engine.reduce(unit);
  taken_[at(unit)] = false;
}

void placed::gradient_bound(std::size_t segment) {
  throw invalid_argument("[client.bind_gradient] segment '" + parts_.segments.all()[segment].name +
                         "' is placed by the library, and so is its gradient");
}

void placed::stepped(bool changed) {
  taken_.assign(taken_.size(), false);
  if (changed && parts_.memory.parameters_stay()) {  // nobody need gather to see what is new
    for (const int unit : parts_.order) parts_.engine.gather(unit).release();
    parts_.engine.begin_micro_batch(pass::train);
  }
  take_resting_gradients();
}

// ---- all of it ----

void placed::full_begin(bool here) {
  if (parts_.memory.parameters_stay()) return;
  parts_.engine.begin_micro_batch(pass::evaluate);  // each unit once
  full_.resize(parts_.order.size());
  for (const int unit : parts_.order) {
    const gathered_unit gathered = parts_.engine.gather(unit);
    if (!here) continue;
    for (std::size_t i = 0; i < parameters_of(unit).size(); ++i) {
      full_[at(unit)].emplace_back();
      if (!parameters_of(unit)[i].tied_to.empty()) continue;
      const const_typed_span from = gathered.parameter(i);
      full_[at(unit)].back() = block_of(from.bytes());
      parts_.work.copy(from, {full_[at(unit)].back().data(), from.count, from.type});
    }
  }
}

// `first` is the registration index of the unit's first parameter.
void placed::spread(int unit, std::size_t first, kept_values& kept) {
  for (std::size_t i = 0; i < parameters_of(unit).size(); ++i) {
    const partition::parameter_spec& p = parameters_of(unit)[i];
    const std::uint64_t count = partition::element_count(p.shape);
    if (!p.tied_to.empty() || count == 0) continue;
    buffer received;
    typed_span values{nullptr, count, p.type};
    if (parts_.memory.parameters_stay()) {
      values.data = const_cast<void*>(stable_[at(unit)][i]);
    } else if (!full_[at(unit)].empty()) {
      values.data = full_[at(unit)][i].data();
    } else {
      received = block_of(values.bytes());
      values.data = received.data();
    }
    spread_values(parts_, values, unit);
    kept.keep(first + i, values, parts_.staging);
    if (received) parts_.work.queue().record().wait();  // before it is freed
  }
}

void placed::full_end(bool here, bool keep) {
  static_cast<void>(here);
  if (keep) {
    kept_values kept(
        runs_of(parts_.engine.layout(), parts_.engine.options().policy, parts_.ranks.rank()));
    std::size_t first = 0;
    for (int unit = 0; at(unit) < parts_.order.size(); ++unit) {
      spread(unit, first, kept);
      first += parameters_of(unit).size();
    }
    parts_.engine.visit(access::read,
                        [&](const state_range& range) { kept.prefer(range, parts_.staging); });
    parts_.engine.write_parameters([&](std::size_t index, std::uint64_t offset,
                                       span<float> values) { kept.fill(index, offset, values); });
  }
  parts_.work.queue().record().wait();  // the client may have been using it
  full_.clear();
  parts_.engine.begin_micro_batch(pass::train);
  stepped(keep);
}

// ---- addresses ----

void* placed::parameter(const slice_place& of) {
  if (!full_.empty()) {
    if (!full_[at(of.unit)].empty()) return full_[at(of.unit)][of.position].data();
    throw invalid_argument("[client.parameter] '" + name_of(of) +
                           "' is nowhere: this rank did not ask for all parameters");
  }
  if (!stable_.empty()) return const_cast<void*>(stable_[at(of.unit)][of.position]);
  try {
    return const_cast<void*>(held_[at(of.unit)].parameter(of.position).data);
  } catch (const invalid_argument&) {
    throw invalid_argument("[client.parameter] '" + name_of(of) + "' is nowhere: unit " +
                           std::to_string(of.unit) + " is not between a begin and its end");
  }
}

void* placed::gradient(const slice_place& of) {
  if (!taken_[at(of.unit)]) begin_gradients(of.unit);
  return parts_.engine.gradients(of.unit).gradient(of.position).data;
}

}  // namespace

std::unique_ptr<client_form> make_placed(const form_parts& parts) {
  return std::make_unique<placed>(parts);
}

}  // namespace zero::client
