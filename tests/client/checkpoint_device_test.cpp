// Checkpoints of trainers whose memory is a device's that is late at random: what they save goes on
// with the bits of the host's, and what the host saves with theirs.

#include "offload/scratch.hpp"
#include "queued_client.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace zero::testing {
namespace {

struct ending {
  std::vector<float> parameters;
  std::string digest;
};

// Steps [from, to) of a rank, loaded before if `from` is not 0, saved after step `save_at`.
void train(zero_ranks& ranks, const flat_run& run, const std::string& directory, int from, int to,
           int save_at, ending& out) {
  const int rank = ranks.communicator->rank();
  const std::unique_ptr<zero_optimizer, zero_status (*)(zero_optimizer*)> z(
      create(ranks, config_of(run)), zero_close);
  flat_model model(z.get(), run, rank);
  zero_checkpoint_config config;
  zero_checkpoint_config_init(&config);
  config.directory = directory.c_str();
  zero_checkpoint* c = nullptr;
  expect_ok(z.get(), zero_checkpoint_open(z.get(), &config, &c));
  if (from > 0) {
    zero_checkpoint_report found{};
    found.struct_size = sizeof found;
    expect_ok(z.get(), zero_checkpoint_load(c, &found));
    EXPECT_EQ(found.updates, static_cast<std::uint64_t>(from));
  }
  for (int step = from; step < to; ++step) {
    model.forward_backward(step, 0);
    expect_ok(z.get(), zero_step(z.get(), run.learning_rate, nullptr));
    if (step + 1 == save_at) expect_ok(z.get(), zero_checkpoint_save(c, 1, nullptr, 0));
  }
  const ending now{model.whole(), digest_of(z.get())};
  if (rank == 0) out = now;
  expect_ok(z.get(), zero_checkpoint_close(c));
}

TEST(client_checkpoint_on_device, passes_between_device_and_host) {
  for (int stage = 0; stage <= 3; ++stage) {
    for (const bool placed : {false, true}) {
      SCOPED_TRACE("stage " + std::to_string(stage) + (placed ? ", placed" : ", mirrored"));
      flat_run run;
      run.stage = stage;
      run.placed = run.stable = placed;
      const scratch_directory of_device;
      const scratch_directory of_host;
      ending right;
      ending got;
      run_on_device(2, run, [&](zero_ranks& own, const flat_run& here) {
        train(own, here, of_device.path(), 0, 4, 2, right);
      });
      const auto expect_right = [&] {
        EXPECT_EQ(got.digest, right.digest);
        EXPECT_EQ(got.parameters, right.parameters);
        got = {};
      };
      run_on_device(2, run, [&](zero_ranks& own, const flat_run& here) {
        train(own, here, of_device.path(), 2, 4, 0, got);
      });
      expect_right();
      run_clients(2, [&](zero_ranks& own) { train(own, run, of_device.path(), 2, 4, 0, got); });
      expect_right();
      run_clients(2, [&](zero_ranks& own) { train(own, run, of_host.path(), 0, 4, 3, got); });
      expect_right();
      run_on_device(2, run, [&](zero_ranks& own, const flat_run& here) {
        train(own, here, of_host.path(), 3, 4, 0, got);
      });
      expect_right();
    }
  }
}

}  // namespace
}  // namespace zero::testing
