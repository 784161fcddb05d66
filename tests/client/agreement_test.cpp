// Ranks that make the same call with other arguments are told so before anything is changed.

#include "agreement.hpp"

#include "bare_client.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace zero::testing {
namespace {

using call_function = std::function<zero_status(zero_optimizer*, int rank)>;

// Two tensors, trained by no step: every rank makes its own of the two calls.
void expect_told(int stage, const call_function& call, const std::string& word) {
  SCOPED_TRACE(word + ", stage " + std::to_string(stage));
  run_clients(3, [&](zero_ranks& own) {
    const handle h(own, sgd(stage));
    auto* p = static_cast<float*>(zero_range(h.z, ZERO_PARAMETERS, 64 * sizeof(float)));
    auto* g = static_cast<float*>(zero_range(h.z, ZERO_GRADIENTS, 64 * sizeof(float)));
    for (int i = 0; i < 2; ++i) {
      const zero_segment one = named(i == 0 ? "first" : "second", p + 32 * i, g + 32 * i, 32, i);
      expect_ok(h.z, zero_attach(h.z, &one, 1, sizeof one));
    }
    expect_ok(h.z, zero_commit(h.z));
    const int rank = own.communicator->rank();
    EXPECT_EQ(call(h.z, rank), ZERO_DESYNC);
    const std::string message = zero_last_error(h.z);
    EXPECT_NE(message.find("rank 1 differs from rank 0"), std::string::npos) << message;
    EXPECT_NE(message.find(word), std::string::npos) << message;
    EXPECT_EQ(zero_first_error(h.z), ZERO_DESYNC);
  });
}

TEST(client_agreement, other_arguments_are_an_error_on_all_ranks) {
  const auto name = [](int rank) { return rank == 1 ? "second" : "first"; };
  for (const int stage : {0, 1, 3}) {
    expect_told(
        stage,
        [&](zero_optimizer* z, int rank) {
          std::vector<float> out(32);
          return zero_read_state(z, name(rank), 0, ZERO_MASTER, ZERO_ON_ALL, out.data());
        },
        "read_state of 'second', state -1 there");
    expect_told(
        stage,
        [&](zero_optimizer* z, int rank) {
          const std::vector<float> values(32);
          return zero_write_state(z, name(rank), 0, ZERO_MASTER, values.data());
        },
        "write_state of 'second'");
    expect_told(
        stage,
        [](zero_optimizer* z, int rank) {
          return zero_full_begin(z, ZERO_ON_ALL, rank == 1 ? ZERO_WRITE : ZERO_READ);
        },
        "full_begin on all, access 2 there");
    expect_told(
        stage,
        [](zero_optimizer* z, int rank) {
          double values[2] = {1, 2};
          return zero_sum(z, values, rank == 1 ? 1 : 2);
        },
        "sum of 1 values there");
    expect_told(
        stage,
        [](zero_optimizer* z, int rank) {
          char hex[33];
          if (rank != 1) return zero_digest(z, hex);
          return zero_full_begin(z, ZERO_ON_ALL, ZERO_READ);
        },
        "digest here");
  }
}

TEST(client_agreement, a_minority_is_named_by_everyone) {
  run_clients(5, [](zero_ranks& own) {
    const int rank = own.communicator->rank();
    const auto work = optim::make_host_processor();
    page_resource memory;
    client::value_staging staging(*work, memory);
    client::agree(*own.communicator, staging, "the same");
    try {
      client::agree(*own.communicator, staging, rank == 2 || rank == 4 ? "one thing" : "another");
      ADD_FAILURE() << rank;
    } catch (const desync& e) {
      EXPECT_EQ(e.ranks, (std::vector<int>{2, 4}));
      EXPECT_NE(std::string(e.what()).find("one thing there, another here"), std::string::npos);
    }
  });
}

}  // namespace
}  // namespace zero::testing
