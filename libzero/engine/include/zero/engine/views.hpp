#pragma once
// views: what a sharded_optimizer lends: the parameters of one unit, room for its gradients, all
// parameters. One thread, as the optimizer, which they must not outlive.

#include <zero/base/typed_span.hpp>

#include <cstddef>
#include <memory>

#pragma GCC visibility push(default)
namespace zero {

class sharded_optimizer;

// What a micro-batch is for.
enum class pass : unsigned char {
  train,     // forward, then backward
  evaluate,  // forward only
};

// The full parameters of one unit, readable until this goes out of scope (which is `release`).
// Move-only; must not outlive its sharded_optimizer. Several may be held at once as far as the
// declared order needs; the same unit may be held twice.
class gathered_unit {
 public:
  gathered_unit() noexcept = default;
  gathered_unit(gathered_unit&& other) noexcept;
  gathered_unit& operator=(gathered_unit&& other) noexcept;
  ~gathered_unit();

  // The i-th parameter of the unit as registered. A tied parameter shows its storage, whose unit
  // must be this one.
  [[nodiscard]] const_typed_span parameter(std::size_t i) const;
  void release() noexcept;

 private:
  friend class sharded_optimizer;
  gathered_unit(sharded_optimizer& owner, int unit) noexcept : owner_(&owner), unit_(unit) {}
  sharded_optimizer* owner_ = nullptr;
  int unit_ = -1;
};

// Where the client adds one unit's gradients of this micro-batch. Zero when first taken in a
// micro-batch; taking it again before reduce() gives the same memory with what was added.
// What is taken and not reduced before the next micro-batch or step is forgotten.
class unit_gradients {
 public:
  // The gradient of the i-th parameter of the unit; no data for one that is not trainable.
  [[nodiscard]] typed_span gradient(std::size_t i) const;

 private:
  friend class sharded_optimizer;
  unit_gradients(sharded_optimizer& owner, int unit) noexcept : owner_(&owner), unit_(unit) {}
  sharded_optimizer* owner_;
  int unit_;
};

// All parameters of the model, for sampling or saving. See full_parameters().
class full_parameters_region {
 public:
  full_parameters_region(full_parameters_region&&) noexcept;
  full_parameters_region& operator=(full_parameters_region&&) = delete;
  ~full_parameters_region();

  // Parameter by registration index, in its own dtype.
  [[nodiscard]] const_typed_span parameter(std::size_t index) const;
  // The same to change. What is changed must be followed by write() before the region ends: until
  // then it is this rank's alone, and where parameters rest in full it is already in place.
  [[nodiscard]] typed_span writable(std::size_t index);
  // Makes what rank 0 holds here the parameters (and master weights) of every rank. Collective.
  // Throws invalid_argument while a unit is held.
  void write();

 private:
  friend class sharded_optimizer;
  struct [[gnu::visibility("hidden")]] storage;
  explicit full_parameters_region(std::unique_ptr<storage> s) noexcept;
  std::unique_ptr<storage> storage_;
};

}  // namespace zero
#pragma GCC visibility pop
