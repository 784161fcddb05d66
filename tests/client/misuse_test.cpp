// Bad input: an error that says what and where, and what was there is as it was; or a handle that
// goes on giving its first error.

#include "flat_trainer.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstdint>
#include <functional>
#include <thread>

namespace zero::testing {
namespace {

void expect_refused(zero_optimizer* z, zero_status status, const std::string& says) {
  EXPECT_EQ(status, ZERO_INVALID) << says;
  EXPECT_NE(std::string(zero_last_error(z)).find(says), std::string::npos)
      << "'" << zero_last_error(z) << "' does not say '" << says << "'";
  EXPECT_EQ(zero_first_error(z), ZERO_OK);
}

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

void with_open(const zero_config& config, const std::function<void(zero_optimizer*)>& body) {
  run_clients(1, [&](zero_ranks& own) {
    zero_optimizer* z = create(own, config);
    body(z);
    zero_close(z);
  });
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

// ---- attaching ----

zero_segment segment_of(const char* name, void* parameter, void* gradient, std::uint64_t count) {
  zero_segment s{};
  s.name = name;
  s.parameter = parameter;
  s.gradient = gradient;
  s.count = count;
  return s;
}

TEST(client_attach, refuses_each_bad_segment_with_its_name_and_reason) {
  float memory[64] = {};
  const zero_segment good = segment_of("good", memory, memory + 8, 8);
  struct bad_case {
    const char* says;
    std::function<void(zero_segment&)> spoil;
  };
  const std::uint64_t shape[] = {2, 3};
  const std::vector<bad_case> cases{
      {"no name", [](zero_segment& s) { s.name = nullptr; }},
      {"no name", [](zero_segment& s) { s.name = ""; }},
      {"'good' is attached twice", [](zero_segment& s) { s.name = "good"; }},
      {"'bad' has dtype 7", [](zero_segment& s) { s.dtype = 7; }},
      {"'bad' is in unit -1", [](zero_segment& s) { s.unit = -1; }},
      {"has -2 slices", [](zero_segment& s) { s.slices = -2; }},
      {"not 3 equal slices", [](zero_segment& s) { s.slices = 3; }},
      {"in group -1", [](zero_segment& s) { s.group = -1; }},
      {"unknown flags", [](zero_segment& s) { s.flags = 64; }},
      {"frozen and has a gradient", [](zero_segment& s) { s.flags = ZERO_FROZEN; }},
      {"shape of 6 elements", [&](zero_segment& s) { s.shape = shape, s.dimensions = 2; }},
      {"dimensions and no shape", [](zero_segment& s) { s.dimensions = 2; }},
      {"has -1 dimensions", [](zero_segment& s) { s.dimensions = -1; }},
      {"no parameter pointer", [](zero_segment& s) { s.parameter = s.gradient = nullptr; }},
      {"gradient and no parameter", [](zero_segment& s) { s.parameter = nullptr; }},
      {"parameter of 'good' already", [&](zero_segment& s) { s.parameter = memory + 7; }},
      {"gradient of 'good' already", [&](zero_segment& s) { s.gradient = memory + 15; }},
      {"gradient of 'good' already", [&](zero_segment& s) { s.parameter = memory + 12; }},
      {"'bad' already", [](zero_segment& s) { s.gradient = s.parameter; }},
      {"tied to 'nobody'", [](zero_segment& s) { s.tied_to = "nobody"; }},
      {"in other memory", [](zero_segment& s) { s.tied_to = "good"; }},
      {"not as many", [](zero_segment& s) { s.tied_to = "good", s.count = 4; }},
      {"past the last address",
       [](zero_segment& s) { s.parameter = reinterpret_cast<void*>(~std::uintptr_t{15}); }},
      {"elements", [](zero_segment& s) { s.count = ~std::uint64_t{0}; }}};
  with_open(config_of({}), [&](zero_optimizer* z) {
    expect_ok(z, zero_attach(z, &good, 1, sizeof good));
    for (const bad_case& one : cases) {
      zero_segment two[] = {segment_of("before", memory + 32, memory + 40, 8),
                            segment_of("bad", memory + 16, memory + 24, 8)};
      one.spoil(two[1]);
      expect_refused(z, zero_attach(z, two, 2, sizeof two[0]), one.says);
    }
    expect_refused(z, zero_attach(z, nullptr, 1, sizeof good), "no segments");
    expect_refused(z, zero_attach(z, &good, 1, 7), "7 bytes");
    expect_refused(z, zero_attach(z, &good, 1, 4096), "4096 bytes");
    // None of them has left anything: what came with them can be attached still.
    const zero_segment before = segment_of("before", memory + 32, memory + 40, 8);
    expect_ok(z, zero_attach(z, &before, 1, sizeof before));
    expect_ok(z, zero_commit(z));
  });
}

TEST(client_attach, wrap_flat_refuses_what_cannot_be_stacks) {
  float memory[64] = {};
  const std::size_t counts[] = {4, 6, 6};
  with_open(config_of({}), [&](zero_optimizer* z) {
    expect_refused(z, zero_wrap_flat(z, nullptr, nullptr, counts, 3, 1, 2, 3), "null pointer");
    expect_refused(z, zero_wrap_flat(z, memory, nullptr, nullptr, 3, 1, 2, 3), "null pointer");
    expect_refused(z, zero_wrap_flat(z, memory, nullptr, counts, 3, 2, 1, 3), "stacks");
    expect_refused(z, zero_wrap_flat(z, memory, nullptr, counts, 3, 1, 4, 3), "stacks");
    expect_refused(z, zero_wrap_flat(z, memory, nullptr, counts, 3, 1, 3, 0), "stacks");
    expect_refused(z, zero_wrap_flat(z, memory, nullptr, counts, 3, 1, 3, 4), "not 4 equal slices");
    expect_refused(z, zero_wrap_flat(z, memory, memory + 15, counts, 3, 1, 3, 3), "already");
    expect_ok(z, zero_wrap_flat(z, memory, nullptr, counts, 3, 1, 3, 3));
    expect_refused(z, zero_bind_gradients_flat(z, nullptr), "null pointer");
    expect_refused(z, zero_bind_gradients_flat(z, memory + 12), "already");
    expect_ok(z, zero_bind_gradients_flat(z, memory + 16));
    expect_refused(z, zero_bind_gradients_flat(z, memory + 32), "has a gradient already");
  });
}

TEST(client_attach, stages_that_give_memory_back_ask_for_ranges) {
  static float memory[64] = {};
  const std::size_t counts[] = {16};
  flat_run run;
  for (run.stage = 2; run.stage <= 3; ++run.stage) {
    with_open(config_of(run), [&](zero_optimizer* z) {
      expect_refused(z, zero_wrap_flat(z, memory, memory + 16, counts, 1, 0, 0, 1),
                     run.stage == 2 ? "gradient of segment 'tensor.0' is not in memory of"
                                    : "parameter of segment 'tensor.0' is not in memory of");
      auto* parameters = static_cast<float*>(zero_range(z, ZERO_PARAMETERS, 64));
      auto* gradients = static_cast<float*>(zero_range(z, ZERO_GRADIENTS, 64));
      expect_refused(z, zero_wrap_flat(z, gradients, parameters, counts, 1, 0, 0, 1),
                     "range of the other kind");
      expect_refused(z, zero_wrap_flat(z, parameters + 4, gradients, counts, 1, 0, 0, 1),
                     "out of its range");
      expect_ok(z, zero_wrap_flat(z, parameters, nullptr, counts, 1, 0, 0, 1));
      expect_refused(z, zero_bind_gradients_flat(z, memory), "is not in memory of zero_range");
      expect_ok(z, zero_bind_gradients_flat(z, gradients));
    });
  }
  with_open(config_of({}), [](zero_optimizer* z) {
    EXPECT_EQ(zero_range(z, 2, 8), nullptr);
    expect_refused(z, ZERO_INVALID, "neither");
    EXPECT_EQ(zero_range(z, 0, 0), nullptr);
    expect_refused(z, ZERO_INVALID, "0 bytes");
    // More than there can be is no mistake in the order of calls: it is the first error.
    EXPECT_EQ(zero_range(z, 0, std::size_t{1} << 60), nullptr);
    EXPECT_EQ(zero_first_error(z), ZERO_RESOURCE);
    EXPECT_EQ(zero_range(z, 0, 8), nullptr);
    EXPECT_EQ(zero_attach(z, nullptr, 0, 0), ZERO_RESOURCE);
  });
}

TEST(client_commit, names_where_two_ranks_attach_different_lists) {
  std::atomic<int> told = 0;
  run_clients(3, [&](zero_ranks& own) {
    float memory[32] = {};
    zero_optimizer* z = create(own, config_of({}));
    const bool other = own.communicator->rank() == 2;
    const zero_segment list[] = {
        segment_of("first", memory, memory + 16, 8),
        segment_of(other ? "second_of_another" : "second", memory + 8, memory + 24, 8)};
    expect_ok(z, zero_attach(z, list, 2, sizeof list[0]));
    EXPECT_EQ(zero_commit(z), ZERO_DESYNC);
    const std::string text = zero_last_error(z);
    for (const char* part : {"rank 2", "'second_of_another'", "'second'"}) {
      EXPECT_NE(text.find(part), std::string::npos) << text;
    }
    EXPECT_EQ(zero_commit(z), ZERO_DESYNC);  // its first error
    EXPECT_EQ(zero_close(z), ZERO_DESYNC);
    ++told;
  });
  EXPECT_EQ(told, 3);
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
