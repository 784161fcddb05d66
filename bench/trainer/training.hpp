#pragma once
// training: one rank of the reference trainer. The model computes, the sharded optimizer moves;
// this is the loop that joins them, and the example of how a trainer takes libzero.
//
// One object, one thread; every rank makes the same calls. Ranks change only who computes which
// sequences of a step's batch.

#include "trainer/corpus.hpp"
#include "trainer/model.hpp"
#include "trainer/parameter_source.hpp"

#include <zero/base/buffer.hpp>
#include <zero/base/memory_statistics.hpp>
#include <zero/engine/sharded_optimizer.hpp>
#include <zero/optim/processor.hpp>
#include <zero/optim/schedule.hpp>

#include <cstdint>
#include <memory>
#include <vector>

namespace zero::trainer {

struct training_options {
  gpt_config model;
  dtype type = dtype::fp32;  // of parameters and of gradients before they are reduced
  int batch = 4;             // sequences of one step, all ranks and micro-batches together
  int sequence = 0;          // tokens of each
  bool recompute = false;    // keep each block's input only, compute the rest again in backward
  bool offload_activations = false;  // and keep that in host memory; needs recompute
  std::uint64_t seed = 1;            // of the choice of sequences
  optim::learning_rate_schedule schedule;
  engine_options engine;  // forward_order is set by the trainer
};

struct training_step {
  std::uint64_t step = 0;  // from 1; skipped ones count
  double loss = 0.0;       // nats per token, mean over the step's batch
  double gradient_norm = 0.0;
  float learning_rate = 0.0F;
  bool skipped = false;
  double seconds = 0.0;
};

// What the model of one of `ranks` ranks must be made for. Throws invalid_argument where there are
// more ranks than sequences.
[[nodiscard]] gpt_options model_options_of(const training_options& options, int ranks);

class training {
 public:
  // Collective. `computing` is of options.model and model_options_of(options, ranks.size()), and
  // queues its work on the stream of `work`, in the memory of `ranks`. Throws invalid_argument
  // (what the engine refuses), desync, out_of_memory, and what reading `values` throws. `ranks`,
  // `work` and `text` must outlive this.
  training(collectives::communicator& ranks, optim::processor& work,
           std::unique_ptr<model> computing, const training_options& options, const corpus& text,
           parameter_source& values);

  // The next step is number `done` + 1, on that step's text and at its learning rate, as if those
  // before had been made here: after the optimizer's state was loaded, before the first gather.
  void continue_after(std::uint64_t done) noexcept { steps_ = done; }

  // One step. Blocks until its loss and its norm are known; on a device the update may go on.
  training_step step();

  // Continues `tokens` by `count` tokens drawn with the softmax of the logits, by `seed`.
  // Collective; the same on every rank. Keeps at most the last `sequence` tokens in view.
  [[nodiscard]] std::vector<std::int32_t> sample(std::vector<std::int32_t> tokens, int count,
                                                 std::uint64_t seed);

  [[nodiscard]] sharded_optimizer& optimizer() noexcept { return optimizer_; }
  // What a rank tells others in one step, and the bytes this one sends to other hosts.
  [[nodiscard]] partition::communication_volume planned_communication() const;
  [[nodiscard]] std::uint64_t planned_crossing() const;
  [[nodiscard]] partition::tier_bytes planned_tier_traffic() const;  // and moves between tiers
  [[nodiscard]] std::size_t activation_bytes() const noexcept { return model_->activation_bytes(); }
  [[nodiscard]] std::size_t offloaded_bytes() const noexcept { return model_->offloaded_bytes(); }
  // By verb since construction; compute is what steps took beyond them.
  [[nodiscard]] seconds_by_phase seconds() const noexcept;
  // Records forwards and backwards on the compute lane, and the verbs. nullptr stops.
  void set_trace(trace_recorder* recorder) noexcept;

 private:
  // This rank's sequences of micro-batch `micro`: [first, first + count) of the batch.
  struct share {
    int first = 0;
    int count = 0;
  };
  [[nodiscard]] share share_of(int micro) const noexcept;

  void micro_batch(const share& mine);
  void forward(span<const std::int32_t> tokens, int sequences);
  void backward(float scale);
  void block_forward(int layer);
  void block_backward(int layer);
  [[nodiscard]] completion exchange_losses();
  void trace_compute(const char* name, int unit, std::int64_t begin);

  collectives::communicator& ranks_;
  optim::processor& work_;
  training_options options_;
  const corpus& text_;
  sharded_optimizer optimizer_;
  std::unique_ptr<model> model_;
  std::vector<std::int32_t> inputs_;
  std::vector<std::int32_t> targets_;
  memory_statistics statistics_;
  buffer loss_places_;          // a double of every rank, where the model computes
  std::vector<double> losses_;  // the same, on the host
  std::uint64_t steps_ = 0;
  double step_seconds_ = 0.0;
  trace_recorder* trace_ = nullptr;
};

}  // namespace zero::trainer
