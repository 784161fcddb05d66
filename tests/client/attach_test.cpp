// Bad lists of segments: refused with the name and the reason, and nothing is left of them.

#include "bare_client.hpp"

#include <zero/collectives/single.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace zero::testing {
namespace {

TEST(client_attach, refuses_each_bad_segment_with_its_name_and_reason) {
  float memory[64] = {};
  const zero_segment good = named("good", memory, memory + 8, 8);
  struct bad_case {
    const char* says;
    std::function<void(zero_segment&)> spoil;
  };
  const std::uint64_t shape[] = {2, 3};
  const std::string long_name(5000, 'n');
  const std::vector<bad_case> cases{
      {"no name", [](zero_segment& s) { s.name = nullptr; }},
      {"no name", [](zero_segment& s) { s.name = ""; }},
      {"control character at byte 2, behind 'ba'", [](zero_segment& s) { s.name = "ba\nd"; }},
      {"5000 bytes, more than 4096", [&](zero_segment& s) { s.name = long_name.c_str(); }},
      {"'good' is attached twice", [](zero_segment& s) { s.name = "good"; }},
      {"'bad' has dtype 7", [](zero_segment& s) { s.dtype = 7; }},
      {"'bad' is in unit -1", [](zero_segment& s) { s.unit = -1; }},
      {"has -2 slices", [](zero_segment& s) { s.slices = -2; }},
      {"not 3 equal slices", [](zero_segment& s) { s.slices = 3; }},
      {"in group -1", [](zero_segment& s) { s.group = -1; }},
      {"unknown flags", [](zero_segment& s) { s.flags = 64; }},
      {"frozen and has a gradient", [](zero_segment& s) { s.flags = ZERO_FROZEN; }},
      {"shape of 6 elements", [&](zero_segment& s) { s.shape = shape, s.dimensions = 2; }},
      {"dimensions and no shape", [](zero_segment& s) { s.dimensions = 2; }},
      {"has -1 dimensions", [](zero_segment& s) { s.dimensions = -1; }},
      {"no parameter pointer", [](zero_segment& s) { s.parameter = s.gradient = nullptr; }},
      {"gradient and no parameter", [](zero_segment& s) { s.parameter = nullptr; }},
      {"parameter of 'good' already", [&](zero_segment& s) { s.parameter = memory + 7; }},
      {"gradient of 'good' already", [&](zero_segment& s) { s.gradient = memory + 15; }},
      {"gradient of 'good' already", [&](zero_segment& s) { s.parameter = memory + 12; }},
      {"'bad' already", [](zero_segment& s) { s.gradient = s.parameter; }},
      {"tied to 'nobody'", [](zero_segment& s) { s.tied_to = "nobody"; }},
      {"in other memory", [](zero_segment& s) { s.tied_to = "good"; }},
      {"not as many", [](zero_segment& s) { s.tied_to = "good", s.count = 4; }},
      {"past the last address",
       [](zero_segment& s) { s.parameter = reinterpret_cast<void*>(~std::uintptr_t{15}); }},
      {"elements", [](zero_segment& s) { s.count = ~std::uint64_t{0}; }}};
  with_open(config_of({}), [&](zero_optimizer* z) {
    expect_ok(z, zero_attach(z, &good, 1, sizeof good));
    for (const bad_case& one : cases) {
      zero_segment two[] = {named("before", memory + 32, memory + 40, 8),
                            named("bad", memory + 16, memory + 24, 8)};
      one.spoil(two[1]);
      expect_refused(z, zero_attach(z, two, 2, sizeof two[0]), one.says);
    }
    expect_refused(z, zero_attach(z, nullptr, 1, sizeof good), "no segments");
    expect_refused(z, zero_attach(z, &good, 1, 7), "7 bytes");
    expect_refused(z, zero_attach(z, &good, 1, 4096), "4096 bytes");
    // None of them has left anything: what came with them can be attached still.
    const zero_segment before = named("before", memory + 32, memory + 40, 8);
    expect_ok(z, zero_attach(z, &before, 1, sizeof before));
    expect_ok(z, zero_commit(z));
  });
}

TEST(client_attach, wrap_flat_refuses_what_cannot_be_stacks) {
  float memory[64] = {};
  const std::size_t counts[] = {4, 6, 6};
  with_open(config_of({}), [&](zero_optimizer* z) {
    expect_refused(z, zero_wrap_flat(z, nullptr, nullptr, counts, 3, 1, 2, 3), "null pointer");
    expect_refused(z, zero_wrap_flat(z, memory, nullptr, nullptr, 3, 1, 2, 3), "null pointer");
    expect_refused(z, zero_wrap_flat(z, memory, nullptr, counts, 3, 2, 1, 3), "stacks");
    expect_refused(z, zero_wrap_flat(z, memory, nullptr, counts, 3, 1, 4, 3), "stacks");
    expect_refused(z, zero_wrap_flat(z, memory, nullptr, counts, 3, 1, 3, 0), "stacks");
    expect_refused(z, zero_wrap_flat(z, memory, nullptr, counts, 3, 1, 3, 4), "not 4 equal slices");
    expect_refused(z, zero_wrap_flat(z, memory, memory + 15, counts, 3, 1, 3, 3), "already");
    expect_ok(z, zero_wrap_flat(z, memory, nullptr, counts, 3, 1, 3, 3));
    expect_refused(z, zero_bind_gradients_flat(z, nullptr), "null pointer");
    expect_refused(z, zero_bind_gradients_flat(z, memory + 12), "already");
    expect_ok(z, zero_bind_gradients_flat(z, memory + 16));
    expect_refused(z, zero_bind_gradients_flat(z, memory + 32), "has a gradient already");
  });
}

TEST(client_attach, stages_that_give_memory_back_ask_for_ranges) {
  static float memory[64] = {};
  const std::size_t counts[] = {16};
  flat_run run;
  for (run.stage = 2; run.stage <= 3; ++run.stage) {
    with_open(config_of(run), [&](zero_optimizer* z) {
      expect_refused(z, zero_wrap_flat(z, memory, memory + 16, counts, 1, 0, 0, 1),
                     run.stage == 2 ? "gradient of segment 'tensor.0' is not in memory of"
                                    : "parameter of segment 'tensor.0' is not in memory of");
      auto* parameters = static_cast<float*>(zero_range(z, ZERO_PARAMETERS, 64));
      auto* gradients = static_cast<float*>(zero_range(z, ZERO_GRADIENTS, 64));
      expect_refused(z, zero_wrap_flat(z, gradients, parameters, counts, 1, 0, 0, 1),
                     "range of the other kind");
      expect_refused(z, zero_wrap_flat(z, parameters + 4, gradients, counts, 1, 0, 0, 1),
                     "out of its range");
      expect_ok(z, zero_wrap_flat(z, parameters, nullptr, counts, 1, 0, 0, 1));
      expect_refused(z, zero_bind_gradients_flat(z, memory), "is not in memory of zero_range");
      expect_ok(z, zero_bind_gradients_flat(z, gradients));
    });
  }
  with_open(config_of({}), [](zero_optimizer* z) {
    EXPECT_EQ(zero_range(z, 2, 8), nullptr);
    expect_refused(z, ZERO_INVALID, "neither");
    EXPECT_EQ(zero_range(z, 0, 0), nullptr);
    expect_refused(z, ZERO_INVALID, "0 bytes");
    // More than there can be is no mistake in the order of calls: it is the first error.
    EXPECT_EQ(zero_range(z, 0, std::size_t{1} << 60), nullptr);
    EXPECT_EQ(zero_first_error(z), ZERO_RESOURCE);
    EXPECT_EQ(zero_range(z, 0, 8), nullptr);
    EXPECT_EQ(zero_attach(z, nullptr, 0, 0), ZERO_RESOURCE);
  });
  with_open(config_of({}), [](zero_optimizer* z) {
    EXPECT_EQ(zero_range(z, 1, SIZE_MAX), nullptr);
    EXPECT_EQ(zero_first_error(z), ZERO_RESOURCE);
    EXPECT_NE(std::string(zero_last_error(z)).find("not so many addresses"), std::string::npos);
  });
}

// A lone rank's tensors never move, whatever its memory is.
TEST(client_commit, places_tensors_of_a_lone_rank_for_good) {
  for (int stage = 0; stage <= 3; ++stage) {
    zero_ranks lone;
    lone.communicator = collectives::make_single();
    flat_run run = sgd(stage);
    run.stable = true;
    const handle h(lone, run);
    const zero_segment w = named("w", nullptr, nullptr, 100);
    expect_ok(h.z, zero_attach(h.z, &w, 1, sizeof w));
    expect_ok(h.z, zero_commit(h.z));
    void* before = nullptr;
    expect_ok(h.z, zero_parameter(h.z, "w", 0, &before));
    expect_ok(h.z, zero_backward_begin(h.z, 0, nullptr));
    void* gradient = nullptr;
    expect_ok(h.z, zero_gradient(h.z, "w", 0, &gradient));
    static_cast<float*>(gradient)[99] += 2;
    expect_ok(h.z, zero_backward_end(h.z, 0, nullptr));
    expect_ok(h.z, zero_step(h.z, 0.5, nullptr));
    void* after = nullptr;
    expect_ok(h.z, zero_parameter(h.z, "w", 0, &after));
    EXPECT_EQ(after, before);
    EXPECT_EQ(static_cast<float*>(after)[99], -1);
  }
}

TEST(client_commit, names_where_two_ranks_attach_different_lists) {
  std::atomic<int> told = 0;
  run_clients(3, [&](zero_ranks& own) {
    float memory[32] = {};
    zero_optimizer* z = create(own, config_of({}));
    const bool other = own.communicator->rank() == 2;
    const zero_segment list[] = {
        named("first", memory, memory + 16, 8),
        named(other ? "second_of_another" : "second", memory + 8, memory + 24, 8)};
    expect_ok(z, zero_attach(z, list, 2, sizeof list[0]));
    EXPECT_EQ(zero_commit(z), ZERO_DESYNC);
    const std::string text = zero_last_error(z);
    for (const char* part : {"rank 2", "'second_of_another'", "'second'"}) {
      EXPECT_NE(text.find(part), std::string::npos) << text;
    }
    EXPECT_EQ(zero_commit(z), ZERO_DESYNC);  // its first error
    EXPECT_EQ(zero_close(z), ZERO_DESYNC);
    ++told;
  });
  EXPECT_EQ(told, 3);
}

}  // namespace
}  // namespace zero::testing
