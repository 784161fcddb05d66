// What tiers and other formats need of a processor: copies on lanes of their own, pinned memory,
// sums in a given order, and updates of packed spans. The host's, and a GPU's where there is one.
#include "packed_problem.hpp"
#include "processor_fixture.hpp"

#include <zero/base/error.hpp>
#include <zero/optim/elementwise.hpp>

#include <numeric>
#include <vector>

namespace zero::testing {
namespace {

// A packed problem in the processor's memory, brought back by fetch().
class mirrored_packed {
 public:
  mirrored_packed(processor& worker, memory_resource& memory, packed_problem& of)
      : worker_(worker),
        of_(of),
        arrays_{&of.master, &of.gradient, &of.parameter, &of.state[0], &of.state[1]} {
    for (guarded_bytes* array : arrays_) {
      there_.push_back(std::make_unique<block>(memory, array->all().size()));
      worker_.write(array->all().data(), there_.back()->as(), array->all().size());
    }
    worker_.queue().record().wait();
  }
  [[nodiscard]] packed_spans spans() {
    packed_spans s = of_.spans();
    if (s.master != nullptr) s.master = at(0);
    s.gradient.data = at(1);
    if (s.parameter.data != nullptr) s.parameter.data = at(2);
    for (int i = 0; i < 2; ++i) {
      if (s.state[i] != nullptr) s.state[i] = at(3 + i);
    }
    return s;
  }
  void fetch() {
    for (std::size_t i = 0; i < there_.size(); ++i) {
      worker_.read(there_[i]->as(), arrays_[i]->all().data(), arrays_[i]->all().size());
    }
    worker_.queue().record().wait();
  }

 private:
  [[nodiscard]] unsigned char* at(int i) const {
    const auto index = static_cast<std::size_t>(i);
    return there_[index]->as() + (arrays_[index]->data() - arrays_[index]->all().data());
  }

  processor& worker_;
  packed_problem& of_;
  guarded_bytes* arrays_[5];
  std::vector<std::unique_ptr<block>> there_;
};

class packed_processors : public processors {};

TEST_P(packed_processors, packed_updates_equal_the_reference) {
  std::mt19937_64 random(51);
  for_each_packed_case([&](const packed_case& how) {
    packed_problem there(how, 30 * 128);
    there.fill(random);
    packed_problem reference = there;
    const std::vector<update_run> runs = odd_runs(how.rule, there.count);
    const step_vote vote{2.5, 1e-3F, 1};
    const made_decision made(*worker_, *memory_, vote, {1024.0, 0.5}, 3);
    step_decision expected;
    expected.steps = 3;
    optim::decide(&vote, 1, {1024.0, 0.5}, &expected);
    mirrored_packed mirrored(*worker_, *memory_, there);
    worker_->update_packed(how.rule, runs, made.decision(), mirrored.spans());
    finish();
    mirrored.fetch();
    optim::update_packed_reference(how.rule, runs, {4, expected.gradient_scale}, reference.spans());
    expect_same(there, reference);
  });
}

TEST_P(packed_processors, a_packed_update_that_is_not_to_be_writes_nothing) {
  std::mt19937_64 random(52);
  const double infinite = std::numeric_limits<double>::infinity();
  const made_decision made(*worker_, *memory_, {infinite, 1e-3F, 1}, {}, 6);
  for (const state_format states : {state_format::fp32, state_format::block8}) {
    packed_problem there(
        {algorithm::adamw, dtype::bf16, {states, master_format::remainder}, dtype::bf16}, 4 * 128);
    there.fill(random);
    const packed_problem before = there;
    mirrored_packed mirrored(*worker_, *memory_, there);
    const update_run whole[] = {{0, there.count, {}}};
    worker_->update_packed(algorithm::adamw, whole, made.decision(), mirrored.spans());
    mirrored.fetch();
    expect_same(there, before);
  }
}

TEST_P(packed_processors, weights_go_in_and_out_as_by_the_reference) {
  std::mt19937_64 random(53);
  for_each_packed_case([&](const packed_case& how) {
    if (how.rule != algorithm::sgd || how.gradient != dtype::bf16) return;
    packed_problem there(how, 5 * 128);
    packed_problem reference = there;
    elements values(dtype::fp32, there.count, 0);
    values.fill([&] { return nasty_value(random); });
    mirrored_packed mirrored(*worker_, *memory_, there);
    mirror values_there(*worker_, *memory_, values);
    worker_->pack_master(values_there.span(), mirrored.spans());
    mirrored.fetch();
    optim::pack_master_reference(values.span(), reference.spans());
    expect_same(there, reference);
    worker_->unpack_master(mirrored.spans(), values_there.span());
    values_there.fetch();
    const std::vector<float> expected = reference.weights();
    ASSERT_EQ(std::memcmp(values.floats(), expected.data(), expected.size() * 4), 0);
  });
}

TEST_P(packed_processors, numbers_are_added_in_their_order) {
  std::mt19937_64 random(54);
  std::vector<double> values(1001);
  for (double& v : values) v = std::ldexp(1.0 + normal_value(random), int(random() % 60));
  const block there(*memory_, (values.size() + 1) * sizeof(double));
  for (const std::size_t count : {0, 1, 2, 1001}) {
    double sum = 0.125;
    worker_->write(values.data(), there.as<double>() + 1, values.size() * sizeof(double));
    worker_->write(&sum, there.as<double>(), sizeof sum);
    worker_->add_in_order(there.as<double>() + 1, count, there.as<double>());
    worker_->read(there.as<double>(), &sum, sizeof sum);
    finish();
    EXPECT_EQ(sum, std::accumulate(values.begin(), values.begin() + std::ptrdiff_t(count), 0.125));
  }
  const double backwards = std::accumulate(values.rbegin(), values.rend(), 0.125);
  EXPECT_NE(std::accumulate(values.begin(), values.end(), 0.125), backwards)
      << "this input proves nothing";
  EXPECT_THROW(worker_->add_in_order(there.as<double>(), 1, nullptr), invalid_argument);
  EXPECT_THROW(worker_->add_in_order(nullptr, 1, there.as<double>()), invalid_argument);
  EXPECT_NO_THROW(worker_->add_in_order(nullptr, 0, there.as<double>()));
}

// Up and down, many at once, from pinned memory and from any.
TEST_P(packed_processors, copiers_bring_bytes_up_and_down) {
  constexpr std::size_t count = 100'003;
  constexpr std::size_t parts = 7;
  std::vector<unsigned char> bytes(parts * count);
  std::iota(bytes.begin(), bytes.end(), static_cast<unsigned char>(1));
  for (const bool pinned : {true, false}) {
    std::vector<unsigned char> back(bytes.size(), 0);
    const block there(*memory_, bytes.size());
    const std::unique_ptr<copier> copies = worker_->make_copier();
    if (pinned) {
      EXPECT_EQ(worker_->pin(bytes.data(), bytes.size()), "");
      EXPECT_EQ(worker_->pin(back.data(), back.size()), "");
    }
    std::vector<completion> done;
    for (std::size_t i = 0; i < parts; ++i) {
      const completion up =
          copies->copy(bytes.data() + i * count, there.as() + i * count, count, copy_way::up);
      up.wait();
      done.push_back(
          copies->copy(there.as() + i * count, back.data() + i * count, count, copy_way::down));
    }
    done.push_back(copies->copy(nullptr, nullptr, 0, copy_way::down));
    for (const completion& each : done) each.wait();
    EXPECT_TRUE(done.front().ready());
    EXPECT_EQ(back, bytes);
    if (pinned) {
      worker_->unpin(bytes.data(), bytes.size());
      worker_->unpin(back.data(), back.size());
    }
  }
}

// A copy is seen by what the compute lane is told to do after it, and the other way round.
TEST_P(packed_processors, copies_and_the_compute_lane_wait_for_each_other) {
  constexpr std::size_t count = 1 << 20;
  std::vector<float> values(count, 1.5F);
  std::vector<float> sums(count, 0.0F);
  const block there(*memory_, 2 * count * sizeof(float));
  const std::unique_ptr<copier> copies = worker_->make_copier();
  const typed_span in{there.as<float>(), count, dtype::fp32};
  const typed_span out{there.as<float>() + count, count, dtype::fp32};
  worker_->queue().wait(copies->copy(values.data(), in.data, in.bytes(), copy_way::up));
  worker_->accumulate(in, out);
  worker_->accumulate(in, out);
  worker_->queue().record().wait();
  copies->copy(out.data, sums.data(), out.bytes(), copy_way::down).wait();
  EXPECT_EQ(sums, std::vector<float>(count, 3.0F));
}

TEST_P(packed_processors, pinning_twice_says_why_not_on_a_device) {
  EXPECT_EQ(worker_->pin(nullptr, 0), "");
  worker_->unpin(nullptr, 0);
  std::vector<unsigned char> bytes(1 << 16);
  EXPECT_EQ(worker_->pin(bytes.data(), bytes.size()), "");
  const std::string again = worker_->pin(bytes.data(), bytes.size());
  EXPECT_EQ(again.empty(), worker_->place() == memory_place::host) << again;
  worker_->unpin(bytes.data(), bytes.size());
}

TEST_P(packed_processors, wrong_arguments_are_refused) {
  packed_problem problem(
      {algorithm::adamw, dtype::bf16, {state_format::bf16, master_format::fp32}, dtype::bf16}, 128);
  mirrored_packed mirrored(*worker_, *memory_, problem);
  const made_decision made(*worker_, *memory_, {1.0, 1e-3F, 1}, {}, 0);
  const update_run too_long[] = {{0, 129, {}}};
  const update_run whole[] = {{0, 128, {}}};
  EXPECT_THROW(
      worker_->update_packed(algorithm::adamw, too_long, made.decision(), mirrored.spans()),
      invalid_argument);
  EXPECT_THROW(worker_->update_packed(algorithm::adamw, whole, nullptr, mirrored.spans()),
               invalid_argument);
  packed_spans spoilt = mirrored.spans();
  spoilt.count = 127;
  const typed_span values{mirrored.spans().master, 128, dtype::fp32};
  EXPECT_THROW(worker_->pack_master(values, spoilt), invalid_argument);
  EXPECT_THROW(worker_->unpack_master(spoilt, values), invalid_argument);
}

INSTANTIATE_TEST_SUITE_P(places, packed_processors, ::testing::Values("host", "cuda"),
                         [](const auto& place) { return std::string(place.param); });

}  // namespace
}  // namespace zero::testing
