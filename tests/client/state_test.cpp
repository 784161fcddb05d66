// Weights and states in and out, own rules, and what may be asked of a step.

#include "flat_trainer.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <atomic>
#include <cmath>

namespace zero::testing {
namespace {

// SGD with momentum, as a client has it.
struct own_momentum {
  double total = 0;  // elements shown
  std::uint64_t step = 0;
  int fail_at = -1;  // the call that returns 7
  int calls = 0;
  static int update(void* user, const zero_update_range* range) {
    auto& self = *static_cast<own_momentum*>(user);
    if (self.calls++ == self.fail_at) return 7;
    self.total += static_cast<double>(range->count);
    self.step = range->step;
    const auto* gradient = static_cast<const float*>(range->gradient);
    const auto rate = static_cast<float>(range->learning_rate);
    float* momentum = range->states[0];
    for (std::uint64_t i = 0; i < range->count; ++i) {
      momentum[i] = 0.9F * momentum[i] + gradient[i];
      range->master[i] -= rate * momentum[i];
    }
    return 0;
  }
};

flat_run own_rule_run(int stage) {
  flat_run run;
  run.stage = stage;
  run.rule = ZERO_OWN_RULE;
  run.adjust = [](zero_config& config) { config.own_states = 1; };
  return run;
}

TEST(client_own_rule, does_what_the_same_rule_built_in_does_at_every_stage) {
  flat_run plain;
  plain.rule = ZERO_SGD;
  plain.weight_decay = 0;
  plain.learning_rate = 0.001;
  const dense_result dense = train_dense(plain, 3);
  std::string first;
  for (int stage = 0; stage <= 3; ++stage) {
    with_clients(3, own_rule_run(stage), [&](zero_optimizer* z, flat_model& model, int rank) {
      own_momentum rule;
      for (int step = 0; step < plain.steps; ++step) {
        double loss = model.forward_backward(step, 0);
        expect_ok(z, zero_step_with(z, 0.001, own_momentum::update, &rule, &loss));
        EXPECT_NEAR(loss, dense.losses[static_cast<std::size_t>(step)], 1e-4);
        EXPECT_EQ(rule.step, static_cast<std::uint64_t>(step) + 1);
      }
      // Every element belongs to one rank, or to all where nothing is sharded.
      expect_ok(z, zero_sum(z, &rule.total, 1));
      const double copies = stage == 0 ? 3 : 1;
      EXPECT_EQ(rule.total, copies * plain.steps * static_cast<double>(flat_elements()));
      const std::vector<float> now = model.whole();
      for (std::size_t i = 0; i < now.size(); ++i) {
        EXPECT_NEAR(static_cast<double>(now[i]), dense.parameters[i], 2e-5);
      }
      const std::string digest = digest_of(z);
      if (rank != 0) return;
      if (first.empty()) first = digest;
      EXPECT_EQ(digest, first) << "stage " << stage;
    });
  }
}

TEST(client_own_rule, that_fails_on_one_rank_ends_the_step_on_all) {
  for (const int stage : {0, 1, 3}) {
    std::atomic<int> callback = 0, others = 0;
    run_clients(3, [&](zero_ranks& own) {
      zero_optimizer* z = create(own, config_of(own_rule_run(stage)));
      flat_model model(z, own_rule_run(stage), own.communicator->rank());
      own_momentum rule;
      model.forward_backward(0, 0);
      expect_ok(z, zero_step_with(z, 0.001, own_momentum::update, &rule, nullptr));
      if (own.communicator->rank() == 1) rule.fail_at = rule.calls + 1;
      // A rank that is not told in this step is in the next.
      zero_status status = ZERO_OK;
      for (int step = 1; step < 3 && status == ZERO_OK; ++step) {
        try {
          model.forward_backward(step, 0);
        } catch (const std::exception&) {
          status = zero_first_error(z);
          break;
        }
        status = zero_step_with(z, 0.001, own_momentum::update, &rule, nullptr);
      }
      if (own.communicator->rank() == 1) {
        callback += status == ZERO_CALLBACK ? 1 : 0;
        EXPECT_NE(std::string(zero_last_error(z)).find("returned 7"), std::string::npos);
        EXPECT_NE(std::string(zero_last_error(z)).find("tensor."), std::string::npos);
      } else {
        others += status != ZERO_OK ? 1 : 0;
      }
      EXPECT_EQ(zero_first_error(z), status);
      EXPECT_EQ(zero_forward_begin(z, 0, nullptr), status);  // the first again
      EXPECT_EQ(zero_close(z), status);
    });
    EXPECT_EQ(callback, 1);
    EXPECT_EQ(others, 2);
  }
}

// Whatever a C++ client's function throws: something has been changed, so nothing goes on.
TEST(client_own_rule, that_throws_poisons_whatever_it_throws) {
  const flat_run run = own_rule_run(2);
  with_clients(1, run, [](zero_optimizer* z, flat_model& model, int) {
    const auto thrower = [](void*, const zero_update_range*) -> int {
      throw invalid_argument("a rule's own");
    };
    model.forward_backward(0, 0);
    EXPECT_EQ(zero_step_with(z, 0.001, thrower, nullptr, nullptr), ZERO_CALLBACK);
    const std::string message = zero_last_error(z);
    EXPECT_NE(message.find("the client's function for 'tensor."), std::string::npos) << message;
    EXPECT_NE(message.find("threw a rule's own"), std::string::npos) << message;
    EXPECT_EQ(zero_forward_begin(z, 0, nullptr), ZERO_CALLBACK);
    EXPECT_EQ(zero_first_error(z), ZERO_CALLBACK);
  });
}

// An average of the weights, which is exchanged with them for validation.
struct average {
  static int update(void* user, const zero_update_range* range) {
    const float keep = *static_cast<float*>(user);
    EXPECT_EQ(range->gradient, nullptr);
    float* mean = range->states[range->state_count - 1];
    for (std::uint64_t i = 0; i < range->count; ++i) {
      mean[i] = keep * mean[i] + (1 - keep) * range->master[i];
    }
    return 0;
  }
};

TEST(client_extra_state, is_averaged_and_exchanged_with_the_weights) {
  for (int stage = 0; stage <= 3; ++stage) {
    flat_run run;
    run.stage = stage;
    run.adjust = [](zero_config& config) { config.extra_states = 1; };
    with_clients(2, run, [&](zero_optimizer* z, flat_model& model, int) {
      std::vector<float> mean(flat_elements(), 0.0F);
      float keep = 0.5F;
      for (int step = 0; step < 3; ++step) {
        train_step(z, model, step);
        expect_ok(z, zero_visit(z, ZERO_READ | ZERO_WRITE, average::update, &keep));
        const std::vector<float> now = model.whole();
        for (std::size_t i = 0; i < mean.size(); ++i) mean[i] = 0.5F * mean[i] + 0.5F * now[i];
      }
      const std::vector<float> before = model.whole();
      expect_ok(z, zero_swap(z, 2));  // behind AdamW's two
      EXPECT_EQ(model.whole(), mean);
      expect_ok(z, zero_swap(z, 2));
      EXPECT_EQ(model.whole(), before);
      EXPECT_EQ(zero_swap(z, 3), ZERO_INVALID);
      EXPECT_EQ(zero_swap(z, -1), ZERO_INVALID);
    });
  }
}

TEST(client_state, is_read_and_written_by_name) {
  for (int stage = 0; stage <= 3; ++stage) {
    flat_run run;
    run.stage = stage;
    with_clients(3, run, [&](zero_optimizer* z, flat_model& model, int rank) {
      train_step(z, model, 0);
      const std::size_t count = std::size_t{width} * width;
      std::vector<float> values(count), back(count);
      expect_ok(z, zero_read_state(z, "tensor.1", 2, ZERO_MASTER, ZERO_ON_ALL, values.data()));
      const std::vector<float> whole = model.whole();
      EXPECT_TRUE(std::equal(values.begin(), values.end(), whole.begin() + width + 2 * 1369));
      for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i) * 0.25F;
      for (const int state : {0, 1, static_cast<int>(ZERO_MASTER)}) {
        expect_ok(z, zero_write_state(z, "tensor.1", 1, state, values.data()));
        std::fill(back.begin(), back.end(), -1.0F);
        expect_ok(z, zero_read_state(z, "tensor.1", 1, state, ZERO_ON_RANK_0,
                                     rank == 0 ? back.data() : nullptr));
        if (rank == 0) {
          EXPECT_EQ(back, values);
        }
      }
      const std::vector<float> now = model.whole();
      for (std::size_t i = 0; i < now.size(); ++i) {
        const std::size_t begin = width + 1369;
        const bool written = i >= begin && i < begin + count;
        EXPECT_EQ(now[i], written ? values[i - begin] : whole[i]);
      }
      EXPECT_EQ(zero_read_state(z, "tensor.9", 0, 0, ZERO_ON_ALL, back.data()), ZERO_INVALID);
      EXPECT_EQ(zero_read_state(z, "tensor.1", 3, 0, ZERO_ON_ALL, back.data()), ZERO_INVALID);
      EXPECT_EQ(zero_read_state(z, "tensor.1", 0, 2, ZERO_ON_ALL, back.data()), ZERO_INVALID);
      EXPECT_EQ(zero_read_state(z, "tensor.1", 0, 0, ZERO_ON_ALL, nullptr), ZERO_INVALID);
      EXPECT_EQ(zero_write_state(z, "tensor.1", 0, 0, nullptr), ZERO_INVALID);
      EXPECT_EQ(zero_first_error(z), ZERO_OK);
    });
  }
}

TEST(client_full_parameters, are_changed_on_rank_0_for_all) {
  std::string first;
  for (const bool placed : {false, true}) {
    for (int stage = 0; stage <= 3; ++stage) {
      flat_run run;
      run.stage = stage;
      run.placed = placed;
      with_clients(3, run, [&](zero_optimizer* z, flat_model& model, int rank) {
        train_step(z, model, 0);
        std::vector<float> expected = model.whole();
        expect_ok(z, zero_full_begin(z, ZERO_ON_RANK_0, ZERO_READ | ZERO_WRITE));
        EXPECT_EQ(zero_forward_begin(z, 0, nullptr), ZERO_INVALID);
        if (rank == 0) {
          void* head = nullptr;
          expect_ok(z, zero_parameter(z, "tensor.3", 0, &head));
          EXPECT_EQ(static_cast<float*>(head)[5], expected[flat_elements() - width + 5]);
          static_cast<float*>(head)[5] = 2.5F;
        }
        expect_ok(z, zero_full_end(z));
        expected[flat_elements() - width + 5] = 2.5F;
        EXPECT_EQ(model.whole(), expected);
        expect_ok(z, zero_full_begin(z, ZERO_ON_ALL, ZERO_READ));
        void* bias = nullptr;
        expect_ok(z, zero_parameter(z, "tensor.2", 1, &bias));
        const std::size_t at = width + 3 * 1369 + width;
        EXPECT_TRUE(std::equal(expected.begin() + static_cast<std::ptrdiff_t>(at),
                               expected.begin() + static_cast<std::ptrdiff_t>(at + width),
                               static_cast<float*>(bias)));
        expect_ok(z, zero_full_end(z));
        EXPECT_EQ(zero_full_end(z), ZERO_INVALID);
        train_step(z, model, 1);  // states were kept
        const std::string digest = digest_of(z);
        if (rank != 0) return;
        if (first.empty()) first = digest;
        EXPECT_EQ(digest, first) << "stage " << stage << ", placed " << placed;
      });
    }
  }
}

TEST(client_full_parameters, take_no_memory_where_nobody_asked) {
  flat_run run;
  run.stage = 3;
  with_clients(3, run, [&](zero_optimizer* z, flat_model&, int rank) {
    zero_memory before{}, within{}, after{};
    before.struct_size = within.struct_size = after.struct_size = sizeof before;
    expect_ok(z, zero_get_memory(z, &before));
    expect_ok(z, zero_full_begin(z, ZERO_ON_RANK_0, ZERO_READ));
    expect_ok(z, zero_get_memory(z, &within));
    expect_ok(z, zero_full_end(z));
    expect_ok(z, zero_get_memory(z, &after));
    if (rank == 0) {
      EXPECT_GE(within.client_parameters, flat_elements() * sizeof(float));
    } else {
      EXPECT_EQ(within.client_parameters, before.client_parameters);
      EXPECT_EQ(after.client_parameters_peak, before.client_parameters_peak);
    }
    EXPECT_EQ(after.client_parameters, before.client_parameters);
  });
}

TEST(client_step, norm_is_known_before_it_and_no_gradient_is_added_then) {
  for (const int stage : {0, 1, 2, 3}) {
    flat_run run;
    run.stage = stage;
    run.clip_norm = 0.5;
    with_clients(2, run, [&](zero_optimizer* z, flat_model& model, int) {
      model.forward_backward(0, 0);
      double norm = 0;
      expect_ok(z, zero_gradient_norm(z, &norm));
      EXPECT_GT(norm, 0.5);
      EXPECT_EQ(zero_backward_begin(z, 1, nullptr), ZERO_INVALID);
      expect_ok(z, zero_step(z, 0.01, nullptr));
      zero_step_result last{};
      last.struct_size = sizeof last;
      expect_ok(z, zero_last_step(z, &last));
      EXPECT_EQ(last.gradient_norm, norm);
      EXPECT_EQ(last.step, 1U);
      EXPECT_EQ(last.skipped, 0);
    });
  }
}

TEST(client_step, that_one_rank_wants_left_out_is_left_out_by_all) {
  for (const int stage : {0, 1, 2, 3}) {
    for (const bool placed : {false, true}) {
      flat_run run;
      run.stage = stage;
      run.placed = placed;
      with_clients(3, run, [&](zero_optimizer* z, flat_model& model, int rank) {
        train_step(z, model, 0);
        const std::vector<float> before = model.whole();
        if (rank == 2) expect_ok(z, zero_skip(z));
        train_step(z, model, 1);
        zero_step_result last{};
        last.struct_size = sizeof last;
        expect_ok(z, zero_last_step(z, &last));
        EXPECT_EQ(last.skipped, 1);
        EXPECT_EQ(last.step, 1U);
        EXPECT_EQ(model.whole(), before);
        train_step(z, model, 2);
        EXPECT_NE(model.whole(), before);
      });
    }
  }
}

TEST(client_step, constants_of_a_group_change_between_steps) {
  flat_run run;
  run.stage = 2;
  with_clients(2, run, [&](zero_optimizer* z, flat_model& model, int) {
    train_step(z, model, 0);
    const std::vector<float> before = model.whole();
    zero_config config;
    zero_config_init(&config);
    config.group.learning_rate_factor = 0;
    expect_ok(z, zero_set_group(z, 0, &config.group));
    train_step(z, model, 1);
    EXPECT_EQ(model.whole(), before);
    EXPECT_EQ(zero_set_group(z, 5, &config.group), ZERO_INVALID);  // nobody is in it
    EXPECT_EQ(zero_set_group(z, 0, nullptr), ZERO_INVALID);
    config.group.beta1 = 2;
    EXPECT_EQ(zero_set_group(z, 0, &config.group), ZERO_INVALID);
    expect_ok(z, zero_step(z, 0.01, nullptr));
  });
}

TEST(client_step, a_dynamic_loss_scale_falls_and_the_step_is_left_out) {
  flat_run run;
  run.stage = 1;
  run.every_call = false;  // gradients are final at the step
  run.adjust = [](zero_config& config) {
    config.loss_scale = 0;
    config.first_loss_scale = 1024;
    config.loss_scale_hysteresis = 1;
  };
  with_clients(2, run, [&](zero_optimizer* z, flat_model& model, int rank) {
    double scale = 0;
    expect_ok(z, zero_loss_scale(z, &scale));
    EXPECT_EQ(scale, 1024);
    model.forward_backward(0, 0);
    if (rank == 1) model.gradients()[3] = INFINITY;
    expect_ok(z, zero_step(z, 0.01, nullptr));
    expect_ok(z, zero_loss_scale(z, &scale));
    EXPECT_EQ(scale, 512);
    zero_step_result last{};
    last.struct_size = sizeof last;
    expect_ok(z, zero_last_step(z, &last));
    EXPECT_EQ(last.skipped, 1);
    EXPECT_EQ(last.loss_scale, 1024);
  });
}

TEST(client_sum, is_in_the_order_of_ranks) {
  flat_run run;
  with_clients(3, run, [&](zero_optimizer* z, flat_model&, int rank) {
    const double parts[] = {1e16, 1.0, -1e16};
    double values[2] = {parts[rank], 1};
    expect_ok(z, zero_sum(z, values, 2));
    EXPECT_EQ(values[0], (1e16 + 1.0) + -1e16);
    EXPECT_EQ(values[1], 3);
  });
}

TEST(client_report, tells_what_was_predicted_and_measured) {
  flat_run run;
  run.stage = 3;
  with_clients(2, run, [&](zero_optimizer* z, flat_model& model, int rank) {
    train_step(z, model, 0);
    zero_memory memory{};
    memory.struct_size = sizeof memory;
    expect_ok(z, zero_get_memory(z, &memory));
    EXPECT_EQ(memory.predicted.optimizer, memory.measured.optimizer);
    EXPECT_EQ(memory.predicted.peak, memory.measured.peak);
    EXPECT_GT(memory.measured.parameters, 0U);
    // At rest only pages that units share are left.
    EXPECT_LT(memory.client_parameters, flat_elements() * sizeof(float));
    EXPECT_GT(memory.client_parameters_peak, memory.client_parameters);
    const char* text = zero_report_json(z);
    ASSERT_NE(text, nullptr);
    const auto report = nlohmann::json::parse(text);
    EXPECT_EQ(report["schema"], "zero.memory/1");
    EXPECT_EQ(report["rank"], rank);
    EXPECT_EQ(report["memory"]["measured"]["optimizer"], memory.measured.optimizer);
    EXPECT_EQ(report["memory"]["client"]["parameters_peak"], memory.client_parameters_peak);
    EXPECT_GT(report["seconds_by_phase"]["update"].get<double>(), 0.0);
  });
}

}  // namespace
}  // namespace zero::testing
