// Ranks over a client's own functions, through the C interface: they train to the bits of every
// other kind of rank, and what the functions return is heard.

#include "client/flat_trainer.hpp"
#include "support/thread_transport.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <exception>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace zero::testing {
namespace {

// What a client hands over: its own state, and functions of C.
struct client_rank {
  thread_transport* all = nullptr;
  int rank = 0;
};

client_rank& of(void* user) { return *static_cast<client_rank*>(user); }

constexpr int own_error = 42;

int gather(void* user, const void* own, void* all, size_t bytes) {
  return of(user).all->all_gather(of(user).rank, own, all, bytes) ? 0 : own_error;
}
int to_all(void* user, const void* in, void* out, size_t bytes) {
  return of(user).all->all_to_all(of(user).rank, in, out, bytes) ? 0 : own_error;
}
int cast(void* user, void* bytes, size_t count, int32_t root) {
  return of(user).all->broadcast(of(user).rank, bytes, count, root) ? 0 : own_error;
}

zero_transport functions_of(client_rank& mine, int size) {
  zero_transport functions{};
  functions.struct_size = sizeof functions;
  functions.user = &mine;
  functions.rank = mine.rank;
  functions.size = size;
  functions.all_gather = gather;
  functions.all_to_all = to_all;
  functions.broadcast = cast;
  return functions;
}

// `body` on every rank of a world over such functions, each a thread.
void run_over_functions(thread_transport& all, int size, bool with_broadcast,
                        const std::function<void(zero_ranks*, const zero_message&)>& body) {
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      client_rank mine{&all, rank};
      zero_transport functions = functions_of(mine, size);
      if (!with_broadcast) functions.broadcast = nullptr;
      zero_ranks* ranks = nullptr;
      zero_message why;
      const zero_status status = zero_ranks_transport(&functions, &ranks, &why);
      EXPECT_EQ(ranks == nullptr, status != ZERO_OK);
      std::memset(&functions, 0, sizeof functions);  // read during the call only
      try {
        body(ranks, why);
      } catch (const std::exception& e) {
        ADD_FAILURE() << e.what();
      }
      zero_ranks_destroy(ranks);
    });
  }
  for (std::thread& t : threads) t.join();
}

TEST(transport_ranks, train_to_the_bits_of_threads_at_every_stage) {
  for (const int size : {1, 2, 3}) {
    for (const bool with_broadcast : {true, false}) {
      flat_run run;
      run.clip_norm = 1.0;
      const auto expected = train_everywhere(size, run);
      for (int stage = 0; stage <= 3; ++stage) {
        run.stage = stage;
        thread_transport all(size);
        run_over_functions(
            all, size, with_broadcast, [&](zero_ranks* ranks, const zero_message& why) {
              ASSERT_NE(ranks, nullptr) << why.text;
              const flat_result result = train_flat(*ranks, run);
              EXPECT_EQ(result.losses, expected.front().losses);
              EXPECT_EQ(result.parameters, expected.front().parameters) << "stage " << stage;
            });
      }
    }
  }
}

TEST(transport_ranks, train_in_groups_to_the_bits_of_threads_in_groups) {
  flat_run run;
  run.stage = 3;
  run.adjust = [](zero_config& config) { config.shard_group = 2; };
  const auto expected = train_everywhere(4, run);
  thread_transport all(4);
  run_over_functions(all, 4, true, [&](zero_ranks* ranks, const zero_message& why) {
    ASSERT_NE(ranks, nullptr) << why.text;
    EXPECT_EQ(train_flat(*ranks, run).parameters, expected.front().parameters);
  });
}

TEST(transport_ranks, say_who_they_are) {
  thread_transport all(3);
  run_over_functions(all, 3, true, [&](zero_ranks* ranks, const zero_message& why) {
    ASSERT_NE(ranks, nullptr) << why.text;
    EXPECT_EQ(zero_ranks_size(ranks), 3);
    EXPECT_EQ(zero_ranks_local_rank(ranks), zero_ranks_rank(ranks));
  });
}

TEST(transport_ranks, a_function_that_fails_at_the_start_is_heard_of) {
  thread_transport all(2);
  all.fail_at(1, 1);
  run_over_functions(all, 2, true, [&](zero_ranks* ranks, const zero_message& why) {
    EXPECT_EQ(ranks, nullptr);
    EXPECT_NE(std::string(why.text).find("all_to_all of zero_transport returned 42"),
              std::string::npos)
        << why.text;
  });
}

// In the middle of training: the call that needed it fails so, on every rank, and so does every
// later one.
TEST(transport_ranks, a_function_that_fails_later_poisons_the_optimizer) {
  thread_transport all(2);
  all.fail_at(1, 40);
  int failed[] = {0, 0};
  run_over_functions(all, 2, true, [&](zero_ranks* ranks, const zero_message& why) {
    ASSERT_NE(ranks, nullptr) << why.text;
    flat_run run;
    run.stage = 1;
    zero_optimizer* const z = create(*ranks, config_of(run));
    EXPECT_THROW(
        {
          flat_model model(z, run, zero_rank(z));
          for (int step = 0; step < 100; ++step) {
            model.forward_backward(step, 0);
            expect_ok(z, zero_step(z, 0.01, nullptr));
          }
        },
        std::exception);
    EXPECT_NE(std::string(zero_last_error(z)).find("of zero_transport returned 42"),
              std::string::npos)
        << zero_last_error(z);
    EXPECT_EQ(zero_step(z, 0.01, nullptr), ZERO_CALLBACK);
    EXPECT_EQ(zero_first_error(z), ZERO_CALLBACK);
    EXPECT_EQ(zero_close(z), ZERO_CALLBACK);
    failed[zero_ranks_rank(ranks)] = 1;
  });
  EXPECT_EQ(failed[0] + failed[1], 2);
}

TEST(transport_ranks, refuse_what_cannot_be) {
  thread_transport all(1);
  client_rank mine{&all, 0};
  const auto refused = [&](const zero_transport& functions, const std::string& part) {
    zero_ranks* ranks = nullptr;
    zero_message why;
    EXPECT_EQ(zero_ranks_transport(&functions, &ranks, &why), ZERO_INVALID);
    EXPECT_EQ(ranks, nullptr);
    EXPECT_NE(std::string(why.text).find(part), std::string::npos) << why.text;
  };
  zero_transport functions = functions_of(mine, 1);
  functions.all_gather = nullptr;
  refused(functions, "all_gather is null");
  functions = functions_of(mine, 1);
  functions.all_to_all = nullptr;
  refused(functions, "all_to_all is null");
  functions = functions_of(mine, 1);
  functions.struct_size = 0;
  refused(functions, "struct_size is 0");
  functions = functions_of(mine, 1);
  functions.rank = 1;
  refused(functions, "rank 1 of 1");
  functions = functions_of(mine, 1);
  EXPECT_EQ(zero_ranks_transport(nullptr, nullptr, nullptr), ZERO_INVALID);
  EXPECT_EQ(zero_ranks_transport(&functions, nullptr, nullptr), ZERO_INVALID);
  EXPECT_EQ(all.calls(0), 0);
}

// ---- of MPI and NCCL, where they are not ------------------------------------------------------

TEST(nccl_ranks, refuse_what_cannot_be) {
  zero_message why;
  zero_ranks* ranks = nullptr;
  EXPECT_EQ(zero_ranks_nccl(nullptr, 0, &ranks, &why), ZERO_INVALID);
  EXPECT_EQ(ranks, nullptr);
  EXPECT_STRNE(why.text, "");
  EXPECT_EQ(zero_ranks_nccl(nullptr, 0, nullptr, nullptr), ZERO_INVALID);
}

TEST(mpi_ranks, refuse_what_cannot_be) {
  zero_message why;
  zero_ranks* ranks = nullptr;
  EXPECT_EQ(zero_ranks_mpi(nullptr, &ranks, &why), ZERO_INVALID);
  EXPECT_EQ(ranks, nullptr);
  EXPECT_NE(std::string(why.text).find("mpi_comm is null"), std::string::npos) << why.text;
  // Where nobody started MPI no communicator can be one of its.
  const void* const not_read = &why;
  EXPECT_EQ(zero_ranks_mpi(&not_read, &ranks, &why), ZERO_INVALID);
  EXPECT_EQ(ranks, nullptr);
}

}  // namespace
}  // namespace zero::testing
