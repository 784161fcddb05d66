#pragma once
// A model in C++ whose gradients are known without a model: of element i, on rank r, at step t they
// are (w_i - goal_i) * (r + 1) + t. Two tensors: "first" [1501] in unit 0, and "stack" [2, 703],
// whose slices are units 1 and 2. Beside it the same as one plain loop in double.

#include <zero/zero.hpp>

#include <cstddef>
#include <functional>
#include <vector>

namespace zero::test {

constexpr std::size_t elements_of_first = 1501;
constexpr std::size_t elements_of_slice = 703;
constexpr std::size_t elements = elements_of_first + 2 * elements_of_slice;
constexpr int units = 3;

// First element of a unit, and how many it has.
[[nodiscard]] std::size_t begin_of(int unit);
[[nodiscard]] std::size_t count_of(int unit);
[[nodiscard]] double initial(std::size_t element);
[[nodiscard]] double goal(std::size_t element);

[[nodiscard]] config config_of(int stage, int rule);

// Attached and committed, in ranges of `z`.
class model {
 public:
  explicit model(optimizer& z);

  // Forward and backward of one step, each unit in its scope.
  void gradients(int step);
  void backward(int unit, int step);
  void forward(int unit);
  [[nodiscard]] std::vector<float> whole();

 private:
  optimizer* z_;
  span<float> weights_;
  span<float> gradients_;
  std::vector<float> seen_;  // weights as the forward saw them
};

// What a plain update makes of weight, mean gradient and one state; once for each element.
using plain_rule = std::function<void(double& weight, double gradient, double& state)>;
[[nodiscard]] std::vector<double> plain(int ranks, int steps, const plain_rule& rule);

// `body` on every rank, each a thread, whatever the others throw. [r] is what rank r threw.
std::vector<std::exception_ptr> on_ranks(int count, const std::function<void(ranks&)>& body);
// The same where none may throw.
void everywhere(int count, const std::function<void(ranks&)>& body);

}  // namespace zero::test
