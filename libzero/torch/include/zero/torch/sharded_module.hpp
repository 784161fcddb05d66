#pragma once
// sharded_module: the tensors of a module, whose memory is the library's. It attaches and commits
// them, puts memory under them when their unit is gathered and takes it away when it is released,
// and carries gradients over when autograd has made them.
//
// Belongs to one thread at a time, in which backwards run too. Below stage 3 parameters always have
// memory. At stage 3 a unit keeps memory of its own, brought up to date after each step, until it
// is entered for the first time: from then on it has memory only while it is in use. So a module
// that nobody enters costs memory and is never wrong.
//
// Every rank makes the same calls in the same order.

#include <zero/torch/lent_storage.hpp>
#include <zero/torch/options.hpp>
#include <zero/torch/passage.hpp>
#include <zero/torch/units.hpp>
#include <zero/zero.h>

#include <torch/nn/module.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace zero::torch {

class sharded_module final : public passage_listener,
                             public std::enable_shared_from_this<sharded_module> {
 public:
  // Collective: every rank gets the values of rank 0. `ranks` as zero_create takes it.
  static std::shared_ptr<sharded_module> make(::torch::nn::Module& module, const options& how,
                                              zero_ranks* ranks);
  sharded_module(const sharded_module&) = delete;
  sharded_module& operator=(const sharded_module&) = delete;
  // Below stage 3 the module keeps the values it has; at stage 3 its tensors are left empty unless
  // keep_all() was called.
  ~sharded_module();

  [[nodiscard]] zero_optimizer* handle() const noexcept { return z_; }
  [[nodiscard]] const std::vector<found_parameter>& parameters() const noexcept {
    return found_.parameters;
  }
  // The scope of a module of the tree, or -1.
  [[nodiscard]] int scope_of(const ::torch::nn::Module& module) const;
  // Whether a scope has no parameters.
  [[nodiscard]] bool is_bare(int scope) const { return units_in(scope).empty(); }
  [[nodiscard]] bool comes_and_goes() const noexcept { return config_.stage == 3; }

  // ---- forward: stage 3 alone does anything ----
  // The units of the scope have memory until leave(); they may be entered again meanwhile.
  void enter(int scope);
  // An error is thrown by the next call that can.
  void leave(int scope) noexcept;
  // Puts the passages of a backward at the tensors a scope was given or returns.
  void pass(int scope, passage_end end, const std::vector<at::Tensor*>& tensors);
  // The units of the scope have no memory but while they are entered, from now on.
  void release_at_once(int scope);
  // What a scope returned has not passed: its backward would find no weights.
  void blame_unpassed(int scope) noexcept;

  // ---- backward, called by autograd ----
  void backward_enters(int scope) override;
  void backward_leaves(int scope) override;
  void backward_dropped(int scope) noexcept override;
  void gradient_arrives(std::size_t parameter) override;

  // ---- around a step ----
  void micro_batch(int index, int count);
  // Ends what a backward left open: at its end, or after an exception in it. True where there was
  // a backward that had not come to its end.
  bool settle();
  // Whether gradients were made since the last step.
  [[nodiscard]] bool has_gradients() const noexcept { return has_gradients_; }
  // After a step: gradients are gone, and no forward of before has a backward.
  void stepped() noexcept;
  // Throws what a call that could not throw has met.
  void expect_no_fault();
  // Throws where a tensor was given memory that is not the library's.
  void expect_all_ours() const;
  // After a step that changed parameters.
  void parameters_changed();

  // ---- all parameters ----
  void fill_all(int where, int access);
  void empty_all(int where, int access);
  // Gives every tensor memory of its own, and ends what wrap() did to the module. Collective.
  void keep_all();

 private:
  struct tensor_state {
    c10::Storage storage;  // the tensor's, whatever memory it has
    std::size_t bytes = 0;
    c10::DataPtr own;  // memory of its own, while its unit was never entered
    std::shared_ptr<::torch::autograd::Node> accumulator;
    std::uintptr_t hook = 0;
    bool arrived = false;
  };
  struct unit_state {
    std::vector<std::size_t> parameters;
    bool entered_once = false;  // at stage 3: has memory while in use only
    bool has_frozen = false;
    bool unpassed = false;  // left as it was for a backward that nothing announces
    int held = 0;           // enters without their leave
    int backwards_due = 0;  // passages made whose backward has not left
    bool in_backward = false;
    std::size_t missing = 0;  // gradients of this micro-batch
  };

  sharded_module(::torch::nn::Module& module, const options& how);
  void set_prefetch();
  void own_storages();
  void attach();
  void set_forward_order(const options& how);
  void send_values();
  void take_over();
  void listen_to(std::size_t parameter);

  [[nodiscard]] unit_state& unit(int index) { return units_[static_cast<std::size_t>(index)]; }
  [[nodiscard]] const std::vector<int>& units_in(int scope) const {
    return found_.scopes[static_cast<std::size_t>(scope)];
  }
  [[nodiscard]] void* stream() const { return stream_ ? stream_() : nullptr; }
  [[nodiscard]] void* memory_of(std::size_t parameter, bool gradient = false) const;
  void expect_ours(std::size_t parameter) const;
  void note(zero_status status) noexcept;
  void begin_kind();

  void fill(int index);
  void empty(int index) noexcept;
  void fill_parameter(std::size_t index, void* memory);
  void bring_up_to_date(int index);
  void forget_own(int index);
  void enter_unit(int index);
  void leave_unit(int index) noexcept;
  void expect_gradients(int index);
  void begin_backward(int index);
  void end_backward(int index);
  void take_gradient(std::size_t parameter, bool first);
  void adopt(std::size_t parameter);
  void stop_listening() noexcept;
  void keep(std::size_t parameter);

  found_units found_;
  zero_config config_{};
  std::function<void*()> stream_;
  c10::Device device_{c10::DeviceType::CPU};
  zero_optimizer* z_ = nullptr;
  std::vector<tensor_state> tensors_;  // as found_.parameters
  std::vector<unit_state> units_;
  int micro_batch_ = 0;
  int micro_batches_ = 1;
  bool evaluating_ = false;
  bool backward_runs_ = false;
  bool has_gradients_ = false;
  bool kept_ = false;
  std::string fault_;
};

}  // namespace zero::torch

#include <zero/torch/sharded_module_backward.hpp>
#include <zero/torch/sharded_module_forward.hpp>
#include <zero/torch/sharded_module_setup.hpp>
