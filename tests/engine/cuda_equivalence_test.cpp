// On a GPU that ranks share, training has the bits it has on the host: at every stage, dtype,
// prefetch distance and addressing. Skipped, with the reason, where there is no GPU.
//
// The client's own work is queued as kernels would be: its elements are copied to the host on the
// processor's stream, worked on in the order of that stream, and copied back. Nobody waits for it.

#include "collectives/run_joined.hpp"
#include "engine/device_runs.hpp"

#include <zero/base/cuda.hpp>
#include <zero/base/native_cuda.hpp>
#include <zero/collectives/one_device.hpp>
#include <zero/optim/cuda.hpp>

#include <deque>
#include <memory>
#include <string>
#include <vector>

namespace zero::testing {
namespace {

// What launches the client's pieces: every one has the same staging memory, since all are on one
// stream. `worker` must outlive it.
class staged_pieces {
 public:
  explicit staged_pieces(optim::processor& worker)
      : worker_(worker), staging_(worker.host_memory().allocate(staging_bytes)) {}
  staged_pieces(const staged_pieces&) = delete;
  staged_pieces& operator=(const staged_pieces&) = delete;
  ~staged_pieces() {
    cuda::unchecked(cudaStreamSynchronize(cuda::native(worker_.queue())));
    worker_.host_memory().deallocate(staging_, staging_bytes);
  }

  void queue(element_use use, const typed_span& elements, piece_of_work piece) {
    ASSERT_LE(elements.bytes(), staging_bytes);
    if (elements.count > 0) worker_.read(elements.data, staging_, elements.bytes());
    const typed_span here{staging_, elements.count, elements.type};
    queued_.emplace_back([here, piece = std::move(piece)] { piece(here); });
    cuda::checked(
        cudaLaunchHostFunc(
            cuda::native(worker_.queue()),
            [](void* work) { (*static_cast<std::function<void()>*>(work))(); }, &queued_.back()),
        "cudaLaunchHostFunc");
    if (use == element_use::look || elements.count == 0) return;
    worker_.write(staging_, elements.data, elements.bytes());
  }

 private:
  static constexpr std::size_t staging_bytes = 1U << 16;

  optim::processor& worker_;
  void* staging_;
  std::deque<std::function<void()>> queued_;  // where they are until the stream has passed
};

void expect_same_on_gpu(int world, const toy_run& run, const toy_result& host) {
  std::vector<std::unique_ptr<cuda_device>> devices;
  auto shared = collectives::one_device_world::create(world);
  joined_ranks ranks;
  for (int rank = 0; rank < world; ++rank) {
    devices.push_back(std::make_unique<cuda_device>(0));
    ranks.push_back(shared.join(rank, *devices.back()));
  }
  run_joined(ranks, [&](collectives::communicator& own_ranks) {
    const auto work =
        optim::make_cuda_processor(*devices[static_cast<std::size_t>(own_ranks.rank())]);
    staged_pieces pieces(*work);
    const auto launch = [&](element_use use, const typed_span& elements, piece_of_work piece) {
      pieces.queue(use, elements, std::move(piece));
    };
    expect_as_on_host(train_toy(own_ranks, *work, launch, run), host);
  });
}

void compare(int world, const toy_run& run) {
  expect_same_on_gpu(world, run, train_on_host(world, run));
}

class on_gpu : public ::testing::Test {
 protected:
  void SetUp() override {
    if (cuda_device::count() == 0) GTEST_SKIP() << "no GPU: " << cuda_device::why_none();
  }
};
class stages_on_gpu : public on_gpu, public ::testing::WithParamInterface<int> {};
INSTANTIATE_TEST_SUITE_P(all, stages_on_gpu, ::testing::Values(0, 1, 2, 3));

// Small enough for compute-sanitizer.
TEST_P(stages_on_gpu, two_steps_of_two_ranks) {
  toy_run run = base_run(GetParam(), dtype::bf16);
  run.steps = 2;
  compare(2, run);
}

TEST_P(stages_on_gpu, have_the_bits_of_the_host) {
  for (const int world : {1, 2, 3, 7}) {
    for (const dtype type : {dtype::fp32, dtype::bf16}) {
      for (const gradient_storage kept : {gradient_storage::fp32, gradient_storage::same}) {
        toy_run run = base_run(GetParam(), type);
        run.options.gradients = kept;
        SCOPED_TRACE(std::to_string(world) + " ranks, " + name_of(type));
        compare(world, run);
      }
    }
  }
}

TEST_P(stages_on_gpu, accumulate_alike) {
  for (const reduce_at when : {reduce_at::micro_batch, reduce_at::boundary}) {
    toy_run run = base_run(GetParam(), dtype::bf16);
    run.micro_batches = run.options.accumulate = 3;
    run.options.reduction = when;
    compare(3, run);
  }
}

TEST_P(stages_on_gpu, skip_a_step_that_is_not_finite_without_being_asked) {
  toy_run run = base_run(GetParam(), dtype::fp16);
  run.options.loss_scale = {64.0F, true, 2.0F, 0.5F, 2, 1, 1.0F, 1024.0F};
  run.bad_step = 1;
  const toy_result host = train_on_host(2, run);
  EXPECT_EQ(host.skipped, (std::vector<bool>{false, true, false, false}));
  expect_same_on_gpu(2, run, host);
}

TEST_P(stages_on_gpu, need_not_be_asked_what_became_of_a_step) {
  toy_run run = base_run(GetParam(), dtype::bf16);
  run.asks = false;
  run.steps = 6;
  compare(3, run);
}

TEST_P(stages_on_gpu, work_in_codes_alike) {
  for (const int node_ranks : {2, 4}) {
    toy_run run = base_run(GetParam(), dtype::bf16);
    run.options.quantized_gather = 8;
    run.options.quantized_reduce = 4;
    run.options.node_ranks = node_ranks;
    compare(4, run);
  }
}

class stage_3_on_gpu : public on_gpu {};

TEST_F(stage_3_on_gpu, has_the_same_bits_at_every_prefetch_and_addressing) {
  for (const int prefetch : {0, 1, 2, 9}) {
    for (const addressing how : {addressing::slots, addressing::stable}) {
      toy_run run = base_run(3, dtype::fp32);
      run.options.prefetch = prefetch;
      run.options.addressing = how;
      run.evaluate_between = true;
      SCOPED_TRACE(prefetch);
      compare(3, run);
    }
  }
}

TEST_F(stage_3_on_gpu, has_the_same_bits_in_groups) {
  for (const char* name : {"hybrid", "hybrid1", "hpz"}) {
    toy_run run = base_run(0, dtype::bf16);
    const toy_result host = train_on_host(4, run);
    run.options.policy = partition::policy_of_name(name, 2);
    SCOPED_TRACE(name);
    expect_same_on_gpu(4, run, host);
  }
}

}  // namespace
}  // namespace zero::testing
