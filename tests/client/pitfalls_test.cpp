// What trainers fall into when they are sharded, one test each. Numbers are those of the list in
// libzero/client/README.md, which says where 9, 12 and 14 are.

#include "bare_client.hpp"

#include <zero/base/float16.hpp>

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace zero::testing {
namespace {

// The same memory under two names would be updated twice; tied, its one gradient is complete at the
// end of the backward, though it was written first.
TEST(client_pitfall, 1_a_tied_tensor_is_one) {
  for (int stage = 0; stage <= 3; ++stage) {
    run_clients(2, [&](zero_ranks& own) {
      const handle h(own, sgd(stage));
      auto* p = static_cast<float*>(zero_range(h.z, ZERO_PARAMETERS, 64 * sizeof(float)));
      auto* g = static_cast<float*>(zero_range(h.z, ZERO_GRADIENTS, 64 * sizeof(float)));
      std::fill_n(p, 64, 1.0F);
      const zero_segment wte = named("wte", p, g, 32, 0);
      zero_segment head = named("head", p, g, 32, 2);
      const zero_segment layer = named("layer", p + 32, g + 32, 32, 1);
      expect_ok(h.z, zero_attach(h.z, &wte, 1, sizeof wte));
      EXPECT_EQ(zero_attach(h.z, &head, 1, sizeof head), ZERO_INVALID);
      EXPECT_NE(std::string(zero_last_error(h.z)).find("'wte' already"), std::string::npos);
      head.tied_to = "wte";
      expect_ok(h.z, zero_attach(h.z, &head, 1, sizeof head));
      expect_ok(h.z, zero_attach(h.z, &layer, 1, sizeof layer));
      expect_ok(h.z, zero_commit(h.z));
      expect_ok(h.z, zero_forward_begin(h.z, 0, nullptr));
      expect_ok(h.z, zero_forward_begin(h.z, 1, nullptr));
      expect_ok(h.z, zero_forward_end(h.z, 1, nullptr));
      for (int i = 0; i < 32; ++i) g[i] += 1;  // of the head
      expect_ok(h.z, zero_backward_begin(h.z, 1, nullptr));
      expect_ok(h.z, zero_backward_end(h.z, 1, nullptr));
      for (int i = 0; i < 32; ++i) g[i] += 2;  // of the embedding
      expect_ok(h.z, zero_backward_end(h.z, 0, nullptr));
      expect_ok(h.z, zero_step(h.z, 0.25, nullptr));
      float now[32];
      for (const char* name : {"wte", "head"}) {
        expect_ok(h.z, zero_read_state(h.z, name, 0, ZERO_MASTER, ZERO_ON_ALL, now));
        for (const float v : now) EXPECT_EQ(v, 1.0F - 0.25F * 3);
      }
    });
  }
}

// Neither the commit nor a step nor saving asks any rank but 0 to touch all of its ranges.
TEST(client_pitfall, 2_the_full_range_is_touched_by_nobody) {
  constexpr std::size_t layers = 16, count = 16384;  // 64 KiB a slice
  constexpr std::size_t bytes = layers * count * sizeof(float);
  run_clients(2, [&](zero_ranks& own) {
    const handle h(own, sgd(3));
    auto* p = static_cast<float*>(zero_range(h.z, ZERO_PARAMETERS, bytes));
    auto* g = static_cast<float*>(zero_range(h.z, ZERO_GRADIENTS, bytes));
    const int rank = own.communicator->rank();
    if (rank == 0) std::fill_n(p, layers * count, 0.5F);
    const std::size_t counts[] = {layers * count};
    expect_ok(h.z, zero_wrap_flat(h.z, p, g, counts, 1, 0, 1, layers));
    EXPECT_EQ(resident_pages(p, bytes), 0U);  // a slice is whole pages
    zero_memory memory{};
    memory.struct_size = sizeof memory;
    for (int layer = 0; layer < static_cast<int>(layers); ++layer) {
      expect_ok(h.z, zero_backward_begin(h.z, 1 + layer, nullptr));
      EXPECT_EQ(p[static_cast<std::size_t>(layer) * count + 7], 0.5F);
      g[static_cast<std::size_t>(layer) * count + 7] += 1;
      expect_ok(h.z, zero_backward_end(h.z, 1 + layer, nullptr));
    }
    expect_ok(h.z, zero_step(h.z, 0.25, nullptr));
    expect_ok(h.z, zero_full_begin(h.z, ZERO_ON_RANK_0, ZERO_READ));
    if (rank == 0) {
      EXPECT_EQ(p[7], 0.25F);
    } else {
      EXPECT_EQ(resident_pages(p, bytes), 0U);
    }
    expect_ok(h.z, zero_full_end(h.z));
    EXPECT_EQ(resident_pages(p, bytes), 0U);
    EXPECT_EQ(resident_pages(g, bytes), 0U);
    expect_ok(h.z, zero_get_memory(h.z, &memory));
    EXPECT_EQ(memory.client_gradients_peak, count * sizeof(float));
    EXPECT_EQ(memory.client_gradients, 0U);
    EXPECT_EQ(memory.client_parameters, 0U);
    EXPECT_EQ(memory.client_parameters_peak, rank == 0 ? bytes : count * sizeof(float));
  });
}

TEST(client_pitfall, 3_gradients_read_as_zeros_after_their_reduction) {
  for (int stage = 0; stage <= 3; ++stage) {
    with_clients(2, sgd(stage), [&](zero_optimizer* z, flat_model& model, int) {
      for (int step = 0; step < 3; ++step) {
        model.forward_backward(step, 0);
        EXPECT_TRUE(model.gradients_zero()) << "stage " << stage;
        expect_ok(z, zero_step(z, 0.001, nullptr));
        EXPECT_TRUE(model.gradients_zero());
      }
    });
  }
}

// Slices of 13 elements: 78 of them on one page. What is given back of one is not its neighbours'.
TEST(client_pitfall, 4_slices_smaller_than_a_page_leave_their_neighbours_alone) {
  constexpr int layers = 40;
  constexpr std::size_t each = 13;
  for (const int stage : {2, 3}) {
    run_clients(2, [&](zero_ranks& own) {
      const handle h(own, sgd(stage));
      const std::size_t bytes = layers * each * sizeof(float);
      auto* p = static_cast<float*>(zero_range(h.z, ZERO_PARAMETERS, bytes));
      auto* g = static_cast<float*>(zero_range(h.z, ZERO_GRADIENTS, bytes));
      for (std::size_t i = 0; i < layers * each; ++i) p[i] = static_cast<float>(i);
      const std::size_t counts[] = {layers * each};
      expect_ok(h.z, zero_wrap_flat(h.z, p, g, counts, 1, 0, 1, layers));
      const auto slice = [&](int layer) { return static_cast<std::size_t>(layer) * each; };
      expect_ok(h.z, zero_backward_begin(h.z, 1, nullptr));
      for (int layer = 1; layer < layers; ++layer) {
        expect_ok(h.z, zero_backward_begin(h.z, 1 + layer, nullptr));
        for (std::size_t i = 0; i < each; ++i) g[slice(layer) + i] += 2;
        for (std::size_t i = 0; i < each; ++i) g[slice(layer - 1) + i] += 1;
        // The one before it ends while this one is in use.
        expect_ok(h.z, zero_backward_end(h.z, layer, nullptr));
        for (std::size_t i = 0; i < each; ++i) {
          EXPECT_EQ(p[slice(layer) + i], static_cast<float>(slice(layer) + i));
          EXPECT_EQ(g[slice(layer) + i], 2);
          EXPECT_EQ(g[slice(layer - 1) + i], 0);
        }
      }
      expect_ok(h.z, zero_backward_end(h.z, layers, nullptr));
      expect_ok(h.z, zero_step(h.z, 0.5, nullptr));
      std::vector<float> now(each);
      for (int layer = 0; layer < layers; ++layer) {
        const float made = layer == 0 ? 1 : layer + 1 == layers ? 2 : 3;
        expect_ok(h.z,
                  zero_read_state(h.z, "tensor.0", layer, ZERO_MASTER, ZERO_ON_ALL, now.data()));
        for (std::size_t i = 0; i < each; ++i) {
          EXPECT_EQ(now[i], static_cast<float>(slice(layer) + i) - 0.5F * made);
        }
      }
    });
  }
}

// A weight used outside its unit's begin and end is not there, or no number: never an old one. The
// next layer's can be had at the same time.
TEST(client_pitfall, 5_weights_used_outside_their_unit_are_no_numbers) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE)) / sizeof(float);
  const std::size_t each = 3 * page + 5;
  run_clients(2, [&](zero_ranks& own) {
    const handle h(own, sgd(3));
    auto* p = static_cast<float*>(zero_range(h.z, ZERO_PARAMETERS, 2 * each * sizeof(float)));
    for (std::size_t i = 0; i < 2 * each; ++i) p[i] = static_cast<float>(i);
    const std::size_t counts[] = {2 * each};
    expect_ok(h.z, zero_wrap_flat(h.z, p, nullptr, counts, 1, 0, 1, 2));
    const float* inner = p + page + 3;
    const float* edge = p + each - 1;
    EXPECT_FALSE(readable(inner));
    EXPECT_TRUE(std::isnan(*edge));
    EXPECT_TRUE(std::isnan(p[each]));
    expect_ok(h.z, zero_forward_begin(h.z, 1, nullptr));
    expect_ok(h.z, zero_forward_begin(h.z, 2, nullptr));
    for (std::size_t i = 0; i < 2 * each; ++i) EXPECT_EQ(p[i], static_cast<float>(i));
    expect_ok(h.z, zero_forward_end(h.z, 1, nullptr));
    EXPECT_FALSE(readable(inner));
    EXPECT_TRUE(std::isnan(*edge));
    for (std::size_t i = each; i < 2 * each; ++i) EXPECT_EQ(p[i], static_cast<float>(i));
    expect_ok(h.z, zero_forward_end(h.z, 2, nullptr));
  });
}

// Small ones that other units use too are there at any time, and never old.
TEST(client_pitfall, 5_resident_weights_may_be_used_anywhere) {
  flat_run run = sgd(3);
  run.adjust = [](zero_config& config) { config.resident_bytes = width * sizeof(float); };
  with_clients(2, run, [&](zero_optimizer* z, flat_model& model, int) {
    const std::size_t biases = width + std::size_t{depth} * width * width;
    for (int step = 0; step < 2; ++step) {
      train_step(z, model, step, 0.01);
      const std::vector<float> seen(model.parameters() + biases,
                                    model.parameters() + biases + std::size_t{depth} * width);
      const std::vector<float> now = model.whole();
      EXPECT_TRUE(
          std::equal(seen.begin(), seen.end(), now.begin() + static_cast<std::ptrdiff_t>(biases)));
      EXPECT_NE(seen[0], static_cast<float>(initial_value(biases)));
    }
  });
}

// Validation without a backward, in the midst of training too, changes nothing of it.
TEST(client_pitfall, 6_an_evaluation_between_changes_nothing) {
  for (const bool placed : {false, true}) {
    std::string first;
    for (int stage = 0; stage <= 3; ++stage) {
      // 0: not at all, 1: between what is said to be final, 2: before it is.
      for (const int evaluates : {0, 1, 2}) {
        flat_run run = sgd(stage);
        run.every_call = evaluates < 2;
        run.micro_batches = 2;
        run.placed = placed;
        with_clients(2, run, [&](zero_optimizer* z, flat_model& model, int rank) {
          const auto evaluate = [&] {
            if (evaluates == 0) return;
            expect_ok(z, zero_evaluate(z));
            for (int pass = 0; pass < 2; ++pass) {
              model.forward(9, pass);
              if (run.every_call || stage == 3) expect_ok(z, zero_forward_end(z, 0, nullptr));
            }
          };
          for (int step = 0; step < 2; ++step) {
            evaluate();
            for (int micro = 0; micro < 2; ++micro) {
              expect_ok(z, zero_micro_batch(z, micro, 2));
              model.forward_backward(step, micro);
              evaluate();
            }
            expect_ok(z, zero_step(z, 0.001, nullptr));
          }
          const std::string digest = digest_of(z);
          if (rank != 0) return;
          if (first.empty()) first = digest;
          EXPECT_EQ(digest, first) << "stage " << stage << ", placed " << placed;
        });
      }
    }
  }
}

// A rank with fewer micro-batches than the others is told, and so are they: nobody waits for ever.
TEST(client_pitfall, 6_a_rank_with_fewer_micro_batches_is_an_error_on_all) {
  for (const int stage : {0, 2, 3}) {
    std::atomic<int> told = 0;
    flat_run run = sgd(stage);
    run.micro_batches = 2;
    run_clients(3, [&](zero_ranks& own) {
      const handle h(own, run);
      flat_model model(h.z, run, own.communicator->rank());
      const int count = own.communicator->rank() == 1 ? 1 : 2;
      try {
        for (int micro = 0; micro < count; ++micro) {
          expect_ok(h.z, zero_micro_batch(h.z, micro, count));
          model.forward_backward(0, micro);
        }
        expect_ok(h.z, zero_step(h.z, 0.001, nullptr));
      } catch (const std::runtime_error&) {
        EXPECT_EQ(zero_first_error(h.z), ZERO_DESYNC) << zero_last_error(h.z);
        ++told;
      }
    });
    EXPECT_EQ(told, 3) << "stage " << stage;
  }
}

// Rows that no gradient reaches still decay.
TEST(client_pitfall, 7_rows_without_a_gradient_decay) {
  for (int stage = 0; stage <= 3; ++stage) {
    flat_run run;
    run.stage = stage;
    run.weight_decay = 0.5F;
    with_clients(3, run, [&](zero_optimizer* z, flat_model& model, int) {
      expect_ok(z, zero_step(z, 0.5, nullptr));
      const std::vector<float> now = model.whole();
      for (std::size_t i = 0; i < now.size(); ++i) {
        EXPECT_NEAR(static_cast<double>(now[i]), 0.75 * initial_value(i), 1e-6);
      }
    });
  }
}

TEST(client_pitfall, 8_gradients_that_come_later_are_bound_by_name) {
  for (int stage = 0; stage <= 3; ++stage) {
    run_clients(2, [&](zero_ranks& own) {
      const handle h(own, sgd(stage));
      auto* p = static_cast<float*>(zero_range(h.z, ZERO_PARAMETERS, 16 * sizeof(float)));
      auto* g = static_cast<float*>(zero_range(h.z, ZERO_GRADIENTS, 16 * sizeof(float)));
      const zero_segment list[] = {named("a", p, nullptr, 8), named("b", p + 8, nullptr, 8)};
      expect_ok(h.z, zero_attach(h.z, list, 2, sizeof list[0]));
      expect_ok(h.z, zero_commit(h.z));
      expect_ok(h.z, zero_step(h.z, 1, nullptr));  // without any gradient
      expect_ok(h.z, zero_bind_gradient(h.z, "b", g));
      EXPECT_EQ(zero_bind_gradient(h.z, "b", g + 8), ZERO_INVALID);
      EXPECT_EQ(zero_bind_gradient(h.z, "a", g + 4), ZERO_INVALID);  // overlaps
      EXPECT_EQ(zero_bind_gradient(h.z, "a", nullptr), ZERO_INVALID);
      expect_ok(h.z, zero_backward_begin(h.z, 0, nullptr));
      for (int i = 0; i < 8; ++i) g[i] += 3;
      expect_ok(h.z, zero_backward_end(h.z, 0, nullptr));
      expect_ok(h.z, zero_step(h.z, 1, nullptr));
      float now[8];
      expect_ok(h.z, zero_read_state(h.z, "a", 0, ZERO_MASTER, ZERO_ON_ALL, now));
      for (const float v : now) EXPECT_EQ(v, 0);
      expect_ok(h.z, zero_read_state(h.z, "b", 0, ZERO_MASTER, ZERO_ON_ALL, now));
      for (const float v : now) EXPECT_EQ(v, -3);
    });
  }
}

// Weights of 16 bits are rounded alike wherever a shard begins, with any number of ranks.
TEST(client_pitfall, 10_rounding_does_not_depend_on_which_rank_does_it) {
  std::vector<float> first;
  for (const int ranks : {1, 2, 4}) {
    for (const int stage : {0, 3}) {
      run_clients(ranks, [&](zero_ranks& own) {
        const handle h(own, sgd(stage));
        constexpr std::size_t count = 1009;
        auto* p = static_cast<bf16_t*>(zero_range(h.z, ZERO_PARAMETERS, count * 2));
        auto* g = static_cast<bf16_t*>(zero_range(h.z, ZERO_GRADIENTS, count * 2));
        for (std::size_t i = 0; i < count; ++i) p[i] = to_bf16(static_cast<float>(i % 7));
        zero_segment s{};
        s.name = "w";
        s.parameter = p;
        s.gradient = g;
        s.count = count;
        s.dtype = ZERO_BF16;
        expect_ok(h.z, zero_attach(h.z, &s, 1, sizeof s));
        expect_ok(h.z, zero_commit(h.z));
        for (int step = 0; step < 3; ++step) {
          expect_ok(h.z, zero_backward_begin(h.z, 0, nullptr));
          for (std::size_t i = 0; i < count; ++i) g[i] = to_bf16(static_cast<float>(i % 11));
          expect_ok(h.z, zero_backward_end(h.z, 0, nullptr));
          expect_ok(h.z, zero_step(h.z, 0.001, nullptr));
        }
        expect_ok(h.z, zero_forward_begin(h.z, 0, nullptr));
        std::vector<float> now;
        for (std::size_t i = 0; i < count; ++i) now.push_back(to_float(p[i]));
        expect_ok(h.z, zero_forward_end(h.z, 0, nullptr));
        if (own.communicator->rank() != 0) return;
        if (first.empty()) first = now;
        EXPECT_EQ(now, first) << ranks << " ranks, stage " << stage;
      });
    }
  }
}

// Adam would not see that a sum is not a mean: SGD moves a weight by exactly one or the other.
TEST(client_pitfall, 11_a_sum_is_not_a_mean) {
  for (const int gradients : {ZERO_MEAN, ZERO_SUM}) {
    for (int stage = 0; stage <= 3; ++stage) {
      flat_run run = sgd(stage);
      run.gradients = gradients;
      run_clients(3, [&](zero_ranks& own) {
        const handle h(own, run);
        auto* p = static_cast<float*>(zero_range(h.z, ZERO_PARAMETERS, 40));
        auto* g = static_cast<float*>(zero_range(h.z, ZERO_GRADIENTS, 40));
        const std::size_t counts[] = {10};
        expect_ok(h.z, zero_wrap_flat(h.z, p, g, counts, 1, 0, 0, 1));
        expect_ok(h.z, zero_backward_begin(h.z, 0, nullptr));
        for (int i = 0; i < 10; ++i) g[i] += static_cast<float>(3 * own.communicator->rank());
        expect_ok(h.z, zero_backward_end(h.z, 0, nullptr));
        expect_ok(h.z, zero_step(h.z, 1, nullptr));
        zero_step_result last{};
        last.struct_size = sizeof last;
        expect_ok(h.z, zero_last_step(h.z, &last));
        const double each = gradients == ZERO_MEAN ? 3 : 9;  // of 0, 3 and 6
        EXPECT_NEAR(last.gradient_norm, each * std::sqrt(10.0), 1e-5);
        float now[10];
        expect_ok(h.z, zero_read_state(h.z, "tensor.0", 0, ZERO_MASTER, ZERO_ON_ALL, now));
        for (const float v : now) EXPECT_NEAR(static_cast<double>(v), -each, 1e-6);
      });
    }
  }
}

// Nothing is looked at before the commit: addresses and counts alone are compared, in 64 bits.
TEST(client_pitfall, 13_more_elements_than_an_int_holds_are_told_apart) {
  run_clients(1, [](zero_ranks& own) {
    const handle h(own, sgd(0));
    const std::uint64_t many = 5000000000;
    auto* base = reinterpret_cast<float*>(std::uintptr_t{1} << 40);
    const zero_segment first = named("first", base, nullptr, many);
    const zero_segment inside = named("inside", base + many - 1, nullptr, 8);
    const zero_segment behind = named("behind", base + many, nullptr, 8);
    expect_ok(h.z, zero_attach(h.z, &first, 1, sizeof first));
    EXPECT_EQ(zero_attach(h.z, &inside, 1, sizeof inside), ZERO_INVALID);
    expect_ok(h.z, zero_attach(h.z, &behind, 1, sizeof behind));
  });
}

}  // namespace
}  // namespace zero::testing
