#pragma once
/**
 * @file
 * zero::optimizer: a sharded optimizer behind the memory and the kernels that a trainer has. What
 * each call does, when it may be made and whether it is collective stands in <zero/zero.h> and
 * <zero/state.h>; here errors are exceptions and what is begun ends with its scope.
 *
 * One thread at a time. Every rank makes the same calls in the same order. Every call may throw
 * client_error or a class derived from it.
 */

#include <zero/base/span.hpp>
#include <zero/carried.hpp>
#include <zero/config.hpp>
#include <zero/ranks.hpp>
#include <zero/unit_scope.hpp>
#include <zero/update_range.hpp>

#include <memory>
#include <string>
#include <utility>

#pragma GCC visibility push(default)
namespace zero {

/** A segment of fp32 memory; further members may be set before it is attached. Empty spans: placed
 *  by the library (then `count` is to be set) or bound later. `name` must live until attach(). */
[[nodiscard]] inline zero_segment segment_of(const char* name, span<float> parameter,
                                             span<float> gradient, int unit) noexcept {
  zero_segment result{};
  result.name = name;
  result.parameter = parameter.data();
  result.gradient = gradient.data();
  result.count = parameter.size();
  result.dtype = ZERO_FP32;
  result.unit = unit;
  return result;
}

class optimizer {
 public:
  /** Configuration and ranks from the environment. */
  optimizer() : optimizer(config().environment(), nullptr) {}
  /** Ranks from the environment. */
  explicit optimizer(const zero_config& how) : optimizer(how, nullptr) {}
  /** `among` must outlive this. */
  optimizer(const zero_config& how, const ranks& among) : optimizer(how, among.get()) {}
  optimizer(const zero_config& how, const ranks&& among) = delete;
  /** What was moved from may be assigned to or destroyed. */
  optimizer(optimizer&&) noexcept = default;
  optimizer& operator=(optimizer&& other) noexcept {
    if (this != &other) close();
    of_ = std::move(other.of_);
    return *this;
  }
  ~optimizer() { close(); }

  /** Frees what is the library's, ranges included; the scopes that are open end. Returns the first
   *  error there was. */
  zero_status close() noexcept { return of_ ? of_->close() : ZERO_OK; }
  /** For calls of the C interface. */
  [[nodiscard]] zero_optimizer* get() const noexcept { return of_ ? of_->get() : nullptr; }
  void on_error(zero_error_function function, void* user) { zero_on_error(get(), function, user); }
  [[nodiscard]] int rank() const noexcept { return zero_rank(get()); }
  [[nodiscard]] int size() const noexcept { return zero_size(get()); }
  [[nodiscard]] int local_rank() const noexcept { return zero_local_rank(get()); }
  /** As it came to be. */
  [[nodiscard]] config configuration() const {
    config result;
    expect(zero_get_config(get(), &result));
    return result;
  }

  /** Of calls that name none; see zero_use_stream. */
  void use_stream(void* stream) { expect(zero_use_stream(ready(), stream)); }

  // ---- attaching ----
  /** `count` elements of memory at one address: what is ZERO_PARAMETERS or ZERO_GRADIENTS. */
  template <typename T>
  [[nodiscard]] span<T> range(int what, std::size_t count) {
    void* const memory = zero_range(ready(), what, count * sizeof(T));
    if (memory == nullptr) {
      const zero_status first = zero_first_error(get());
      throw_client_error(first != ZERO_OK ? first : ZERO_INVALID, zero_last_error(get()),
                         first != ZERO_OK);
    }
    return {static_cast<T*>(memory), count};
  }
  void attach(span<const zero_segment> segments) {
    expect(zero_attach(ready(), segments.data(), segments.size(), sizeof(zero_segment)));
  }
  void attach(const zero_segment& segment) { attach(span<const zero_segment>(&segment, 1)); }
  void bind_gradient(const std::string& name, void* gradient) {
    expect(zero_bind_gradient(ready(), name.c_str(), gradient));
  }
  /** constants.struct_size is filled in. */
  void set_group(int group, zero_group constants) {
    constants.struct_size = sizeof constants;
    expect(zero_set_group(ready(), group, &constants));
  }
  void forward_order(span<const std::int32_t> units) {
    expect(zero_forward_order(ready(), units.data(), units.size()));
  }
  void commit() { expect(zero_commit(ready())); }
  void wrap_flat(void* parameters, void* gradients, span<const std::size_t> counts,
                 std::size_t stacked_begin, std::size_t stacked_end, int layers) {
    expect(zero_wrap_flat(ready(), parameters, gradients, counts.data(), counts.size(),
                          stacked_begin, stacked_end, layers));
  }
  void bind_gradients_flat(void* gradients) {
    expect(zero_bind_gradients_flat(ready(), gradients));
  }
  /** Placed by the library: valid while the unit is whole. T is what the segment's dtype says. */
  template <typename T = float>
  [[nodiscard]] T* parameter(const std::string& name, int slice = 0) {
    void* out = nullptr;
    expect(zero_parameter(ready(), name.c_str(), slice, &out));
    return static_cast<T*>(out);
  }
  template <typename T = float>
  [[nodiscard]] T* gradient(const std::string& name, int slice = 0) {
    void* out = nullptr;
    expect(zero_gradient(ready(), name.c_str(), slice, &out));
    return static_cast<T*>(out);
  }

  // ---- one micro-batch ----
  void micro_batch(int index, int count) { expect(zero_micro_batch(ready(), index, count)); }
  void evaluate() { expect(zero_evaluate(ready())); }
  unit_scope forward(int unit, void* stream = nullptr) {
    expect(zero_forward_begin(ready(), unit, stream));
    return {of_, unit_scope::kind::forward, unit, stream};
  }
  unit_scope backward(int unit, void* stream = nullptr) {
    expect(zero_backward_begin(ready(), unit, stream));
    return {of_, unit_scope::kind::backward, unit, stream};
  }
  /** All parameters are whole, on all ranks or rank 0, until the scope ends. */
  unit_scope full(int where = ZERO_ON_ALL, int access = ZERO_READ) {
    expect(zero_full_begin(ready(), where, access));
    return {of_, unit_scope::kind::full, -1, nullptr};
  }

  // ---- one step ----
  void step(double learning_rate) { expect(zero_step(ready(), learning_rate, nullptr)); }
  /** Returns the mean of the loss over ranks. */
  double step(double learning_rate, double loss) {
    expect(zero_step(ready(), learning_rate, &loss));
    return loss;
  }
  /** With ZERO_OWN_RULE: `rule(update_range)` is called on every range of this rank, in order. What
   *  it throws is thrown on, and has poisoned the optimizer. */
  template <typename Rule>
  void step_with(double learning_rate, Rule&& rule) {
    shown(rule, [&](zero_update_function call, void* user) {
      return zero_step_with(ready(), learning_rate, call, user, nullptr);
    });
  }
  template <typename Rule>
  double step_with(double learning_rate, double loss, Rule&& rule) {
    shown(rule, [&](zero_update_function call, void* user) {
      return zero_step_with(ready(), learning_rate, call, user, &loss);
    });
    return loss;
  }
  [[nodiscard]] zero_step_result last_step() {
    zero_step_result result{};
    result.struct_size = sizeof result;
    expect(zero_last_step(ready(), &result));
    return result;
  }
  [[nodiscard]] double gradient_norm() { return number(zero_gradient_norm); }
  void skip() { expect(zero_skip(ready())); }
  // For the deadlines of the others: this rank moves. Any thread.
  void alive() { expect(zero_alive(ready())); }
  [[nodiscard]] double loss_scale() { return number(zero_loss_scale); }

  // ---- weights and states ----
  /** `look(update_range)` on every range of this rank; ZERO_READ, or with ZERO_WRITE to change. */
  template <typename Look>
  void visit(int access, Look&& look) {
    shown(look, [&](zero_update_function call, void* user) {
      return zero_visit(ready(), access, call, user);
    });
  }
  void swap(int state) { expect(zero_swap(ready(), state)); }
  /** `out` has the elements of a slice; with ZERO_ON_RANK_0 it may be empty elsewhere. */
  void read_state(const std::string& name, int slice, int state, span<float> out,
                  int where = ZERO_ON_ALL) {
    expect(zero_read_state(ready(), name.c_str(), slice, state, where, out.data()));
  }
  void write_state(const std::string& name, int slice, int state, span<const float> values) {
    expect(zero_write_state(ready(), name.c_str(), slice, state, values.data()));
  }
  [[nodiscard]] std::string digest() {
    char out[33] = {};
    expect(zero_digest(ready(), out));
    return out;
  }
  void sum(span<double> values) { expect(zero_sum(ready(), values.data(), values.size())); }

  // ---- reports ----
  [[nodiscard]] zero_memory memory() {
    zero_memory result{};
    result.struct_size = sizeof result;
    expect(zero_get_memory(ready(), &result));
    return result;
  }
  [[nodiscard]] std::string report_json() {
    const char* const text = zero_report_json(ready());
    if (text == nullptr) throw_client_error(ZERO_FAILURE, zero_last_error(get()));
    return text;
  }

 private:
  friend class checkpoint_directory;
  optimizer(const zero_config& how, zero_ranks* among) {
    zero_optimizer* z = nullptr;
    zero_message why{};
    expect_ok(zero_create(&how, among, &z, &why), why);
    of_ = std::make_shared<detail::open_handle>(z);
  }
  // What a destructor has kept is thrown before anything is begun.
  [[nodiscard]] zero_optimizer* ready() const {
    of_->throw_kept();
    return of_->get();
  }
  void expect(zero_status status) const { of_->expect(status); }
  double number(zero_status (*ask)(zero_optimizer*, double*)) {
    double out = 0;
    expect(ask(ready(), &out));
    return out;
  }
  template <typename Function, typename Call>
  void shown(Function& function, Call&& call) {
    detail::carried<Function> through(function);
    const zero_status status = call(&detail::carried<Function>::call, &through);
    through.rethrow();
    expect(status);
  }

  std::shared_ptr<detail::open_handle> of_;
};

}  // namespace zero
#pragma GCC visibility pop
