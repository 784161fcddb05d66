#pragma once
// The kernels of the processor of a GPU, each as a function that queues it. Arguments have been
// checked, counts are not 0, the stream's device is current. Throws cuda_error.

#include <zero/base/native_cuda.hpp>
#include <zero/optim/processor.hpp>

#include <cstddef>

namespace zero::optim::kernels {

// A stream, and how many thread blocks its device runs at once when each thread holds much.
struct queue_of {
  cudaStream_t stream;
  unsigned blocks_at_once;
};

void update(const queue_of& queue, algorithm a, const hyper& constants,
            const step_decision* decision, const update_spans& spans);

void convert(const queue_of& queue, const_typed_span in, typed_span out);
void accumulate(const queue_of& queue, const_typed_span in, typed_span out);
void scale(const queue_of& queue, typed_span values, const step_decision* decision);
void adopt(const queue_of& queue, const_typed_span in, float* master);

// Doubles that add_squares needs in device memory between its kernels.
[[nodiscard]] std::size_t scratch_of_squares() noexcept;
// Elements it can take at once.
[[nodiscard]] std::size_t most_squares() noexcept;
void add_squares(const queue_of& queue, const_typed_span values, double* scratch, double* sum);

// *sum = *sum + values[0], then + values[1] and so on.
void add_in_order(const queue_of& queue, const double* values, std::size_t count, double* sum);

// As processor::update_packed. The runs are looked at now.
void update_packed(const queue_of& queue, algorithm a, span<const update_run> runs,
                   const step_decision* decision, const packed_spans& spans);
// fp32 values to parameters and remainders, and back.
void split(const queue_of& queue, const_typed_span values, const packed_spans& spans);
void join(const queue_of& queue, const packed_spans& spans, typed_span values);

void quantize(const queue_of& queue, const_typed_span in, int bits, std::byte* out);
void dequantize(const queue_of& queue, const std::byte* in, int terms, int bits, typed_span out,
                store_mode mode);
void requantize(const queue_of& queue, const std::byte* in, int terms, std::uint64_t count,
                int bits, std::byte* out);

void set(const queue_of& queue, const step_vote& vote, step_vote* out);
void decide(const queue_of& queue, const step_vote* votes, std::size_t count,
            const decision_rule& rule, step_decision* decision);

}  // namespace zero::optim::kernels
