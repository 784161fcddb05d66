// Checkpoints behind the C interface: what is loaded goes on as what was saved, in every form and
// at every stage; what is refused and what fails leaves the handle as it was.

#include "flat_trainer.hpp"
#include "offload/scratch.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <string>
#include <vector>

namespace zero::testing {
namespace {

zero_checkpoint_config config_in(const std::string& directory) {
  zero_checkpoint_config config;
  zero_checkpoint_config_init(&config);
  config.directory = directory.c_str();
  return config;
}

zero_checkpoint* open_in(zero_optimizer* z, const std::string& directory, bool background = false) {
  zero_checkpoint_config config = config_in(directory);
  config.background = background ? 1 : 0;
  zero_checkpoint* c = nullptr;
  expect_ok(z, zero_checkpoint_open(z, &config, &c));
  return c;
}

zero_checkpoint_report load_from(zero_optimizer* z, const std::string& directory) {
  zero_checkpoint* c = open_in(z, directory);
  zero_checkpoint_report found{};
  found.struct_size = sizeof found;
  expect_ok(z, zero_checkpoint_load(c, &found));
  expect_ok(z, zero_checkpoint_close(c));
  return found;
}

void save_in(zero_optimizer* z, const std::string& directory, std::uint64_t step) {
  zero_checkpoint* c = open_in(z, directory);
  expect_ok(z, zero_checkpoint_save(c, step, nullptr, 0));
  expect_ok(z, zero_checkpoint_close(c));
}

std::vector<float> array_of(zero_optimizer* z, const char* name, int slice, int state,
                            std::size_t count) {
  std::vector<float> out(count);
  expect_ok(z, zero_read_state(z, name, slice, state, ZERO_ON_ALL, out.data()));
  return out;
}

// A run that is not interrupted, saved after two of five steps.
struct long_run {
  std::vector<float> then;  // parameters when it was saved
  std::vector<float> second_moments;
  std::string digest_then;
  std::string digest;
  std::vector<double> losses;  // of rank 0
};

int own_momentum(void*, const zero_update_range* range) {
  const auto* gradient = static_cast<const float*>(range->gradient);
  const auto rate = static_cast<float>(range->learning_rate) * static_cast<float>(range->step);
  for (std::uint64_t i = 0; i < range->count; ++i) {
    range->states[0][i] = 0.9F * range->states[0][i] + gradient[i];
    range->master[i] -= rate * range->states[0][i];
  }
  return 0;
}

double step_by(zero_optimizer* z, flat_model& model, const flat_run& run, int step) {
  double loss = 0;
  for (int micro = 0; micro < run.micro_batches; ++micro) {
    if (run.micro_batches > 1) expect_ok(z, zero_micro_batch(z, micro, run.micro_batches));
    loss += model.forward_backward(step, micro);
  }
  const double rate = run.rule == ZERO_OWN_RULE ? 1e-4 : 0.01;
  expect_ok(z, run.rule == ZERO_OWN_RULE ? zero_step_with(z, rate, own_momentum, nullptr, &loss)
                                         : zero_step(z, rate, &loss));
  return loss;
}

void train_long(int ranks, const flat_run& run, const std::string& directory, long_run& out) {
  with_clients(ranks, run, [&](zero_optimizer* z, flat_model& model, int rank) {
    std::vector<double> losses;
    for (int step = 0; step < 5; ++step) {
      losses.push_back(step_by(z, model, run, step));
      if (step != 1) continue;
      zero_group group{};
      group.struct_size = sizeof group;
      group.learning_rate_factor = 0.5F;
      group.weight_decay = 0.01F;
      group.beta1 = 0.8F;
      group.beta2 = 0.99F;
      group.epsilon = 1e-6F;
      group.momentum = 0.7F;
      expect_ok(z, zero_set_group(z, 0, &group));
      save_in(z, directory, 2);
      const std::vector<float> whole = model.whole();
      const std::string digest = digest_of(z);
      const int states = run.rule == ZERO_ADAMW ? 1 : 0;
      const auto moments = array_of(z, "tensor.1", 2, states, std::size_t{width} * width);
      if (rank == 0) {
        out.then = whole;
        out.digest_then = digest;
        out.second_moments = moments;
      }
    }
    const std::string digest = digest_of(z);
    if (rank == 0) {
      out.digest = digest;
      out.losses = losses;
    }
  });
}

// What the handle shows once it has been loaded is what was saved.
void expect_loaded(zero_optimizer* z, flat_model& model, const flat_run& run,
                   const long_run& right) {
  EXPECT_EQ(digest_of(z), right.digest_then);
  EXPECT_EQ(model.whole(), right.then);
  const int state = run.rule == ZERO_ADAMW ? 1 : 0;
  EXPECT_EQ(array_of(z, "tensor.1", 2, state, std::size_t{width} * width), right.second_moments);
}

void expect_goes_on(int ranks, const flat_run& run, const std::string& directory,
                    const long_run& right) {
  with_clients(ranks, run, [&](zero_optimizer* z, flat_model& model, int rank) {
    step_by(z, model, run, 0);  // which counts for nothing
    const zero_checkpoint_report found = load_from(z, directory);
    EXPECT_EQ(found.found, 1);
    EXPECT_EQ(found.step, 2U);
    EXPECT_EQ(found.updates, 2U);
    EXPECT_GT(found.bytes, 12 * flat_elements());
    expect_loaded(z, model, run, right);
    for (int step = 2; step < 5; ++step) {
      const double loss = step_by(z, model, run, step);
      if (rank == 0) {
        EXPECT_EQ(loss, right.losses[static_cast<std::size_t>(step)]) << step;
      }
    }
    EXPECT_EQ(digest_of(z), right.digest);
    zero_step_result last{};
    last.struct_size = sizeof last;
    expect_ok(z, zero_last_step(z, &last));
    EXPECT_EQ(last.step, 5U);
  });
}

std::vector<flat_run> every_form() {
  std::vector<flat_run> all;
  for (int stage = 0; stage <= 3; ++stage) {
    for (const bool placed : {false, true}) {
      flat_run run;
      run.stage = stage;
      run.placed = placed;
      run.stable = placed && stage == 3;
      all.push_back(run);
    }
  }
  return all;
}

std::string name_of(const flat_run& run) {
  return "stage " + std::to_string(run.stage) + (run.placed ? ", placed" : ", mirrored");
}

TEST(client_checkpoint, goes_on_bit_for_bit_in_every_form) {
  for (const int ranks : {1, 3}) {
    for (flat_run run : every_form()) {
      SCOPED_TRACE(name_of(run) + ", " + std::to_string(ranks) + " ranks");
      const scratch_directory scratch;
      long_run right;
      train_long(ranks, run, scratch.path(), right);
      expect_goes_on(ranks, run, scratch.path(), right);
    }
  }
}

TEST(client_checkpoint, goes_on_bit_for_bit_by_an_own_rule) {
  for (flat_run run : every_form()) {
    SCOPED_TRACE(name_of(run));
    run.rule = ZERO_OWN_RULE;
    run.adjust = [](zero_config& config) {
      config.own_states = 1;
      config.extra_states = 1;
    };
    const scratch_directory scratch;
    long_run right;
    train_long(3, run, scratch.path(), right);
    expect_goes_on(3, run, scratch.path(), right);
  }
}

TEST(client_checkpoint, goes_on_with_micro_batches_a_loss_scale_and_state_on_disk) {
  for (const int reduce_at : {ZERO_EVERY_MICRO_BATCH, ZERO_AT_BOUNDARY}) {
    flat_run run;
    run.stage = 3;
    run.micro_batches = 2;
    run.reduce_at = reduce_at;
    run.adjust = [](zero_config& config) {
      config.loss_scale = 0;
      config.first_loss_scale = 4;
      config.loss_scale_window = 2;
      config.optimizer_tier = ZERO_ON_DISK;
    };
    const scratch_directory scratch;
    long_run right;
    train_long(2, run, scratch.path(), right);
    with_clients(2, run, [&](zero_optimizer* z, flat_model& model, int) {
      EXPECT_EQ(load_from(z, scratch.path()).found, 1);
      double scale = 0;
      expect_ok(z, zero_loss_scale(z, &scale));
      EXPECT_EQ(scale, 8.0);  // two clean steps
      expect_loaded(z, model, run, right);
      for (int step = 2; step < 5; ++step) step_by(z, model, run, step);
      EXPECT_EQ(digest_of(z), right.digest);
    });
  }
}

// From any number of ranks, stage and form to any other.
TEST(client_checkpoint, is_the_same_at_every_other_world) {
  for (const int saved_at : {1, 4}) {
    flat_run saved;
    saved.stage = saved_at == 4 ? 3 : 0;
    const scratch_directory scratch;
    long_run right;
    train_long(saved_at, saved, scratch.path(), right);
    for (const int ranks : {1, 2, 3, 5}) {
      for (const flat_run& run : every_form()) {
        SCOPED_TRACE(name_of(run) + ", " + std::to_string(ranks) + " ranks");
        with_clients(ranks, run, [&](zero_optimizer* z, flat_model& model, int) {
          EXPECT_EQ(load_from(z, scratch.path()).updates, 2U);
          expect_loaded(z, model, run, right);
          EXPECT_GT(step_by(z, model, run, 2), 0.0);
        });
      }
    }
  }
}

TEST(client_checkpoint, keeps_what_a_client_attaches) {
  const scratch_directory scratch;
  const std::string bytes("a\0b", 3);
  with_clients(2, {}, [&](zero_optimizer* z, flat_model&, int rank) {
    zero_checkpoint* c = open_in(z, scratch.path());
    const std::string own = rank == 0 ? bytes : "of another rank";
    const zero_attachment all[] = {{"position", own.data(), own.size()}, {"nothing", nullptr, 0}};
    expect_ok(z, zero_checkpoint_save(c, 7, all, 2));
    const void* found = nullptr;
    std::size_t size = 0;
    EXPECT_EQ(zero_checkpoint_attachment(c, "position", &found, &size), ZERO_INVALID);
    expect_ok(z, zero_checkpoint_load(c, nullptr));
    expect_ok(z, zero_checkpoint_attachment(c, "position", &found, &size));
    EXPECT_EQ(std::string(static_cast<const char*>(found), size), bytes);
    expect_ok(z, zero_checkpoint_attachment(c, "nothing", &found, &size));
    EXPECT_EQ(size, 0U);
    EXPECT_EQ(zero_checkpoint_attachment(c, "another", &found, &size), ZERO_INVALID);
    EXPECT_NE(std::string(zero_last_error(z)).find("'another'"), std::string::npos);
    EXPECT_EQ(zero_first_error(z), ZERO_OK);
    expect_ok(z, zero_checkpoint_close(c));
  });
}

// The state of one step, whatever training does meanwhile.
TEST(client_checkpoint, in_the_background_is_that_of_its_step) {
  const scratch_directory scratch;
  std::string saved;
  const flat_run run;
  with_clients(3, run, [&](zero_optimizer* z, flat_model& model, int rank) {
    zero_checkpoint* c = open_in(z, scratch.path(), true);
    train_step(z, model, 0);
    const std::string digest = digest_of(z);
    if (rank == 0) saved = digest;
    expect_ok(z, zero_checkpoint_save(c, 1, nullptr, 0));
    for (int step = 1; step < 4; ++step) train_step(z, model, step);
    zero_checkpoint_report newest{};
    newest.struct_size = sizeof newest;
    expect_ok(z, zero_checkpoint_finish(c, &newest));
    EXPECT_EQ(newest.found, 1);
    EXPECT_EQ(newest.step, 1U);
    expect_ok(z, zero_checkpoint_save(c, 4, nullptr, 0));
    expect_ok(z, zero_checkpoint_close(c));
    EXPECT_NE(digest_of(z), saved);
  });
  std::filesystem::remove_all(scratch / "step-000000000004");
  with_clients(2, run, [&](zero_optimizer* z, flat_model&, int) {
    EXPECT_EQ(load_from(z, scratch.path()).step, 1U);
    EXPECT_EQ(digest_of(z), saved);
  });
}

TEST(client_checkpoint, only_the_newest_stay) {
  const scratch_directory scratch;
  with_clients(1, {}, [&](zero_optimizer* z, flat_model&, int) {
    zero_checkpoint_config config = config_in(scratch.path());
    config.keep = 3;
    zero_checkpoint* c = nullptr;
    expect_ok(z, zero_checkpoint_open(z, &config, &c));
    for (std::uint64_t step = 1; step <= 5; ++step) {
      expect_ok(z, zero_checkpoint_save(c, step, nullptr, 0));
    }
    // It goes with its optimizer, if nobody closes it.
  });
  int folders = 0;
  for (const auto& entry : std::filesystem::directory_iterator(scratch.path())) {
    folders += entry.path().filename().string().rfind("step-", 0) == 0 ? 1 : 0;
  }
  EXPECT_EQ(folders, 3);
}

}  // namespace
}  // namespace zero::testing
