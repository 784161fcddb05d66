// A trainer whose memory is a GPU's ends with the bits of the host, in both forms and at every
// stage; ranks share one GPU. What it costs that memory comes and goes is measured and printed.
// Skipped, with the reason, where there is no GPU.

#include "flat_trainer.hpp"
#include "kernel_trainer.hpp"

#include <zero/base/cuda.hpp>
#include <zero/optim/cuda.hpp>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <thread>

namespace zero::testing {
namespace {

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// Ranks that are threads; rethrows the first error there is.
std::vector<kernel_result> train_on_gpu(int ranks, kernel_run run) {
  run.device = 0;
  const auto count = static_cast<std::size_t>(ranks);
  std::vector<zero_ranks*> all(count, nullptr);
  zero_message why{};
  if (zero_ranks_threads(ranks, all.data(), &why) != ZERO_OK) throw std::runtime_error(why.text);
  std::vector<kernel_result> results(count);
  std::vector<std::exception_ptr> errors(count);
  std::vector<std::thread> threads;
  for (std::size_t rank = 0; rank < count; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        cuda_device device(0);
        const auto kernels = optim::make_cuda_processor(device);
        results[rank] = train_by_kernels(*all[rank], {*kernels, device.memory()}, run);
      } catch (...) {
        errors[rank] = std::current_exception();
        all[rank]->reach().abort("a test's rank has ended");
      }
    });
  }
  for (std::thread& t : threads) t.join();
  for (zero_ranks* const ranks_of_one : all) zero_ranks_destroy(ranks_of_one);
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
  return results;
}

class client_on_gpu : public ::testing::Test {
 protected:
  void SetUp() override {
    if (cuda_device::count() == 0) GTEST_SKIP() << "no GPU: " << cuda_device::why_none();
  }
};

void compare(int ranks, const kernel_run& run) {
  const kernel_result host = train_by_host_kernels(ranks, run);
  for (const kernel_result& got : train_on_gpu(ranks, run)) {
    EXPECT_TRUE(same_bits(got.parameters, host.parameters))
        << "stage " << run.stage << ", placed " << run.placed << ", stable " << run.stable;
    EXPECT_EQ(got.norm, host.norm);
  }
}

// Small enough for compute-sanitizer.
TEST_F(client_on_gpu, two_steps_of_a_small_model) {
  kernel_run run;
  run.stage = 3;
  run.steps = 2;
  run.slice = 2053;
  compare(2, run);
  run.placed = true;
  compare(2, run);
}

class stages_of_client_on_gpu : public client_on_gpu, public ::testing::WithParamInterface<int> {};
INSTANTIATE_TEST_SUITE_P(all, stages_of_client_on_gpu, ::testing::Values(0, 1, 2, 3));

TEST_P(stages_of_client_on_gpu, mirrored_has_the_bits_of_the_host) {
  kernel_run run;
  run.stage = GetParam();
  for (const int ranks : {1, 2, 3}) compare(ranks, run);
}

TEST_P(stages_of_client_on_gpu, placed_has_the_bits_of_the_host) {
  kernel_run run;
  run.stage = GetParam();
  run.placed = true;
  for (const bool stable : {false, true}) {
    run.stable = stable;
    for (const int ranks : {1, 3}) compare(ranks, run);
  }
}

double per_call(const nlohmann::json& cost) {
  return cost["host_microseconds"].get<double>() / cost["count"].get<double>();
}

TEST_F(client_on_gpu, tells_what_addresses_cost) {
  kernel_run run;
  run.stage = 3;
  run.steps = 20;
  run.slice = std::size_t{16} << 20;  // 64 MiB a unit
  for (const char* form : {"ranges", "stable", "slots"}) {
    run.placed = std::string(form) != "ranges";
    run.stable = std::string(form) == "stable";
    const auto report = nlohmann::json::parse(train_on_gpu(2, run)[0].report);
    const auto& units = report["units"];
    std::printf("%-6s: a begin takes the host %.1f us, an end %.1f us\n", form,
                per_call(units["begins"]), per_call(units["ends"]));
    EXPECT_EQ(units["begins"]["count"], units["ends"]["count"]);
    for (const char* what : {"parameters", "gradients"}) {
      const auto& cost = report["mapping"][what];
      EXPECT_EQ(cost.is_null(), run.placed);
      if (cost.is_null()) continue;
      std::printf("%-6s: %s mapped %s bytes in %.0f us, unmapped %s in %.0f us, waited %s times\n",
                  form, what, cost["mapped_bytes"].dump().c_str(),
                  cost["map_microseconds"].get<double>(), cost["unmapped_bytes"].dump().c_str(),
                  cost["unmap_microseconds"].get<double>(), cost["waits"].dump().c_str());
      EXPECT_GT(cost["mapped_bytes"], 0);
    }
  }
}

}  // namespace
}  // namespace zero::testing
