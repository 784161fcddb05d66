// Tensors of every kind in one list - 16 bits, stacks, tied, frozen, empty, groups - at every
// stage, in both forms and on every tier: the same bits, and those that double precision says.

#include "flat_trainer.hpp"

#include <zero/base/float16.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>

namespace zero::testing {
namespace {

struct tensor {
  const char* name;
  std::uint64_t count;
  int type;
  int unit;
  int slices;
  int group;
  bool frozen;
  const char* tied_to;
};

constexpr tensor tensors[] = {
    {"embed", 35, ZERO_BF16, 0, 0, 0, false, nullptr},
    {"bias", 13, ZERO_FP32, 0, 0, 1, false, nullptr},
    {"norm", 3 * 31, ZERO_FP32, 1, 3, 0, false, nullptr},
    {"weight", 3 * 5003, ZERO_BF16, 1, 3, 0, false, nullptr},
    {"empty", 0, ZERO_FP32, 1, 0, 0, false, nullptr},
    {"frozen", 9, ZERO_FP32, 2, 0, 0, true, nullptr},
    {"head", 35, ZERO_BF16, 3, 0, 0, false, "embed"},
};
constexpr int tensor_count = 7;
constexpr int units = 4;
constexpr int steps = 3;
constexpr double rate = 0.0625;

int slices_of(const tensor& t) { return t.slices > 1 ? t.slices : 1; }
std::uint64_t slice_count(const tensor& t) {
  return t.count / static_cast<std::uint64_t>(slices_of(t));
}

// Exact in every dtype; the element is counted over all slices.
double first_value(int of, std::uint64_t element) {
  return static_cast<double>((element * 7 + static_cast<std::uint64_t>(of) * 5) % 33) / 16.0 - 1.0;
}
double gradient_value(int of, std::uint64_t element, int rank, int step) {
  return static_cast<double>(
             (element * 5 + static_cast<std::uint64_t>(of * 11 + rank * 17 + step * 3)) % 61) /
             32.0 -
         0.9375;
}

void store(void* at, int type, std::uint64_t i, double value) {
  if (type == ZERO_FP32) {
    static_cast<float*>(at)[i] = static_cast<float>(value);
  } else {
    static_cast<bf16_t*>(at)[i] = to_bf16(static_cast<float>(value));
  }
}
void add(void* at, int type, std::uint64_t i, double value) {
  const float before =
      type == ZERO_FP32 ? static_cast<float*>(at)[i] : to_float(static_cast<bf16_t*>(at)[i]);
  store(at, type, i, static_cast<double>(before) + value);
}

struct kind {
  int stage = 0;
  bool placed = false;
  int optimizer_tier = ZERO_ON_DEVICE;
  int parameter_tier = ZERO_ON_DEVICE;
  int gradient_tier = -1;
  std::uint64_t resident_bytes = 0;
  int shard_group = 0;
  int secondary_group = 0;
};

zero_config config_for(const kind& of) {
  flat_run run;
  run.stage = of.stage;
  run.rule = ZERO_SGD;
  run.weight_decay = 0;
  zero_config config = config_of(run);
  config.optimizer_tier = of.optimizer_tier;
  config.parameter_tier = of.parameter_tier;
  config.gradient_tier = of.gradient_tier;
  config.resident_bytes = of.resident_bytes;
  config.shard_group = of.shard_group;
  config.secondary_group = of.secondary_group;
  config.prefetch = units - 1;  // all of them are held at once
  const std::string directory = std::filesystem::temp_directory_path().string();
  std::strncpy(config.disk_path, directory.c_str(), sizeof config.disk_path - 1);
  return config;
}

class list_client {
 public:
  list_client(zero_optimizer* z, const kind& of, int rank) : z_(z), of_(of), rank_(rank) {
    std::size_t bytes = 0;
    std::size_t at[tensor_count] = {};
    for (int i = 0; i < tensor_count; ++i) {
      bytes = (bytes + 3) / 4 * 4;
      at[i] = bytes;
      bytes += tensors[i].count * 4;  // room for either dtype
    }
    if (!of.placed) {
      parameters_ = static_cast<std::byte*>(zero_range(z, ZERO_PARAMETERS, bytes));
      gradients_ = static_cast<std::byte*>(zero_range(z, ZERO_GRADIENTS, bytes));
    }
    for (int i = 0; i < tensor_count; ++i) {
      const tensor& t = tensors[i];
      zero_segment s{};
      s.name = t.name;
      s.count = t.count;
      s.dtype = t.type;
      s.unit = t.unit;
      s.slices = t.slices;
      s.group = t.group;
      s.flags = t.frozen ? ZERO_FROZEN : 0;
      s.tied_to = t.tied_to;
      if (!of.placed && t.tied_to == nullptr) {
        s.parameter = parameters_ + at[i];
        s.gradient = t.frozen ? nullptr : gradients_ + at[i];
        for (std::uint64_t e = 0; e < t.count; ++e) {
          store(s.parameter, t.type, e, first_value(i, e) + rank);
        }
      }
      segments_.push_back(s);
    }
    if (rank == 0 && !of.placed) {
      for (int i = 0; i < tensor_count; ++i) {
        for (std::uint64_t e = 0; e < tensors[i].count && tensors[i].tied_to == nullptr; ++e) {
          store(segments_[static_cast<std::size_t>(i)].parameter, tensors[i].type, e,
                first_value(i, e));
        }
      }
    }
    expect_ok(z, zero_attach(z, segments_.data(), segments_.size(), sizeof(zero_segment)));
    zero_group slower = config_for(of).group;
    slower.learning_rate_factor = 0.5F;
    expect_ok(z, zero_set_group(z, 1, &slower));
    expect_ok(z, zero_commit(z));
    if (of.placed) write_first_values();
  }

  void step(int number) {
    for (int unit = 0; unit < units; ++unit) expect_ok(z_, zero_forward_begin(z_, unit, nullptr));
    for (int unit = units - 1; unit >= 0; --unit) {
      expect_ok(z_, zero_backward_begin(z_, unit, nullptr));
      for (int i = 0; i < tensor_count; ++i) add_gradients(i, unit, number);
      expect_ok(z_, zero_backward_end(z_, unit, nullptr));
    }
    expect_ok(z_, zero_step(z_, rate, nullptr));
  }

  // Master weights of the whole list, in order; tied ones left out.
  std::vector<float> masters() {
    std::vector<float> all;
    for (const tensor& t : tensors) {
      for (int slice = 0; slice < slices_of(t) && t.tied_to == nullptr; ++slice) {
        std::vector<float> values(slice_count(t) + 1);
        expect_ok(z_, zero_read_state(z_, t.name, slice, ZERO_MASTER, ZERO_ON_ALL, values.data()));
        all.insert(all.end(), values.begin(), values.end() - 1);
      }
    }
    return all;
  }

 private:
  void write_first_values() {
    expect_ok(z_, zero_full_begin(z_, ZERO_ON_ALL, ZERO_WRITE));
    for (int i = 0; i < tensor_count; ++i) {
      const tensor& t = tensors[i];
      for (int slice = 0; slice < slices_of(t) && t.tied_to == nullptr && t.count > 0; ++slice) {
        void* at = nullptr;
        expect_ok(z_, zero_parameter(z_, t.name, slice, &at));
        for (std::uint64_t e = 0; e < slice_count(t); ++e) {
          const std::uint64_t element = static_cast<std::uint64_t>(slice) * slice_count(t) + e;
          store(at, t.type, e, first_value(i, element) + rank_);  // rank 0's count
        }
      }
    }
    expect_ok(z_, zero_full_end(z_));
  }

  void add_gradients(int i, int unit, int number) {
    const tensor& t = tensors[i];
    const int slice = unit - t.unit;
    if (slice < 0 || slice >= slices_of(t) || t.frozen || t.tied_to != nullptr || t.count == 0) {
      return;
    }
    const std::uint64_t before = static_cast<std::uint64_t>(slice) * slice_count(t);
    void* at = nullptr;
    if (of_.placed) {
      expect_ok(z_, zero_gradient(z_, t.name, slice, &at));
    } else {
      at = static_cast<std::byte*>(segments_[static_cast<std::size_t>(i)].gradient) +
           before * (t.type == ZERO_FP32 ? 4 : 2);
    }
    for (std::uint64_t e = 0; e < slice_count(t); ++e) {
      add(at, t.type, e, gradient_value(i, before + e, rank_, number));
    }
  }

  zero_optimizer* z_;
  kind of_;
  int rank_;
  std::byte* parameters_ = nullptr;
  std::byte* gradients_ = nullptr;
  std::vector<zero_segment> segments_;
};

std::vector<double> dense(int ranks) {
  std::vector<double> all;
  for (int i = 0; i < tensor_count; ++i) {
    const tensor& t = tensors[i];
    if (t.tied_to != nullptr) continue;
    for (std::uint64_t e = 0; e < t.count; ++e) {
      double value = first_value(i, e);
      double momentum = 0;
      for (int step = 0; step < steps && !t.frozen; ++step) {
        double sum = 0;
        for (int rank = 0; rank < ranks; ++rank) sum += gradient_value(i, e, rank, step) / ranks;
        momentum = static_cast<double>(0.9F) * momentum + sum;
        value -= rate * (t.group == 1 ? 0.5 : 1.0) * momentum;
      }
      all.push_back(value);
    }
  }
  return all;
}

std::vector<float> train(int ranks, const kind& of) {
  std::vector<float> masters;
  run_clients(ranks, [&](zero_ranks& own) {
    const std::unique_ptr<zero_optimizer, zero_status (*)(zero_optimizer*)> z(
        create(own, config_for(of)), zero_close);
    const int rank = own.communicator->rank();
    list_client client(z.get(), of, rank);
    for (int step = 0; step < steps; ++step) client.step(step);
    const std::vector<float> now = client.masters();
    if (rank == 0) masters = now;
  });
  return masters;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

class client_tensors : public ::testing::TestWithParam<int> {};

TEST_P(client_tensors, of_every_kind_agree_at_every_stage_and_in_both_forms) {
  const std::vector<double> expected = dense(GetParam());
  const std::vector<float> first = train(GetParam(), {});
  ASSERT_EQ(first.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(static_cast<double>(first[i]), expected[i], 1e-6) << i;
  }
  for (const bool placed : {false, true}) {
    for (int stage = 0; stage <= 3; ++stage) {
      for (const std::uint64_t resident : {0, 200}) {
        kind of;
        of.stage = stage;
        of.placed = placed;
        of.resident_bytes = resident;
        EXPECT_TRUE(same_bits(train(GetParam(), of), first))
            << "stage " << stage << ", placed " << placed << ", resident " << resident;
      }
    }
  }
}

TEST_P(client_tensors, agree_on_every_tier) {
  const std::vector<float> first = train(GetParam(), {});
  for (const bool placed : {false, true}) {
    for (int stage = 0; stage <= 3; ++stage) {
      for (const int tier : {ZERO_ON_HOST, ZERO_ON_DISK}) {
        kind of;
        of.stage = stage;
        of.placed = placed;
        of.optimizer_tier = tier;
        of.parameter_tier = stage == 3 ? tier : static_cast<int>(ZERO_ON_DEVICE);
        EXPECT_TRUE(same_bits(train(GetParam(), of), first))
            << "stage " << stage << ", placed " << placed << ", tier " << tier;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(worlds, client_tensors, ::testing::Values(1, 2, 3, 7));

TEST(client_tensors_in_groups, agree_with_those_sharded_over_all) {
  const std::vector<float> first = train(4, {});
  for (const bool placed : {false, true}) {
    for (int stage = 1; stage <= 3; ++stage) {
      kind of;
      of.stage = stage;
      of.placed = placed;
      of.shard_group = 2;
      EXPECT_TRUE(same_bits(train(4, of), first)) << "stage " << stage << ", placed " << placed;
    }
    kind of;
    of.stage = 3;
    of.placed = placed;
    of.secondary_group = 2;
    EXPECT_TRUE(same_bits(train(4, of), first)) << "secondary, placed " << placed;
  }
}

}  // namespace
}  // namespace zero::testing
