// The placed form: parameters and gradients are where the engine has them; nothing is copied.

#include "client_form.hpp"

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
  [[nodiscard]] void* parameter(const slice_place& of) override;
  [[nodiscard]] void* gradient(const slice_place& of) override;

 private:
  [[nodiscard]] static std::size_t at(int unit) noexcept { return static_cast<std::size_t>(unit); }
  void take_resting_gradients();
  [[nodiscard]] std::string name_of(const slice_place& of) const {
    return parts_.segments.slice_name(of.segment, of.slice);
  }

  form_parts parts_;
  std::vector<gathered_unit> held_;               // by unit
  std::vector<bool> taken_;                       // its gradients, in this micro-batch
  std::vector<std::vector<const void*>> stable_;  // by unit and position; where addresses stay
};

void placed::begin() {
  parts_.engine.initialize([](std::size_t, std::uint64_t, span<float> values) {
    std::fill(values.begin(), values.end(), 0.0F);
  });
  if (parts_.stable || parts_.memory.parameters_stay()) {
    const auto& units = parts_.engine.layout().model().units;
    stable_.resize(units.size());
    for (const int unit : parts_.order) {
      const gathered_unit gathered = parts_.engine.gather(unit);
      stable_[at(unit)].resize(units[at(unit)].parameters.size(), nullptr);
      for (std::size_t i = 0; i < stable_[at(unit)].size(); ++i) {
        if (!units[at(unit)].parameters[i].tied_to.empty()) continue;
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

void* placed::parameter(const slice_place& of) {
  const auto& stable = stable_.empty() ? std::vector<const void*>{} : stable_[at(of.unit)];
  if (!stable.empty()) return const_cast<void*>(stable[of.position]);
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
