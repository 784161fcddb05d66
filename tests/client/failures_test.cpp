// A client that is busy for longer than the deadline, and says so or does not; and what ranks leave
// behind when something fails.
#include "flat_trainer.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <string>
#include <thread>

namespace zero::testing {
namespace {

using namespace std::chrono_literals;

constexpr double deadline = 0.8;  // seconds

TEST(client_alive, a_rank_that_says_so_is_not_late) {
  flat_run run;
  run.stage = 3;
  run.adjust = [](zero_config& c) { c.deadline_seconds = deadline; };
  with_clients(2, run, [&](zero_optimizer* z, flat_model& model, int rank) {
    train_step(z, model, 0);
    if (rank == 1) {
      for (int i = 0; i < 12; ++i) {
        std::this_thread::sleep_for(200ms);
        EXPECT_EQ(zero_alive(z), ZERO_OK);
      }
    }
    train_step(z, model, 1);
  });
  EXPECT_EQ(zero_alive(nullptr), ZERO_INVALID);
}

TEST(client_alive, a_rank_that_does_not_is_named_and_all_leave_their_last_operations) {
  std::string pattern = (std::filesystem::temp_directory_path() / "zero-client-XXXXXX").string();
  const std::string folder = std::string(mkdtemp(pattern.data())) + "/of this run";
  flat_run run;
  run.stage = 2;
  run.adjust = [&folder](zero_config& c) {
    c.deadline_seconds = deadline;
    std::strncpy(c.failure_folder, folder.c_str(), sizeof c.failure_folder - 1);
  };
  std::promise<void> told;
  const std::shared_future<void> given_up(told.get_future());
  with_clients(2, run, [&](zero_optimizer* z, flat_model& model, int rank) {
    train_step(z, model, 0);
    if (rank == 1) given_up.wait();
    try {
      train_step(z, model, 1);
      ADD_FAILURE() << "no error";
    } catch (const std::exception& e) {
      EXPECT_NE(std::string(e.what()).find("waited 0.8 s for rank 1 to begin"), std::string::npos)
          << e.what();
    }
    if (rank == 0) told.set_value();
  });
  for (int rank = 0; rank < 2; ++rank) {
    std::ifstream file(folder + "/failure-rank-" + std::to_string(rank) + ".json");
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    for (const std::string& part :
         {std::string("\"schema\": \"zero.operations/1\", \"rank\": ") + std::to_string(rank),
          std::string("for rank 1 to begin"), std::string("\"step\": 1, \"queued\": ")}) {
      EXPECT_NE(text.find(part), std::string::npos) << part << " is not in\n" << text;
    }
  }
  std::filesystem::remove_all(std::filesystem::path(folder).parent_path());
}

}  // namespace
}  // namespace zero::testing
