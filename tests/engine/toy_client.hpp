#pragma once
// A client small enough to be computed densely in double beside it: four units of awkward sizes
// whose gradients are exact in every dtype plus a fraction of the parameters themselves, so that a
// stale gather or a lost reduction changes every later number.

#include <zero/collectives/communicator.hpp>
#include <zero/engine/sharded_optimizer.hpp>

#include <cstdint>
#include <functional>
#include <vector>

namespace zero::testing {

struct toy_run {
  engine_options options;
  dtype type = dtype::fp32;
  int steps = 4;
  int micro_batches = 1;  // between two steps; options.accumulate must allow it
  float learning_rate = 0.05F;
  int bad_step = -1;              // this step's gradients hold an infinity on the last rank
  bool asks = true;               // what became of every step; otherwise of the last alone
  bool evaluate_between = false;  // a forward without backward after every step
  bool announces = false;         // its steps, before their first micro-batch
  int wide = 1;                   // the second unit's weights are so many times as many
  int first_step = 0;             // `steps` is where it ends
  // Instead of queue_step, where it is there; and before the masters are read at the end.
  std::function<void(sharded_optimizer&, int step)> update = {};
  std::function<void(sharded_optimizer&)> at_end = {};
  // After initialize(), and after every step.
  std::function<void(sharded_optimizer&)> at_start = {};
  std::function<void(sharded_optimizer&, int step)> after_step = {};
};

struct toy_result {
  digest128 digest{};
  std::vector<double> norms;
  std::vector<bool> skipped;
  std::vector<std::vector<float>> master;  // by parameter; rank 0 only
  memory_report memory;
  schedule_report schedule;
  collectives::traffic traffic;                   // of the communicator
  collectives::traffic traffic_after_first_step;  // of the optimizer, groups of ranks included
  collectives::traffic traffic_at_end;
  std::uint64_t allocations_after_first_step = 0;
  std::uint64_t allocations_at_end = 0;
};

[[nodiscard]] partition::model_spec toy_model(dtype type, int wide = 1);

// The initial value of an element, and this rank's gradient of it given its stored value.
[[nodiscard]] float toy_value(std::size_t parameter, std::uint64_t element);
[[nodiscard]] double toy_gradient(int rank, int step, int micro, std::size_t parameter,
                                  std::uint64_t element, double stored);

// One rank's training.
[[nodiscard]] toy_result train_toy(collectives::communicator& ranks, const toy_run& run);
// The same where `work` works: `launch` queues a piece of the client's own work on its stream. The
// piece is handed `elements`, in memory that the host reaches; what it writes goes back to them.
enum class element_use { look, change };
using piece_of_work = std::function<void(typed_span)>;
using launch_function =
    std::function<void(element_use use, typed_span elements, piece_of_work piece)>;
[[nodiscard]] toy_result train_toy(collectives::communicator& ranks, optim::processor& work,
                                   const launch_function& launch, const toy_run& run);

// The same in double, all ranks together, without the library. Ends with the master weights and
// the norm of every step.
struct dense_result {
  std::vector<std::vector<double>> master;
  std::vector<double> norms;
};
[[nodiscard]] dense_result train_dense(const toy_run& run, int world);

}  // namespace zero::testing
