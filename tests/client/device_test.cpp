// A trainer whose memory is a device's ends with the bits of the host, in both forms and at every
// stage, though nobody waits for what is queued.

#include "kernel_trainer.hpp"
#include "queued_client.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <string>
#include <thread>

namespace zero::testing {
namespace {

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

void expect_as_on_host(int ranks, const flat_run& run) {
  flat_run host = run;
  host.ranges = host.ranges || host.stage >= 2;
  const flat_result wanted = train_everywhere(ranks, host)[0];
  for (const flat_result& got : train_on_device(ranks, run)) {
    EXPECT_TRUE(same_bits(got.parameters, wanted.parameters))
        << "stage " << run.stage << ", placed " << run.placed << ", stable " << run.stable;
    EXPECT_EQ(got.losses, wanted.losses);
    EXPECT_EQ(got.norms, wanted.norms);
    EXPECT_TRUE(got.gradients_zero);
  }
}

class client_on_device : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(worlds, client_on_device, ::testing::Values(1, 2, 3));

TEST_P(client_on_device, mirrored_has_the_bits_of_the_host) {
  for (int stage = 0; stage <= 3; ++stage) {
    for (const bool every_call : {true, false}) {
      flat_run run;
      run.stage = stage;
      run.every_call = every_call;
      run.clip_norm = 1.0;
      expect_as_on_host(GetParam(), run);
    }
  }
}

TEST_P(client_on_device, placed_has_the_bits_of_the_host) {
  for (int stage = 0; stage <= 3; ++stage) {
    for (const bool stable : {false, true}) {
      flat_run run;
      run.stage = stage;
      run.placed = true;
      run.stable = stable;
      run.rule = ZERO_SGD;
      run.learning_rate = 0.001;
      expect_as_on_host(GetParam(), run);
    }
  }
}

TEST_P(client_on_device, micro_batches_agree) {
  for (const int reduce_at : {ZERO_EVERY_MICRO_BATCH, ZERO_AT_BOUNDARY}) {
    for (int stage = 0; stage <= 3; ++stage) {
      for (const bool placed : {false, true}) {
        flat_run run;
        run.stage = stage;
        run.placed = run.stable = placed;
        run.rule = ZERO_SGD;
        run.learning_rate = 0.0005;
        run.micro_batches = 3;
        run.reduce_at = reduce_at;
        expect_as_on_host(GetParam(), run);
      }
    }
  }
}

TEST_P(client_on_device, tiers_and_prefetch_change_nothing) {
  for (const int prefetch : {0, 2}) {
    for (const int tier : {ZERO_ON_DEVICE, ZERO_ON_HOST}) {
      for (const bool placed : {false, true}) {
        flat_run run;
        run.stage = 3;
        run.prefetch = placed ? prefetch + 1 : prefetch;  // two units at once
        run.placed = placed;
        run.adjust = [tier](zero_config& config) {
          config.optimizer_tier = config.parameter_tier = config.gradient_tier = tier;
        };
        expect_as_on_host(GetParam(), run);
      }
    }
  }
}

// ---- a rule of the client's own ----

struct rule_of_device {
  const flat_run& run;  // who launches
  bool seen = false;
  bool wrong = false;
};

// The master weight loses a tenth of the gradient; where the range is the host's, at once.
int tenth(void* user, const zero_update_range* range) {
  auto& rule = *static_cast<rule_of_device*>(user);
  const auto step = [master = range->master, gradient = static_cast<const float*>(range->gradient),
                     state = range->states[0], count = range->count] {
    for (std::uint64_t i = 0; i < count; ++i) {
      state[i] += gradient[i];
      master[i] -= 0.001F * state[i];
    }
  };
  rule.seen = rule.seen || range->on_device != 0;
  if (range->on_device == 0) {
    rule.wrong = rule.wrong || range->stream != nullptr;
    step();
    return 0;
  }
  rule.wrong = rule.wrong || range->stream != rule.run.stream;
  rule.run.launch(step);
  return 0;
}

std::vector<float> train_by_own_rule(zero_ranks& own, const flat_run& run, bool on_device) {
  const std::unique_ptr<zero_optimizer, zero_status (*)(zero_optimizer*)> z(
      create(own, config_of(run)), zero_close);
  flat_model model(z.get(), run, zero_rank(z.get()));
  rule_of_device rule{run};
  for (int step = 0; step < 3; ++step) {
    static_cast<void>(model.forward_backward(step, 0));
    expect_ok(z.get(), zero_step_with(z.get(), 0.1, tenth, &rule, nullptr));
  }
  EXPECT_EQ(rule.seen, on_device);
  EXPECT_FALSE(rule.wrong);
  std::vector<float> out = model.whole();
  // The rule's own state of one slice, and back as the weights.
  std::vector<float> state(static_cast<std::size_t>(width) * width);
  expect_ok(z.get(), zero_read_state(z.get(), "tensor.1", 1, 0, ZERO_ON_ALL, state.data()));
  out.insert(out.end(), state.begin(), state.end());
  expect_ok(z.get(), zero_write_state(z.get(), "tensor.1", 0, ZERO_MASTER, state.data()));
  const std::vector<float> written = model.whole();
  EXPECT_EQ(0, std::memcmp(written.data() + width, state.data(), state.size() * sizeof(float)));
  expect_ok(z.get(), zero_swap(z.get(), 0));
  const std::vector<float> swapped = model.whole();
  out.insert(out.end(), swapped.begin(), swapped.end());
  double sums[3] = {1.5, static_cast<double>(zero_rank(z.get())), -2};
  expect_ok(z.get(), zero_sum(z.get(), sums, 3));
  out.push_back(static_cast<float>(sums[0] + sums[1]));
  return out;
}

TEST_P(client_on_device, own_rules_are_shown_device_memory_and_its_stream) {
  for (int stage = 0; stage <= 3; ++stage) {
    flat_run run;
    run.stage = stage;
    run.rule = ZERO_OWN_RULE;
    run.adjust = [](zero_config& config) { config.own_states = 1; };
    std::vector<float> wanted;
    run_clients(GetParam(), [&](zero_ranks& own) {
      std::vector<float> got = train_by_own_rule(own, run, false);
      if (own.communicator->rank() == 0) wanted = std::move(got);
    });
    run_on_device(GetParam(), run, [&](zero_ranks& own, const flat_run& here) {
      EXPECT_TRUE(same_bits(train_by_own_rule(own, here, true), wanted)) << "stage " << stage;
    });
  }
}

// ---- all parameters ----

// Rank 0 changes weights where they are all whole; every rank then trains with those.
std::vector<float> train_with_written(zero_ranks& own, const flat_run& run) {
  const std::unique_ptr<zero_optimizer, zero_status (*)(zero_optimizer*)> z(
      create(own, config_of(run)), zero_close);
  const int rank = zero_rank(z.get());
  flat_model model(z.get(), run, rank);
  static_cast<void>(train_step(z.get(), model, 0));
  const auto launch = [&](std::function<void()> piece) {
    if (run.launch) return run.launch(std::move(piece));
    piece();
  };
  expect_ok(z.get(), zero_full_begin(z.get(), ZERO_ON_RANK_0, ZERO_READ | ZERO_WRITE));
  for (int slice = 0; slice < depth && rank == 0; ++slice) {
    void* at = nullptr;
    expect_ok(z.get(), zero_parameter(z.get(), "tensor.1", slice, &at));
    launch([at] {
      auto* const values = static_cast<float*>(at);
      for (int i = 0; i < width * width; ++i) values[i] = values[i] * 0.5F + 0.125F;
    });
  }
  expect_ok(z.get(), zero_full_end(z.get()));
  static_cast<void>(train_step(z.get(), model, 1));
  expect_ok(z.get(), zero_full_begin(z.get(), ZERO_ON_ALL, ZERO_READ));
  std::vector<float> head(width);
  void* at = nullptr;
  expect_ok(z.get(), zero_parameter(z.get(), "tensor.3", 0, &at));
  // What the trainer still reads is not freed.
  if (run.launch) launch([] { std::this_thread::sleep_for(std::chrono::milliseconds(20)); });
  launch([at, &head] { std::memcpy(head.data(), at, width * sizeof(float)); });
  expect_ok(z.get(), zero_full_end(z.get()));
  std::vector<float> out = model.whole();
  EXPECT_EQ(0, std::memcmp(out.data() + out.size() - width, head.data(), width * sizeof(float)));
  return out;
}

TEST_P(client_on_device, whole_parameters_are_read_and_written) {
  for (int stage = 0; stage <= 3; ++stage) {
    for (const bool placed : {false, true}) {
      flat_run run;
      run.stage = stage;
      run.placed = placed;
      std::vector<float> wanted;
      run_clients(GetParam(), [&](zero_ranks& own) {
        std::vector<float> got = train_with_written(own, run);
        if (own.communicator->rank() == 0) wanted = std::move(got);
      });
      run_on_device(GetParam(), run, [&](zero_ranks& own, const flat_run& here) {
        EXPECT_TRUE(same_bits(train_with_written(own, here), wanted))
            << "stage " << stage << ", placed " << placed;
      });
    }
  }
}

// ---- kernels of the trainer's own ----

// What runs on a GPU as well, where granules are larger.
TEST_P(client_on_device, kernels_have_the_bits_of_the_host) {
  for (int stage = 0; stage <= 3; ++stage) {
    for (const char* form : {"ranges", "stable", "slots"}) {
      kernel_run run;
      run.stage = stage;
      run.slice = 5003;
      run.placed = std::string(form) != "ranges";
      run.stable = std::string(form) == "stable";
      const kernel_result host = train_by_host_kernels(GetParam(), run);
      run.device = 0;
      run_on_device(GetParam(), {}, [&](zero_ranks& own, const flat_run&) {
        queued_stream trainer(7, longest_pause_us);
        const auto kernels = make_queued_processor(trainer);
        const kernel_result got = train_by_kernels(own, {*kernels, own.device->memory()}, run);
        EXPECT_TRUE(same_bits(got.parameters, host.parameters)) << form << ", stage " << stage;
        EXPECT_EQ(got.norm, host.norm);
      });
    }
  }
}

}  // namespace
}  // namespace zero::testing
