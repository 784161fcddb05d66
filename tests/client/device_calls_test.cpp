// Ranges of a device, who has which device, and what is refused.

#include "queued_client.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace zero::testing {
namespace {

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

TEST(client_attach, refuses_memory_that_is_not_the_device_s) {
  flat_run run;
  run.stage = 1;
  run_on_device(1, run, [](zero_ranks& own, const flat_run& here) {
    float parameter[5] = {};
    float gradient[5] = {};
    auto& device = static_cast<queued_client_device&>(*own.device);
    for (float* const foreign : {parameter, gradient}) {
      zero_optimizer* const z = create(own, config_of(here));
      zero_segment s{};
      s.name = "weights";
      s.parameter = parameter;
      s.gradient = gradient;
      s.count = 5;
      EXPECT_EQ(zero_attach(z, &s, 1, sizeof s), ZERO_OK);
      device.foreign = foreign;
      EXPECT_EQ(zero_commit(z), ZERO_INVALID);
      EXPECT_NE(std::string(zero_last_error(z)).find("not in memory of device 0"),
                std::string::npos)
          << zero_last_error(z);
      device.foreign = nullptr;
      EXPECT_EQ(zero_commit(z), ZERO_OK);  // nothing had changed
      EXPECT_EQ(zero_close(z), ZERO_OK);
    }
  });
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
