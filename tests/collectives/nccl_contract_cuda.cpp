// The contract over NCCL: a rank for each GPU there is, so one alone where there is one.
#include "collectives/gpu_copy_cuda.hpp"
#include "collectives/run_joined.hpp"
#include "contract/communicator_contract.hpp"

#include <zero/collectives/nccl.hpp>
#include <zero/collectives/shared_memory.hpp>

#include <algorithm>
#include <memory>
#include <thread>
#include <vector>

namespace zero::testing {
namespace {

std::string why_no_nccl() {
  return collectives::nccl_compiled() ? why_no_gpu() : "the library was built without NCCL";
}

std::vector<int> worlds() {
  const int most = std::clamp(cuda_device::count(), 1, 8);
  std::vector<int> sizes;
  for (const int size : {1, 2, 3, 4, 7, 8}) {
    if (size <= most) sizes.push_back(size);
  }
  return sizes;
}

void run_over_nccl(int size, const std::function<void(communicator&)>& body) {
  auto hosts = collectives::shared_memory_world::create(size, 1 << 20);
  std::vector<std::unique_ptr<cuda_device>> devices(static_cast<std::size_t>(size));
  joined_ranks ranks(static_cast<std::size_t>(size));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      const auto at = static_cast<std::size_t>(rank);
      EXPECT_NO_THROW({
        const auto talk = hosts.join(rank);
        devices[at] = std::make_unique<cuda_device>(rank);
        collectives::nccl_options options;
        ranks[at] = collectives::make_nccl(*devices[at], {rank, size},
                                           collectives::bootstrap_over(*talk), &options);
        EXPECT_NE(options.settings.find(collectives::nccl_version()), std::string::npos);
        talk->barrier().wait();
      });
    });
  }
  for (std::thread& t : threads) t.join();
  ASSERT_EQ(std::count(ranks.begin(), ranks.end(), nullptr), 0);
  EXPECT_NO_THROW(run_joined(ranks, body));
}

backend nccl_backend() {
  backend made{"nccl", worlds(), run_over_nccl};
  made.copy = copy_by_gpu;
  made.absent = why_no_nccl();
  return made;
}

}  // namespace

INSTANTIATE_TEST_SUITE_P(nccl, communicator_contract, ::testing::Values(nccl_backend()));

TEST(nccl, refuses_what_cannot_be) {
  if (!why_no_nccl().empty()) GTEST_SKIP() << why_no_nccl();
  cuda_device device(0);
  const auto none = [](std::vector<std::uint8_t>&) {};
  EXPECT_THROW(static_cast<void>(collectives::make_nccl(device, {1, 1}, none)), invalid_argument);
  EXPECT_THROW(static_cast<void>(collectives::make_nccl(device, {0, 65}, none)), invalid_argument);
  EXPECT_THROW(static_cast<void>(collectives::make_nccl(device, {1, 2}, none)), desync);
}

TEST(nccl, names_who_did_not_come) {
  if (!why_no_nccl().empty()) GTEST_SKIP() << why_no_nccl();
  cuda_device device(0);
  collectives::nccl_options options;
  options.deadline_milliseconds = 300;
  try {
    static_cast<void>(collectives::make_nccl(
        device, {0, 3}, [](std::vector<std::uint8_t>&) {}, &options));
    ADD_FAILURE() << "no error";
  } catch (const peer_lost& lost) {
    EXPECT_EQ(lost.ranks, (std::vector<int>{1, 2}));
  }
}

}  // namespace zero::testing
