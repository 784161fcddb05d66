// A client's smallest program in C++17: one step of a rank of its own, an error of the C++
// interface and one that comes out of the compiled library. It fails by exit code when an answer is
// wrong.

#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>
#include <zero/zero.hpp>

#include <iostream>
#include <vector>

int main() {
  std::vector<float> weights{1, 2, 3, 4, 5, 6, 7}, gradients(7);
  zero::config how;
  how.json(R"({"optimizer": {"type": "SGD", "params": {"weight_decay": 0}}})");
  const auto ranks = zero::ranks::threads(1);
  zero::optimizer optimizer(how, ranks[0]);
  optimizer.attach(zero::segment_of("weights", weights, gradients, 0));
  try {
    optimizer.step(0.5);
    return 1;
  } catch (const zero::refused_call& e) {
    std::cout << "refused as it should be: " << e.what() << '\n';
  }
  optimizer.commit();
  gradients = weights;
  optimizer.step(0.5);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] != 0.5F * static_cast<float>(i + 1)) return 2;
  }
  if (zero::parse_bytes("512MiB") != 512ULL << 20) return 3;
  try {
    static_cast<void>(zero::parse_bytes("512 parsecs"));
    return 4;
  } catch (const zero::invalid_argument& e) {
    std::cout << "refused as it should be: " << e.what() << '\n';
  }
  return 0;
}
