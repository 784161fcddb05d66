#include "toy_client.hpp"

#include <zero/base/float16.hpp>

#include <cmath>

namespace zero::testing {
namespace {

float load(const_typed_span values, std::uint64_t i) {
  switch (values.type) {
    case dtype::bf16:
      return to_float(static_cast<const bf16_t*>(values.data)[i]);
    case dtype::fp16:
      return to_float(static_cast<const fp16_t*>(values.data)[i]);
    default:
      return static_cast<const float*>(values.data)[i];
  }
}

void add(typed_span values, std::uint64_t i, float what) {
  const float sum = load(values, i) + what;
  switch (values.type) {
    case dtype::bf16:
      static_cast<bf16_t*>(values.data)[i] = to_bf16(sum);
      break;
    case dtype::fp16:
      static_cast<fp16_t*>(values.data)[i] = to_fp16(sum);
      break;
    default:
      static_cast<float*>(values.data)[i] = sum;
      break;
  }
}

struct toy_loop {
  sharded_optimizer& optimizer;
  const toy_run& run;
  const launch_function& launch;
  int rank;
  int last_rank;
  std::vector<std::vector<float>> seen;  // what the forward saw, by parameter

  [[nodiscard]] std::size_t first_of(int unit) const {
    std::size_t index = 0;
    for (int u = 0; u < unit; ++u) {
      index += optimizer.layout().model().units[static_cast<std::size_t>(u)].parameters.size();
    }
    return index;
  }
  [[nodiscard]] std::size_t count_of(int unit) const {
    return optimizer.layout().model().units[static_cast<std::size_t>(unit)].parameters.size();
  }
  [[nodiscard]] int units() const {
    return static_cast<int>(optimizer.layout().model().units.size());
  }

  void look(int unit) {
    const gathered_unit gathered = optimizer.gather(unit);
    for (std::size_t i = 0; i < count_of(unit); ++i) {
      const const_typed_span parameter = gathered.parameter(i);
      std::vector<float>& copy = seen[first_of(unit) + i];
      const typed_span there{const_cast<void*>(parameter.data), parameter.count, parameter.type};
      launch(element_use::look, there, [&copy](const typed_span& values) {
        copy.resize(values.count);
        for (std::uint64_t e = 0; e < values.count; ++e) copy[e] = load(values, e);
      });
    }
  }

  void backward(int unit, int step, int micro) {
    look(unit);
    const unit_gradients gradients = optimizer.gradients(unit);
    for (std::size_t i = 0; i < count_of(unit); ++i) {
      const std::size_t parameter = first_of(unit) + i;
      const float scale = optimizer.loss_scale();
      const auto add_own = [this, parameter, step, micro, scale](const typed_span& g) {
        for (std::uint64_t e = 0; e < g.count; ++e) {
          double value = toy_gradient(rank, step, micro, parameter, e, seen[parameter][e]);
          if (step == run.bad_step && rank == last_rank && e == 0) value = INFINITY;
          add(g, e, static_cast<float>(value * scale));
        }
      };
      launch(element_use::change, gradients.gradient(i), add_own);
    }
    optimizer.reduce(unit);
  }
};

}  // namespace

partition::model_spec toy_model(dtype type, int wide) {
  const auto parameter = [type](const char* name, std::vector<std::uint64_t> shape, int group = 0,
                                bool trainable = true) {
    partition::parameter_spec p;
    p.name = name;
    p.shape = std::move(shape);
    p.type = type;
    p.group = group;
    p.trainable = trainable;
    return p;
  };
  partition::parameter_spec tied = parameter("first.tied", {7, 5});
  tied.tied_to = "first.weight";
  return {{{"first", {parameter("first.weight", {7, 5}), parameter("first.bias", {13}, 1), tied}},
           {"second",
            {parameter("second.weight", {1009, static_cast<std::uint64_t>(wide)}),
             parameter("second.empty", {0, 3}), parameter("second.frozen", {9}, 0, false)}},
           {"third", {parameter("third.weight", {31}), parameter("third.scale", {}, 1)}},
           {"fourth", {parameter("fourth.weight", {2, 600})}}}};
}

float toy_value(std::size_t parameter, std::uint64_t element) {
  return 0.5F + 0.03125F * static_cast<float>((parameter * 7 + element * 3) % 29) - 0.4F;
}

double toy_gradient(int rank, int step, int micro, std::size_t parameter, std::uint64_t element,
                    double stored) {
  const auto mix =
      static_cast<int>((element * 5 + parameter * 11 +
                        static_cast<std::uint64_t>(rank * 17 + step * 3 + micro * 23)) %
                       61);
  return (mix - 30) / 64.0 + 0.125 * stored;
}

toy_result train_toy(collectives::communicator& ranks, const toy_run& run) {
  const auto work = optim::make_host_processor();
  return train_toy(
      ranks, *work,
      [](element_use, typed_span elements, const piece_of_work& piece) { piece(elements); }, run);
}

toy_result train_toy(collectives::communicator& ranks, optim::processor& work,
                     const launch_function& launch, const toy_run& run) {
  sharded_optimizer optimizer(ranks, work, toy_model(run.type, run.wide), run.options);
  optimizer.initialize([](std::size_t parameter, std::uint64_t offset, span<float> values) {
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = toy_value(parameter, offset + i);
  });
  toy_loop loop{optimizer, run, launch, ranks.rank(), ranks.size() - 1, {}};
  loop.seen.resize(optimizer.layout().parameters().size());
  toy_result result;
  if (run.at_start) run.at_start(optimizer);
  for (int step = run.first_step; step < run.steps; ++step) {
    if (run.announces) optimizer.announce_step(run.learning_rate);
    for (int micro = 0; micro < run.micro_batches; ++micro) {
      optimizer.begin_micro_batch();
      for (int unit = 0; unit < loop.units(); ++unit) loop.look(unit);
      for (int unit = loop.units() - 1; unit >= 0; --unit) loop.backward(unit, step, micro);
    }
    if (run.update) {
      run.update(optimizer, step);
    } else {
      optimizer.queue_step(run.learning_rate);
    }
    if (run.asks || step + 1 == run.steps) {
      const step_result r = optimizer.last_step();
      result.norms.push_back(r.gradient_norm);
      result.skipped.push_back(r.skipped);
    }
    if (run.after_step) run.after_step(optimizer, step);
    if (run.evaluate_between) {
      optimizer.begin_micro_batch(pass::evaluate);
      for (int unit = 0; unit < loop.units(); ++unit) loop.look(unit);
    }
    if (step == run.first_step) {
      result.allocations_after_first_step = optimizer.allocations();
      result.traffic_after_first_step = optimizer.traffic();
    }
  }
  if (run.at_end) run.at_end(optimizer);
  result.allocations_at_end = optimizer.allocations();
  result.traffic = ranks.traffic();
  result.traffic_at_end = optimizer.traffic();
  result.schedule = optimizer.schedule();
  result.memory = optimizer.memory();
  result.digest = optimizer.parameters_digest();
  result.master.resize(optimizer.layout().parameters().size());
  optimizer.stream_master([&](std::size_t parameter, std::uint64_t, span<const float> values) {
    auto& all = result.master[parameter];
    all.insert(all.end(), values.begin(), values.end());
  });
  return result;
}

}  // namespace zero::testing
