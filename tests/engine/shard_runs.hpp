#pragma once
// A state in plain arrays, collected from all ranks and handed out to others.

#include "engine/toy_client.hpp"
#include "support/run_ranks.hpp"

#include <zero/base/float16.hpp>

#include <gtest/gtest.h>

#include <cstring>
#include <mutex>
#include <string>
#include <vector>

namespace zero::testing {

// Everything of every parameter with storage; array 0 is the weights, a frozen parameter's too.
class whole_state {
 public:
  std::vector<std::vector<std::vector<float>>> arrays;  // by array, by parameter
  std::vector<std::vector<int>> seen;                   // how often, by parameter
  std::vector<std::string> names;
  training_progress progress;

  // Adds what a rank answers for. The ranks are threads, which share this.
  void collect(sharded_optimizer& optimizer) {
    const std::vector<shard_extent> said = optimizer.saved_extents();
    std::size_t next = 0;
    const std::lock_guard<std::mutex> lock(mutex_);
    make_room(optimizer);
    names = optimizer.state_names();
    progress = optimizer.progress();
    optimizer.read_shards([&](const shard_values& v) {
      ASSERT_LT(next, said.size());
      expect_same(said[next++], v.where);
      const bool trainable = optimizer.layout().parameter(v.where.parameter).trainable;
      ASSERT_EQ(v.state_count, trainable ? static_cast<int>(names.size()) : 0);
      ASSERT_EQ(v.weights.count, v.where.count);
      for (std::uint64_t i = 0; i < v.where.count; ++i) {
        const std::uint64_t e = v.where.offset + i;
        ASSERT_LT(e, seen[v.where.parameter].size());
        ++seen[v.where.parameter][e];
        arrays[0][v.where.parameter][e] = load(v.weights, i);
        for (int s = 0; s < v.state_count; ++s) {
          arrays[static_cast<std::size_t>(s) + 1][v.where.parameter][e] = v.states[s][i];
        }
      }
    });
    EXPECT_EQ(next, said.size());
  }

  // Puts all that a rank keeps into `optimizer`.
  void hand_out(sharded_optimizer& optimizer) const {
    const std::vector<shard_extent> said = optimizer.kept_extents();
    std::size_t next = 0;
    optimizer.write_shards([&](const shard_room& room) {
      ASSERT_LT(next, said.size());
      expect_same(said[next++], room.where);
      for (std::uint64_t i = 0; i < room.where.count; ++i) {
        const std::uint64_t e = room.where.offset + i;
        store(room.weights, i, arrays[0][room.where.parameter][e]);
        for (int s = 0; s < room.state_count; ++s) {
          room.states[s][i] = arrays[static_cast<std::size_t>(s) + 1][room.where.parameter][e];
        }
      }
    });
    EXPECT_EQ(next, said.size());
    optimizer.resume(progress);
  }

  void expect_covered(const partition::layout& layout) const {
    for (const partition::placement& p : layout.parameters()) {
      const std::vector<int>& times = seen[p.index];
      ASSERT_EQ(times.size(), p.storage == p.index ? p.count : 0);
      for (std::size_t e = 0; e < times.size(); ++e) {
        ASSERT_EQ(times[e], 1) << layout.parameter(p.index).name << "[" << e << "]";
      }
    }
  }

 private:
  static void expect_same(const shard_extent& said, const shard_extent& shown) {
    EXPECT_EQ(said.parameter, shown.parameter);
    EXPECT_EQ(said.offset, shown.offset);
    EXPECT_EQ(said.count, shown.count);
    EXPECT_GT(said.count, 0U);
  }
  static float load(const const_typed_span& from, std::uint64_t i) {
    if (from.type == dtype::bf16) return to_float(static_cast<const bf16_t*>(from.data)[i]);
    if (from.type == dtype::fp16) return to_float(static_cast<const fp16_t*>(from.data)[i]);
    return static_cast<const float*>(from.data)[i];
  }
  static void store(const typed_span& to, std::uint64_t i, float value) {
    if (to.type == dtype::bf16) {
      static_cast<bf16_t*>(to.data)[i] = to_bf16(value);
    } else if (to.type == dtype::fp16) {
      static_cast<fp16_t*>(to.data)[i] = to_fp16(value);
    } else {
      static_cast<float*>(to.data)[i] = value;
    }
  }
  void make_room(const sharded_optimizer& optimizer) {
    if (!seen.empty()) return;
    const auto all = optimizer.layout().parameters();
    seen.resize(all.size());
    arrays.resize(1 + optimizer.state_names().size());
    for (auto& array : arrays) array.resize(all.size());
    for (const partition::placement& p : all) {
      if (p.storage != p.index) continue;
      seen[p.index].resize(p.count);
      for (auto& array : arrays) array[p.index].resize(p.count);
    }
  }

  std::mutex mutex_;
};

// Bits, so that zeros have signs and NaN equals itself.
inline void expect_same_bits(const whole_state& got, const whole_state& right) {
  ASSERT_EQ(got.arrays.size(), right.arrays.size());
  for (std::size_t a = 0; a < right.arrays.size(); ++a) {
    for (std::size_t p = 0; p < right.arrays[a].size(); ++p) {
      const std::vector<float>& x = got.arrays[a][p];
      const std::vector<float>& y = right.arrays[a][p];
      ASSERT_EQ(x.size(), y.size()) << "array " << a << ", parameter " << p;
      for (std::size_t e = 0; e < y.size(); ++e) {
        ASSERT_EQ(std::memcmp(&x[e], &y[e], sizeof(float)), 0)
            << "array " << a << ", parameter " << p << ", element " << e << ": " << x[e] << ", not "
            << y[e];
      }
    }
  }
}

inline void expect_same_progress(const training_progress& got, const training_progress& right) {
  EXPECT_EQ(got.updates, right.updates);
  EXPECT_EQ(got.steps, right.steps);
  EXPECT_EQ(got.loss_scale.value, right.loss_scale.value);
  EXPECT_EQ(got.loss_scale.clean_steps, right.loss_scale.clean_steps);
  EXPECT_EQ(got.loss_scale.tolerated, right.loss_scale.tolerated);
}

// A run of all its steps, its state after the first `until` of them, and at its end.
struct watched_run {
  toy_result result;
  whole_state between;
  whole_state end;
};

using train_function = std::function<toy_result(collectives::communicator&, const toy_run&)>;
inline toy_result train_here(collectives::communicator& ranks, const toy_run& run) {
  return train_toy(ranks, run);
}

inline void train_watched(int world, toy_run run, int until, watched_run& out,
                          const train_function& train = train_here) {
  run.after_step = [&](sharded_optimizer& optimizer, int step) {
    if (step + 1 == until) out.between.collect(optimizer);
  };
  run.at_end = [&](sharded_optimizer& optimizer) { out.end.collect(optimizer); };
  run_ranks(world, [&](collectives::communicator& ranks) {
    toy_result own = train(ranks, run);
    if (ranks.rank() == 0) out.result = std::move(own);
  });
  const partition::layout layout(toy_model(run.type, run.wide), {});
  out.between.expect_covered(layout);
  out.end.expect_covered(layout);
}

// The steps of `run` from `from` on, after which that many had been made.
inline void train_on(int world, toy_run run, int from, const whole_state& between, watched_run& out,
                     const train_function& train = train_here) {
  run.first_step = from;
  run.at_start = [&](sharded_optimizer& optimizer) {
    between.hand_out(optimizer);
    out.between.collect(optimizer);
  };
  run.at_end = [&](sharded_optimizer& optimizer) { out.end.collect(optimizer); };
  run_ranks(world, [&](collectives::communicator& ranks) {
    toy_result own = train(ranks, run);
    if (ranks.rank() == 0) out.result = std::move(own);
  });
}

// Interrupted after `until` steps and taken up by another object, `run` ends with the same bits.
inline void expect_continues(int world, const toy_run& run, int until,
                             const train_function& train = train_here) {
  watched_run right;
  train_watched(world, run, until, right, train);
  watched_run again;
  train_on(world, run, until, right.between, again, train);
  expect_same_bits(again.between, right.between);
  expect_same_progress(again.between.progress, right.between.progress);
  expect_same_bits(again.end, right.end);
  expect_same_progress(again.end.progress, right.end.progress);
  EXPECT_EQ(to_hex(again.result.digest), to_hex(right.result.digest));
  ASSERT_EQ(again.result.norms.size() + static_cast<std::size_t>(until), right.result.norms.size());
  for (std::size_t i = 0; i < again.result.norms.size(); ++i) {
    const double norm = right.result.norms[i + static_cast<std::size_t>(until)];
    EXPECT_EQ(std::memcmp(&again.result.norms[i], &norm, sizeof norm), 0) << i;
  }
}

}  // namespace zero::testing
