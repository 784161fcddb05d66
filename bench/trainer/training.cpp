#include "trainer/training.hpp"

#include "trainer/batches.hpp"
#include "trainer/counter_random.hpp"

#include <zero/base/error.hpp>
#include <zero/collectives/crossing.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

namespace zero::trainer {
namespace {

engine_options engine_of(const training_options& options) {
  engine_options engine = options.engine;
  engine.forward_order = forward_order(options.model);
  return engine;
}

// Piece `index` of `total` cut into `pieces` pieces that differ by at most one.
int begin_of_piece(int total, int pieces, int index) {
  return total / pieces * index + std::min(total % pieces, index);
}

}  // namespace

gpt_options model_options_of(const training_options& options, int ranks) {
  if (options.batch < ranks) {
    throw invalid_argument("a batch of " + std::to_string(options.batch) + " sequences for " +
                           std::to_string(ranks) + " ranks: every rank needs one");
  }
  const int per_rank = (options.batch + ranks - 1) / ranks;
  gpt_options storage;
  storage.batch = (per_rank + options.engine.accumulate - 1) / options.engine.accumulate;
  storage.sequence = options.sequence;
  storage.storage = options.type;
  storage.recompute = options.recompute ? recomputation::block : recomputation::none;
  storage.offload = options.offload_activations;
  return storage;
}

training::training(collectives::communicator& ranks, optim::processor& work,
                   std::unique_ptr<model> computing, const training_options& options,
                   const corpus& text, parameter_source& values)
    : ranks_(ranks),
      work_(work),
      options_(options),
      text_(text),
      optimizer_(ranks, work, model_of(options.model, options.type), engine_of(options)),
      model_(std::move(computing)),
      loss_places_(ranks.memory(), statistics_, memory_account::buffers,
                   static_cast<std::size_t>(ranks.size()) * sizeof(double)),
      losses_(static_cast<std::size_t>(ranks.size())) {
  optimizer_.initialize([&](std::size_t parameter, std::uint64_t offset, span<float> out) {
    values.read(optimizer_.layout().parameter(parameter).name, offset, out);
  });
}

training::share training::share_of(int micro) const noexcept {
  const int first = begin_of_piece(options_.batch, ranks_.size(), ranks_.rank());
  const int count = begin_of_piece(options_.batch, ranks_.size(), ranks_.rank() + 1) - first;
  const int pieces = options_.engine.accumulate;
  const int begin = begin_of_piece(count, pieces, micro);
  return {first + begin, begin_of_piece(count, pieces, micro + 1) - begin};
}

training_step training::step() {
  const std::int64_t begin = trace_clock();
  ++steps_;
  work_.clear({loss_places_.data(), loss_places_.size(), dtype::byte});
  optimizer_.announce_step(options_.schedule.at(steps_));
  for (int micro = 0; micro < options_.engine.accumulate; ++micro) micro_batch(share_of(micro));
  // Queued before the step, whose own exchange comes after it, so that nobody waits for it.
  const completion exchanged = exchange_losses();
  training_step done;
  done.step = steps_;
  done.learning_rate = options_.schedule.at(steps_);
  optimizer_.queue_step(done.learning_rate);
  const step_result updated = optimizer_.last_step();
  done.gradient_norm = updated.gradient_norm;
  done.skipped = updated.skipped;
  model_->fetch(exchanged, loss_places_.data(), losses_.data(), losses_.size() * sizeof(double));
  done.loss = std::accumulate(losses_.begin(), losses_.end(), 0.0) /
              (static_cast<double>(options_.batch) * options_.sequence);
  done.seconds = 1e-9 * static_cast<double>(trace_clock() - begin);
  step_seconds_ += done.seconds;
  return done;
}

void training::micro_batch(const share& mine) {
  const auto length = static_cast<std::size_t>(options_.sequence);
  inputs_.resize(length * static_cast<std::size_t>(mine.count));
  targets_.resize(inputs_.size());
  for (int i = 0; i < mine.count; ++i) {
    const std::size_t at = length * static_cast<std::size_t>(i);
    read_sequence(text_, options_.seed, steps_, static_cast<std::uint64_t>(mine.first + i),
                  {inputs_.data() + at, length}, {targets_.data() + at, length});
  }
  optimizer_.begin_micro_batch();
  forward(inputs_, mine.count);

  // The head is the embedding's matrix once more; its gradient lives until the embedding's own.
  const float scale = static_cast<float>(static_cast<double>(optimizer_.loss_scale()) /
                                         (static_cast<double>(options_.batch) * options_.sequence));
  {
    const gathered_unit embedding = optimizer_.gather(0);
    const std::int64_t begin = trace_clock();
    model_->head_forward(embedding.parameter(0), targets_,
                         loss_places_.as<double>() + ranks_.rank());
    trace_compute("forward", 0, begin);
  }
  backward(scale);
}

void training::forward(span<const std::int32_t> tokens, int sequences) {
  {
    const gathered_unit embedding = optimizer_.gather(0);
    const std::int64_t begin = trace_clock();
    model_->embed_forward(tokens, sequences, embedding.parameter(0), embedding.parameter(1));
    trace_compute("forward", 0, begin);
  }
  for (int layer = 0; layer < options_.model.layers; ++layer) block_forward(layer);
  const int norm = options_.model.layers + 1;
  const gathered_unit unit = optimizer_.gather(norm);
  const std::int64_t begin = trace_clock();
  model_->final_norm_forward(unit.parameter(0), unit.parameter(1));
  trace_compute("forward", norm, begin);
}

void training::backward(float scale) {
  {
    const gathered_unit embedding = optimizer_.gather(0);
    const unit_gradients gradients = optimizer_.gradients(0);
    const std::int64_t begin = trace_clock();
    model_->head_backward(embedding.parameter(0), gradients.gradient(0), scale);
    trace_compute("backward", 0, begin);
  }
  const int norm = options_.model.layers + 1;
  {
    const gathered_unit unit = optimizer_.gather(norm);
    const unit_gradients gradients = optimizer_.gradients(norm);
    const std::int64_t begin = trace_clock();
    model_->final_norm_backward(unit.parameter(0), gradients.gradient(0), gradients.gradient(1));
    trace_compute("backward", norm, begin);
  }
  optimizer_.reduce(norm);
  for (int layer = options_.model.layers - 1; layer >= 0; --layer) block_backward(layer);
  {
    // Nothing of the embedding's values is needed here, but its place in the schedule is.
    const gathered_unit embedding = optimizer_.gather(0);
    const unit_gradients gradients = optimizer_.gradients(0);
    const std::int64_t begin = trace_clock();
    model_->embed_backward(gradients.gradient(0), gradients.gradient(1));
    trace_compute("backward", 0, begin);
  }
  optimizer_.reduce(0);
}

void training::block_forward(int layer) {
  const gathered_unit unit = optimizer_.gather(layer + 1);
  block_parameters parameters;
  for (std::size_t i = 0; i < parameters.size(); ++i) parameters[i] = unit.parameter(i);
  const std::int64_t begin = trace_clock();
  model_->block_forward(layer, parameters);
  trace_compute("forward", layer + 1, begin);
}

void training::block_backward(int layer) {
  {
    const gathered_unit unit = optimizer_.gather(layer + 1);
    const unit_gradients taken = optimizer_.gradients(layer + 1);
    block_parameters parameters;
    block_gradients gradients;
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      parameters[i] = unit.parameter(i);
      gradients[i] = taken.gradient(i);
    }
    const std::int64_t begin = trace_clock();
    model_->block_backward(layer, parameters, gradients);
    trace_compute("backward", layer + 1, begin);
  }
  optimizer_.reduce(layer + 1);
}

completion training::exchange_losses() {
  const completion computed = work_.queue().record();
  if (ranks_.size() == 1) return computed;
  double* all = loss_places_.as<double>();
  collectives::call how;
  how.name = "loss";
  how.after = computed;
  return ranks_.all_gather({all + ranks_.rank(), sizeof(double), dtype::byte},
                           {all, loss_places_.size(), dtype::byte}, how);
}

partition::communication_volume training::planned_communication() const {
  partition::communication_volume sum =
      sharded_optimizer::predict_communication(optimizer_.layout().model(), optimizer_.options(),
                                               ranks_.size())
          .step();
  if (ranks_.size() == 1) return sum;
  sum.all_gather += loss_places_.size();  // of losses
  ++sum.calls;
  return sum;
}

partition::tier_bytes training::planned_tier_traffic() const {
  return sharded_optimizer::predict_tier_traffic(optimizer_.layout().model(), optimizer_.options(),
                                                 ranks_.size())
      .step();
}

std::uint64_t training::planned_crossing() const {
  collectives::ranks_on_hosts hosts;
  for (int rank = 0; rank < ranks_.size(); ++rank) hosts.host.push_back(ranks_.host_of(rank));
  collectives::moved_elements loss;
  loss.count = sizeof(double);
  loss.in = loss.out = dtype::byte;
  return sharded_optimizer::predict_crossing(optimizer_.layout().model(), optimizer_.options(),
                                             hosts.host, ranks_.rank()) +
         collectives::bytes_crossing_from(hosts, loss, ranks_.rank());
}

std::vector<std::int32_t> training::sample(std::vector<std::int32_t> tokens, int count,
                                           std::uint64_t seed) {
  std::vector<float> logits(static_cast<std::size_t>(options_.model.vocabulary));
  const std::uint64_t key = random_key(seed, "sample");
  for (int i = 0; i < count; ++i) {
    const std::size_t length = std::min(tokens.size(), static_cast<std::size_t>(options_.sequence));
    optimizer_.begin_micro_batch(pass::evaluate);
    forward({tokens.data() + tokens.size() - length, length}, 1);
    {
      const gathered_unit embedding = optimizer_.gather(0);
      model_->head_logits(embedding.parameter(0), static_cast<int>(length) - 1, logits);
    }
    const float highest = *std::max_element(logits.begin(), logits.end());
    double sum = 0.0;
    for (const float logit : logits) sum += std::exp(static_cast<double>(logit - highest));
    // The top 53 bits as a fraction, carried through the softmax until it is used up.
    double left =
        static_cast<double>(random_bits(key, static_cast<std::uint64_t>(i)) >> 11) * 0x1p-53 * sum;
    std::int32_t next = 0;
    for (; next + 1 < options_.model.vocabulary; ++next) {
      left -= std::exp(static_cast<double>(logits[static_cast<std::size_t>(next)] - highest));
      if (left < 0) break;
    }
    tokens.push_back(next);
  }
  return tokens;
}

seconds_by_phase training::seconds() const noexcept {
  seconds_by_phase spent = optimizer_.seconds();
  double verbs = 0.0;
  for (std::size_t i = 0; i < phase_count; ++i) {
    if (i != static_cast<std::size_t>(phase::exposed_communication)) verbs += spent[i];
  }
  spent[static_cast<std::size_t>(phase::compute)] = std::max(0.0, step_seconds_ - verbs);
  return spent;
}

void training::set_trace(trace_recorder* recorder) noexcept {
  trace_ = recorder;
  optimizer_.set_trace(recorder);
}

void training::trace_compute(const char* name, int unit, std::int64_t begin) {
  if (trace_ != nullptr) trace_->record({name, lane::compute, unit, begin, trace_clock()});
}

}  // namespace zero::trainer
