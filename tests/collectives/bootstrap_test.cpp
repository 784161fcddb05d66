// How ranks find each other: through files, over another communicator, and to one arena.
#include "nccl/arena_offer.hpp"
#include "shared_memory/arena.hpp"
#include "support/run_ranks.hpp"

#include <zero/base/error.hpp>
#include <zero/collectives/nccl.hpp>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

namespace zero::testing {
namespace {

using namespace std::chrono_literals;
using bytes = std::vector<std::uint8_t>;

// A folder of its own, gone at the end.
struct folder {
  folder() {
    std::string name = (std::filesystem::temp_directory_path() / "bootstrap_XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw io_error("mkdtemp", name, errno);
    path = name;
  }
  ~folder() { std::filesystem::remove_all(path); }
  [[nodiscard]] std::vector<std::string> files() const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(path)) {
      found.push_back(entry.path().filename().string());
    }
    return found;
  }
  std::string path;
};

bytes message(int number) {
  bytes made(static_cast<std::size_t>(number) * 1000 + 3);
  for (std::size_t i = 0; i < made.size(); ++i) made[i] = static_cast<std::uint8_t>(i * 7 + 1);
  return made;
}

// Three exchanges, of rank 0's messages.
void exchange_all(const collectives::bootstrap& exchange, int rank) {
  for (int number = 0; number < 3; ++number) {
    bytes own = rank == 0 ? message(number) : bytes{9, 9};
    exchange(own);
    EXPECT_EQ(own, message(number));
  }
}

TEST(directory, gives_every_thread_what_rank_0_has) {
  for (const int size : {1, 2, 3, 7}) {
    const folder here;
    std::vector<std::thread> threads;
    for (int rank = 0; rank < size; ++rank) {
      threads.emplace_back([&, rank] {
        if (rank % 2 == 1) std::this_thread::sleep_for(20ms);  // some are late, rank 0 or others
        exchange_all(collectives::bootstrap_in_directory(here.path, "run", {rank, size}, 60'000),
                     rank);
      });
    }
    for (std::thread& t : threads) t.join();
    EXPECT_EQ(here.files(), std::vector<std::string>{});
  }
}

TEST(directory, gives_every_process_what_rank_0_has) {
  const folder here;
  std::vector<pid_t> children;
  for (int rank = 0; rank < 3; ++rank) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      int status = 1;
      try {
        if (rank == 0) std::this_thread::sleep_for(30ms);
        exchange_all(collectives::bootstrap_in_directory(here.path, "r", {rank, 3}, 60'000), rank);
        status = HasFailure() ? 1 : 0;
      } catch (...) {
        status = 2;
      }
      _exit(status);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(here.files(), std::vector<std::string>{});
}

TEST(directory, runs_do_not_meet) {
  const folder here;
  std::vector<std::thread> threads;
  for (int run = 0; run < 2; ++run) {
    for (int rank = 0; rank < 2; ++rank) {
      threads.emplace_back([&, run, rank] {
        const auto exchange = collectives::bootstrap_in_directory(
            here.path, "run" + std::to_string(run), {rank, 2}, 60'000);
        bytes own{static_cast<std::uint8_t>(rank == 0 ? run : 99)};
        exchange(own);
        EXPECT_EQ(own, bytes{static_cast<std::uint8_t>(run)});
      });
    }
  }
  for (std::thread& t : threads) t.join();
}

TEST(directory, names_who_did_not_come_and_cleans_up) {
  const folder here;
  std::thread reader([&] {  // it read, but another did not: nobody goes on
    bytes own;
    const auto exchange = collectives::bootstrap_in_directory(here.path, "run", {2, 4}, 60'000);
    EXPECT_NO_THROW(exchange(own));
  });
  bytes own{1, 2};
  try {
    collectives::bootstrap_in_directory(here.path, "run", {0, 4}, 300)(own);
    ADD_FAILURE() << "no error";
  } catch (const peer_lost& lost) {
    EXPECT_EQ(lost.ranks, (std::vector<int>{1, 3}));
    EXPECT_NE(std::string(lost.what()).find("ranks 1 and 3"), std::string::npos) << lost.what();
  }
  reader.join();
  EXPECT_EQ(here.files(), std::vector<std::string>{});
}

TEST(directory, names_rank_0_where_it_did_not_come) {
  const folder here;
  bytes own;
  const auto begin = std::chrono::steady_clock::now();
  try {
    collectives::bootstrap_in_directory(here.path, "run", {1, 2}, 100)(own);
    ADD_FAILURE() << "no error";
  } catch (const peer_lost& lost) {
    EXPECT_EQ(lost.ranks, std::vector<int>{0});
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
  EXPECT_EQ(here.files(), std::vector<std::string>{});
}

TEST(directory, takes_its_mark_back_when_rank_0_is_gone) {
  const folder here;
  { std::ofstream(here.path + "/run.0") << "left by a rank 0 that was killed"; }
  bytes own;
  EXPECT_THROW(collectives::bootstrap_in_directory(here.path, "run", {1, 2}, 100)(own), peer_lost);
  EXPECT_EQ(here.files(), std::vector<std::string>{"run.0"});
}

TEST(directory, refuses_what_cannot_be) {
  const folder here;
  EXPECT_THROW(static_cast<void>(collectives::bootstrap_in_directory(here.path, "", {0, 1}, 1)),
               invalid_argument);
  EXPECT_THROW(static_cast<void>(collectives::bootstrap_in_directory(here.path, "a/b", {0, 1}, 1)),
               invalid_argument);
  EXPECT_THROW(static_cast<void>(collectives::bootstrap_in_directory(here.path, "a", {2, 2}, 1)),
               invalid_argument);
  bytes own{1};
  EXPECT_THROW(collectives::bootstrap_in_directory(here.path + "/none", "run", {0, 2}, 100)(own),
               io_error);
  { std::ofstream(here.path + "/used.0") << "a run of this name"; }
  std::filesystem::create_directory(here.path + "/used.0.draft");
  EXPECT_THROW(collectives::bootstrap_in_directory(here.path, "used", {0, 2}, 100)(own), io_error);
}

TEST(over_a_communicator, gives_every_rank_what_rank_0_has) {
  run_ranks(3, [](collectives::communicator& ranks) {
    exchange_all(collectives::bootstrap_over(ranks), ranks.rank());
  });
}

// ---- to one arena -----------------------------------------------------------------------------

TEST(arena_offer, hands_the_arena_to_every_rank) {
  for (const int size : {1, 2, 5}) {
    collectives::arena_offer offer(size);
    std::vector<std::thread> threads;
    for (int rank = 1; rank < size; ++rank) {
      threads.emplace_back([&, rank] {
        const auto pages = collectives::accept_arena(offer.name(), rank, 60s);
        EXPECT_EQ(pages->size(), size);
        pages->entry(rank).joined.store(static_cast<std::uint32_t>(rank) + 100);
      });
    }
    const auto pages = offer.hand_out(60s);
    for (std::thread& t : threads) t.join();
    for (int rank = 1; rank < size; ++rank) {
      EXPECT_EQ(pages->entry(rank).joined.load(), static_cast<std::uint32_t>(rank) + 100);
    }
  }
}

TEST(arena_offer, reaches_other_processes) {
  collectives::arena_offer offer(2);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    int status = 1;
    try {
      collectives::accept_arena(offer.name(), 1, 60s)->entry(1).joined.store(77);
      status = 0;
    } catch (...) {
      status = 2;
    }
    _exit(status);
  }
  const auto pages = offer.hand_out(60s);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(pages->entry(1).joined.load(), 77u);
}

TEST(arena_offer, names_who_did_not_come) {
  collectives::arena_offer offer(4);
  std::thread second([&] { EXPECT_NE(collectives::accept_arena(offer.name(), 2, 60s), nullptr); });
  try {
    static_cast<void>(offer.hand_out(300ms));
    ADD_FAILURE() << "no error";
  } catch (const peer_lost& lost) {
    EXPECT_EQ(lost.ranks, (std::vector<int>{1, 3}));
  }
  second.join();
}

TEST(arena_offer, refuses_a_rank_that_came_before_or_is_none) {
  collectives::arena_offer offer(2);
  std::thread offering([&] { EXPECT_NO_THROW(static_cast<void>(offer.hand_out(60s))); });
  EXPECT_THROW(static_cast<void>(collectives::accept_arena(offer.name(), 5, 60s)), peer_lost);
  EXPECT_NO_THROW(static_cast<void>(collectives::accept_arena(offer.name(), 1, 60s)));
  offering.join();
  EXPECT_THROW(static_cast<void>(collectives::accept_arena(offer.name(), 1, 100ms)), peer_lost);
}

TEST(arena_offer, that_is_gone_is_told) {
  std::string name;
  {
    const collectives::arena_offer offer(2);
    name = offer.name();
  }
  try {
    static_cast<void>(collectives::accept_arena(name, 1, 100ms));
    ADD_FAILURE() << "no error";
  } catch (const peer_lost& lost) {
    EXPECT_EQ(lost.ranks, std::vector<int>{0});
  }
}

TEST(absence, of_nccl_is_told) {
  if (collectives::nccl_compiled()) {
    EXPECT_NE(collectives::nccl_version(), "");
    GTEST_SKIP() << "NCCL is compiled in";
  }
  EXPECT_EQ(collectives::nccl_version(), "");
}

}  // namespace
}  // namespace zero::testing
