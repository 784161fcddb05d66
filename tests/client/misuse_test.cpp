// Bad input: an error that says what and where, and what was there is as it was; or a handle that
// goes on giving its first error.

#include "bare_client.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstdint>
#include <functional>
#include <thread>

namespace zero::testing {
namespace {

// Every call of the handle that belongs after its commit.
struct named_call {
  const char* name;
  std::function<zero_status(zero_optimizer*)> call;
};

int no_update(void*, const zero_update_range*) { return 0; }

std::vector<named_call> calls_after_commit() {
  static double number = 0;
  static float value = 0;
  static void* pointer = nullptr;
  static char hex[33];
  static zero_step_result result{};
  result.struct_size = sizeof result;
  using z_t = zero_optimizer*;
  return {{"micro_batch", [](z_t z) { return zero_micro_batch(z, 0, 1); }},
          {"evaluate", [](z_t z) { return zero_evaluate(z); }},
          {"forward_begin", [](z_t z) { return zero_forward_begin(z, 0, nullptr); }},
          {"forward_end", [](z_t z) { return zero_forward_end(z, 0, nullptr); }},
          {"backward_begin", [](z_t z) { return zero_backward_begin(z, 0, nullptr); }},
          {"backward_end", [](z_t z) { return zero_backward_end(z, 0, nullptr); }},
          {"step", [](z_t z) { return zero_step(z, 0.1, nullptr); }},
          {"step_with", [](z_t z) { return zero_step_with(z, 0.1, no_update, nullptr, nullptr); }},
          {"last_step", [](z_t z) { return zero_last_step(z, &result); }},
          {"gradient_norm", [](z_t z) { return zero_gradient_norm(z, &number); }},
          {"skip", [](z_t z) { return zero_skip(z); }},
          {"loss_scale", [](z_t z) { return zero_loss_scale(z, &number); }},
          {"parameter", [](z_t z) { return zero_parameter(z, "tensor.0", 0, &pointer); }},
          {"gradient", [](z_t z) { return zero_gradient(z, "tensor.0", 0, &pointer); }},
          {"visit", [](z_t z) { return zero_visit(z, ZERO_READ, no_update, nullptr); }},
          {"swap", [](z_t z) { return zero_swap(z, 0); }},
          {"read_state",
           [](z_t z) { return zero_read_state(z, "tensor.0", 0, 0, ZERO_ON_ALL, &value); }},
          {"write_state", [](z_t z) { return zero_write_state(z, "tensor.0", 0, 0, &value); }},
          {"full_begin", [](z_t z) { return zero_full_begin(z, ZERO_ON_ALL, ZERO_READ); }},
          {"full_end", [](z_t z) { return zero_full_end(z); }},
          {"digest", [](z_t z) { return zero_digest(z, hex); }},
          {"sum", [](z_t z) { return zero_sum(z, &number, 1); }}};
}

TEST(client_misuse, calls_before_the_commit_are_refused_by_name) {
  with_open(config_of({}), [](zero_optimizer* z) {
    for (const named_call& one : calls_after_commit()) {
      expect_refused(z, one.call(z), std::string("[client.") + one.name + "] zero_commit");
    }
    expect_refused(z, zero_commit(z), "nothing has been attached");
    expect_refused(z, zero_bind_gradients_flat(z, &z), "zero_wrap_flat comes first");
    expect_refused(z, zero_bind_gradient(z, "w", &z), "no segment is called 'w'");
  });
}

TEST(client_misuse, no_handle_is_an_error_and_no_crash) {
  for (const named_call& one : calls_after_commit()) EXPECT_EQ(one.call(nullptr), ZERO_INVALID);
  EXPECT_EQ(zero_commit(nullptr), ZERO_INVALID);
  EXPECT_EQ(zero_range(nullptr, ZERO_PARAMETERS, 4), nullptr);
  EXPECT_EQ(zero_report_json(nullptr), nullptr);
  EXPECT_EQ(zero_close(nullptr), ZERO_OK);
  EXPECT_STREQ(zero_last_error(nullptr), "");
  EXPECT_EQ(zero_rank(nullptr), -1);
  EXPECT_EQ(zero_get_config(nullptr, nullptr), ZERO_INVALID);
  EXPECT_EQ(zero_create(nullptr, nullptr, nullptr, nullptr), ZERO_INVALID);
  zero_on_error(nullptr, nullptr, nullptr);
}

// After every refusal the training goes on as if it had not been: its bits say so.
TEST(client_misuse, calls_out_of_order_change_nothing) {
  std::string clean[4];
  for (const bool wrong : {false, true}) {
    for (int stage = 0; stage <= 3; ++stage) {
      flat_run run;
      run.stage = stage;
      run.micro_batches = 2;
      with_clients(2, run, [&](zero_optimizer* z, flat_model& model, int rank) {
        const auto refused = [&](const std::function<zero_status()>& call, const char* says) {
          if (wrong) expect_refused(z, call(), says);
        };
        for (int step = 0; step < 2; ++step) {
          refused([&] { return zero_micro_batch(z, 1, 2); }, "1 of 2 after none");
          refused([&] { return zero_micro_batch(z, 0, 3); }, "allows 2");
          refused([&] { return zero_micro_batch(z, 2, 2); }, "2 of 2");
          expect_ok(z, zero_micro_batch(z, 0, 2));
          refused([&] { return zero_forward_end(z, 1, nullptr); }, "unit 1 has not begun");
          refused([&] { return zero_forward_begin(z, 4, nullptr); }, "unit 4 of 4");
          refused([&] { return zero_forward_begin(z, -1, nullptr); }, "unit -1 of 4");
          model.forward_backward(step, 0);
          refused([&] { return zero_backward_end(z, 2, nullptr); }, "of unit 2 has ended");
          refused([&] { return zero_backward_begin(z, 2, nullptr); }, "of unit 2 has ended");
          refused([&] { return zero_micro_batch(z, 0, 2); }, "are there already");
          refused([&] { return zero_step(z, 0.01, nullptr); }, "micro-batch 1 of 2");
          refused([&] { return zero_full_begin(z, ZERO_ON_ALL, ZERO_READ); }, "between two steps");
          refused([&] { return zero_visit(z, ZERO_READ, no_update, nullptr); },
                  "between two steps");
          expect_ok(z, zero_micro_batch(z, 1, 2));
          model.forward(step, 1);
          expect_ok(z, zero_forward_end(z, 0, nullptr));
          if (stage == 3) {
            refused([&] { return zero_backward_end(z, 1, nullptr); }, "unit 1 has not begun");
          }
          expect_ok(z, zero_forward_begin(z, 1, nullptr));
          refused([&] { return zero_forward_begin(z, 1, nullptr); }, "unit 1 has begun already");
          refused([&] { return zero_step(z, 0.01, nullptr); }, "unit 1 is between");
          refused([&] { return zero_evaluate(z); }, "unit 1 is between");
          expect_ok(z, zero_forward_end(z, 1, nullptr));
          model.forward_backward(step, 1);
          refused([&] { return zero_step(z, NAN, nullptr); }, "not finite");
          refused([&] { return zero_step_with(z, 0.1, no_update, nullptr, nullptr); }, "built-in");
          refused([&] { return zero_attach(z, nullptr, 0, 0); }, "before zero_commit");
          refused([&] { return zero_commit(z); }, "before zero_commit");
          refused([&] { return zero_range(z, 0, 8) == nullptr ? ZERO_INVALID : ZERO_OK; },
                  "before zero_commit");
          const int order[] = {0};
          refused([&] { return zero_forward_order(z, order, 1); }, "before zero_commit");
          expect_ok(z, zero_step(z, 0.01, nullptr));
          refused([&] { return zero_last_step(z, nullptr); }, "null pointer");
          zero_step_result unsized{};
          refused([&] { return zero_last_step(z, &unsized); }, "struct_size");
        }
        const std::string digest = digest_of(z);
        if (rank != 0) return;
        if (!wrong) clean[stage] = digest;
        EXPECT_EQ(digest, clean[stage]);
        EXPECT_EQ(digest, clean[0]);
      });
    }
  }
}

TEST(client_step, ranks_that_step_with_different_rates_are_named) {
  for (const int stage : {0, 3}) {
    flat_run run;
    run.stage = stage;
    with_clients(2, run, [&](zero_optimizer* z, flat_model& model, int rank) {
      model.forward_backward(0, 0);
      EXPECT_EQ(zero_step(z, rank == 0 ? 0.01 : 0.02, nullptr), ZERO_DESYNC);
      EXPECT_NE(std::string(zero_last_error(z)).find("rank 1"), std::string::npos);
      EXPECT_EQ(zero_first_error(z), ZERO_DESYNC);
    });
  }
}

// Placed parameters of stage 3 are in slots: one unit too many is refused, and what is held stays.
TEST(client_placed, more_units_than_slots_are_refused_by_name) {
  for (const int prefetch : {0, 1}) {
    flat_run run;
    run.stage = 3;
    run.placed = true;
    run.prefetch = prefetch;
    with_clients(2, run, [&](zero_optimizer* z, flat_model&, int) {
      for (int unit = 0; unit <= prefetch; ++unit) {
        expect_ok(z, zero_forward_begin(z, unit, nullptr));
      }
      expect_refused(z, zero_forward_begin(z, 3, nullptr), "no slot is left for unit '3'");
      expect_refused(z, zero_backward_begin(z, 3, nullptr), "no slot is left for unit '3'");
      void* at = nullptr;
      expect_refused(z, zero_parameter(z, "tensor.1", 2, &at), "'tensor.1[2]' is nowhere");
      expect_ok(z, zero_parameter(z, "tensor.0", 0, &at));
      EXPECT_EQ(static_cast<float*>(at)[3], static_cast<float>(initial_value(3)));
      expect_ok(z, zero_forward_end(z, 0, nullptr));
      expect_ok(z, zero_backward_begin(z, 3, nullptr));
      expect_ok(z, zero_gradient(z, "tensor.1", 2, &at));
      expect_refused(z, zero_gradient(z, "tensor.1", 1, &at), "unit 2 has not begun");
      expect_refused(z, zero_bind_gradient(z, "tensor.1", at), "placed by the library");
    });
  }
}

// ---- two at once ----

struct second_caller {
  zero_optimizer* z = nullptr;
  std::vector<zero_status> seen;
  zero_status reentered = ZERO_OK;
  zero_status closed = ZERO_OK;
  static void tell(void* user, zero_status status, const char* message) {
    auto& self = *static_cast<second_caller*>(user);
    EXPECT_GT(std::string(message).size(), 0U);
    self.seen.push_back(status);
    if (status == ZERO_BUSY) return;
    // The first thread is within its call as long as this runs.
    self.reentered = zero_evaluate(self.z);
    std::thread other([&] { self.closed = zero_close(self.z); });
    other.join();
  }
};

TEST(client_handle, is_refused_to_a_second_thread) {
  flat_run run;
  with_clients(1, run, [](zero_optimizer* z, flat_model& model, int) {
    second_caller caller;
    caller.z = z;
    zero_on_error(z, second_caller::tell, &caller);
    EXPECT_EQ(zero_forward_end(z, 1, nullptr), ZERO_INVALID);
    EXPECT_EQ(caller.reentered, ZERO_BUSY);
    EXPECT_EQ(caller.closed, ZERO_BUSY);
    EXPECT_EQ(caller.seen, (std::vector<zero_status>{ZERO_INVALID, ZERO_BUSY}));
    zero_on_error(z, nullptr, nullptr);
    EXPECT_EQ(zero_first_error(z), ZERO_OK);
    train_step(z, model, 0);
  });
}

TEST(client_handle, used_by_many_threads_at_once_does_not_crash) {
  flat_run run;
  run.stage = 3;
  with_clients(1, run, [](zero_optimizer* z, flat_model&, int) {
    std::atomic<int> wrong = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        for (int turn = 0; turn < 200; ++turn) {
          const int unit = i;
          const zero_status begun = zero_forward_begin(z, unit, nullptr);
          if (begun != ZERO_OK && begun != ZERO_BUSY) ++wrong;
          if (begun != ZERO_OK) continue;
          zero_status ended = ZERO_BUSY;
          while (ended == ZERO_BUSY) ended = zero_forward_end(z, unit, nullptr);
          if (ended != ZERO_OK) ++wrong;
        }
      });
    }
    for (std::thread& t : threads) t.join();
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(zero_first_error(z), ZERO_OK);
  });
}

TEST(client_create, refuses_bad_settings_and_ranks_in_use) {
  run_clients(1, [](zero_ranks& own) {
    zero_message why{};
    zero_optimizer* z = nullptr;
    zero_config config = config_of({});
    config.stage = 4;
    EXPECT_EQ(zero_create(&config, &own, &z, &why), ZERO_INVALID);
    EXPECT_NE(std::string(why.text).find("stage"), std::string::npos) << why.text;
    config.stage = 0;
    config.device = 0;
    EXPECT_EQ(zero_create(&config, &own, &z, &why), ZERO_INVALID);
    EXPECT_NE(std::string(why.text).find("device 0"), std::string::npos) << why.text;
    config.device = -1;
    config.struct_size = 3;
    EXPECT_EQ(zero_create(&config, &own, &z, &why), ZERO_INVALID);
    config.struct_size = sizeof config;
    EXPECT_EQ(z, nullptr);
    ASSERT_EQ(zero_create(&config, &own, &z, &why), ZERO_OK);
    zero_optimizer* second = nullptr;
    EXPECT_EQ(zero_create(&config, &own, &second, &why), ZERO_INVALID);
    EXPECT_NE(std::string(why.text).find("open optimizer"), std::string::npos) << why.text;
    zero_config now{};
    now.struct_size = sizeof now;
    EXPECT_EQ(zero_get_config(z, &now), ZERO_OK);
    EXPECT_EQ(now.deadline_seconds, 30);
    EXPECT_EQ(zero_close(z), ZERO_OK);
    ASSERT_EQ(zero_create(&config, &own, &second, &why), ZERO_OK);
    EXPECT_EQ(zero_close(second), ZERO_OK);
  });
}

}  // namespace
}  // namespace zero::testing
