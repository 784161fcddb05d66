#pragma once
// rule: which update is made, and with which constants. Plain values.

#include <string>

#pragma GCC visibility push(default)
namespace zero::optim {

enum class algorithm : unsigned char { adamw, adam, sgd, lion, adagrad };

[[nodiscard]] const char* name_of(algorithm a) noexcept;
// The inverse. Throws invalid_argument that lists what is accepted.
[[nodiscard]] algorithm parse_algorithm(const std::string& name);

// Constants of one parameter group. Members an algorithm has no use for are ignored by it.
struct hyper {
  float learning_rate = 1e-3F;
  float weight_decay = 0.0F;  // decoupled for adamw and lion, added to the gradient elsewhere
  float beta1 = 0.9F;         // adamw, adam, lion
  float beta2 = 0.999F;       // adamw, adam; lion's own default is 0.99
  float epsilon = 1e-8F;      // adamw, adam, adagrad (1e-10 there by custom)
  float momentum = 0.9F;      // sgd
  bool nesterov = false;      // sgd
};

// The field's customary constants of an algorithm.
[[nodiscard]] hyper default_hyper(algorithm a) noexcept;

// fp32 state arrays an algorithm keeps per element, in the order the update takes them:
// adamw, adam: exp_avg, exp_avg_sq; sgd: momentum_buffer; lion: exp_avg; adagrad: sum.
[[nodiscard]] int state_count(algorithm a) noexcept;
[[nodiscard]] const char* state_name(algorithm a, int index) noexcept;  // "" past the last

}  // namespace zero::optim
#pragma GCC visibility pop
