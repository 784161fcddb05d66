// A trainer whose memory is a device's ends with the bits of the host, in both forms and at every
// stage, though nobody waits for what is queued.

#include "kernel_trainer.hpp"
#include "queued_client.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>

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
  queued_stream* lane = nullptr;
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
  if (range->stream == nullptr) return 1;
  static_cast<queued_stream*>(range->stream)->run(step);
  return 0;
}

std::vector<float> train_by_own_rule(zero_ranks& own, const flat_run& run, bool on_device) {
  const std::unique_ptr<zero_optimizer, zero_status (*)(zero_optimizer*)> z(
      create(own, config_of(run)), zero_close);
  flat_model model(z.get(), run, zero_rank(z.get()));
  rule_of_device rule;
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

// ---- ranges ----

TEST(device_range, what_is_given_back_holds_no_memory_and_is_counted) {
  flat_run run;
  run.stage = 3;
  run_on_device(2, run, [](zero_ranks& own, const flat_run& here) {
    const std::unique_ptr<zero_optimizer, zero_status (*)(zero_optimizer*)> z(
        create(own, config_of(here)), zero_close);
    flat_model model(z.get(), here, zero_rank(z.get()));
    for (int step = 0; step < 3; ++step) static_cast<void>(train_step(z.get(), model, step));
    const auto report = nlohmann::json::parse(zero_report_json(z.get()));
    for (const char* what : {"parameters", "gradients"}) {
      const auto& mapping = report["mapping"][what];
      EXPECT_EQ(mapping["granule"], 4096);
      EXPECT_GT(mapping["mapped_bytes"], 0) << what;
      EXPECT_GT(mapping["map_microseconds"], 0.0) << what;
      EXPECT_LE(mapping["unmapped_bytes"], mapping["mapped_bytes"]) << what;
    }
    EXPECT_GT(report["mapping"]["parameters"]["unmapped_bytes"], 0);  // after the commit
    EXPECT_EQ(report["units"]["begins"]["count"], report["units"]["ends"]["count"]);
    EXPECT_GT(report["units"]["begins"]["host_microseconds"], 0.0);
    EXPECT_EQ(report["device"], 0);
  });
}

// Two units need a granule or two each at once; those that units share stay. 67 KB are 17.
TEST(device_range, takes_a_small_pool_of_granules) {
  constexpr std::size_t granule = 4096;
  run_clients(1, [&](zero_ranks& own) {
    queued_stream usual(3, longest_pause_us);
    queued_client_device device(*own.communicator, usual);
    client::range_count count;
    client::granule_pool pool(device.memory(), device.work(), count);
    const auto range =
        client::make_device_range(client::range_use::gradients, 10 * granule + 5, false, pool);
    EXPECT_EQ(count.now(), 0U);
    const auto unit = [&](std::size_t i) {  // a whole granule and half of the next one
      return client::extent{2 * i * granule, granule + granule / 2};
    };
    for (int round = 0; round < 3; ++round) {
      for (std::size_t i = 0; i < 5; ++i) {
        const client::extent part = unit(i);
        range->take({&part, 1});
        std::byte* const at = range->begin() + part.at;
        bool zeros = true;
        usual.wait(device.work().queue().record());
        usual.run([&] {
          for (std::size_t b = 0; b < part.bytes; ++b) {
            zeros = zeros && at[b] == std::byte{0};
            at[b] = std::byte{1};
          }
        });
        device.work().queue().wait(usual.record());
        range->give_back({&part, 1});
        usual.record().wait();
        EXPECT_TRUE(zeros) << round << " " << i;
      }
      // Five halves, and at most two units' own.
      EXPECT_LE(count.now(), (5 + 4) * granule);
    }
    range->trim();
    EXPECT_LE(count.now(), (5 + 4) * granule);
    EXPECT_GT(pool.cost().unmapped_bytes, 0U);
  });
}

TEST(device_range, parameters_given_back_are_no_numbers) {
  constexpr std::size_t granule = 4096;
  run_clients(1, [&](zero_ranks& own) {
    queued_stream usual(3, longest_pause_us);
    queued_client_device device(*own.communicator, usual);
    client::range_count count;
    client::granule_pool pool(device.memory(), device.work(), count);
    const auto range =
        client::make_device_range(client::range_use::parameters, 3 * granule, true, pool);
    auto* const values = reinterpret_cast<float*>(range->begin());
    EXPECT_EQ(values[3 * granule / 4 - 1], 0.0F);
    const client::extent part{granule / 2, 2 * granule};  // one whole granule, two halves
    range->take({&part, 1});
    range->give_back({&part, 1});
    device.work().queue().record().wait();
    EXPECT_EQ(values[granule / 8 - 1], 0.0F);  // another's
    EXPECT_TRUE(std::isnan(values[granule / 8]));
    EXPECT_TRUE(std::isnan(values[granule / 4]));  // not needed elsewhere yet
    EXPECT_TRUE(std::isnan(values[5 * granule / 8 - 1]));
    EXPECT_EQ(values[5 * granule / 8], 0.0F);
    range->trim();
    EXPECT_EQ(pool.cost().unmapped_bytes, granule);
  });
}

// ---- who has which device ----

using client::device_offer;
using client::device_sharing;

TEST(device_sharing, follows_from_what_ranks_offer) {
  const std::vector<device_offer> same{{1, 1}, {1, 1}};
  const std::vector<device_offer> apart{{0, 1}, {1, 1}};
  EXPECT_EQ(client::sharing_of({same.data(), 1}, false, false), device_sharing::one_for_all);
  EXPECT_EQ(client::sharing_of(same, true, false), device_sharing::one_for_all);
  EXPECT_EQ(client::sharing_of(apart, true, true), device_sharing::one_for_each);
  // Processes that see one GPU each may name it alike.
  EXPECT_EQ(client::sharing_of(same, false, true), device_sharing::one_for_each);
}

void expect_refused_sharing(const std::vector<device_offer>& offers, bool threads, bool nccl,
                            const std::string& says) {
  try {
    static_cast<void>(client::sharing_of(offers, threads, nccl));
    ADD_FAILURE() << says;
  } catch (const invalid_argument& e) {
    EXPECT_NE(std::string(e.what()).find(says), std::string::npos) << e.what();
  }
}

TEST(device_sharing, is_refused_by_name) {
  expect_refused_sharing({{0, 1}, {3, 0}}, true, true, "device 3 of rank 1");
  expect_refused_sharing({{0, 1}, {1, 1}, {0, 1}}, true, true, "device 0 is that of ranks 0 and 2");
  expect_refused_sharing({{0, 1}, {1, 1}}, true, false, "need NCCL");
  expect_refused_sharing({{0, 1}, {0, 1}}, false, false, "need NCCL");
}

TEST(client_create, refuses_another_device_than_that_of_its_ranks) {
  flat_run run;
  run_on_device(1, run, [](zero_ranks& own, const flat_run& here) {
    zero_config config = config_of(here);
    for (const int other : {-1, 2}) {
      config.device = other;
      zero_optimizer* z = nullptr;
      zero_message why{};
      EXPECT_EQ(zero_create(&config, &own, &z, &why), ZERO_INVALID);
      EXPECT_NE(std::string(why.text).find("device " + std::to_string(other)), std::string::npos);
      EXPECT_NE(std::string(why.text).find("on device 0"), std::string::npos) << why.text;
    }
  });
}

}  // namespace
}  // namespace zero::testing
