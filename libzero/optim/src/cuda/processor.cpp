// The processor of a GPU: checks what the host's checks, then queues copies and kernels.
#include "elementwise_check.hpp"
#include "kernels.hpp"
#include "packed_check.hpp"
#include "quantize_check.hpp"
#include "update_scalars.hpp"

#include <zero/base/cuda_copier.hpp>
#include <zero/base/error.hpp>
#include <zero/optim/cuda.hpp>

#include <string>

namespace zero::optim {
namespace {

void require(bool holds, const char* what) {
  if (!holds) throw invalid_argument(std::string("[optim.processor] ") + what);
}

unsigned blocks_at_once_of(int ordinal) {
  constexpr int a_multiprocessor = 4;  // as the kernels' launch bounds promise
  int multiprocessors = 0;
  cuda::checked(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, ordinal),
                "cudaDeviceGetAttribute");
  return static_cast<unsigned>(multiprocessors * a_multiprocessor);
}

class gpu_processor final : public processor {
 public:
  gpu_processor(cuda_device& device, void* native)
      : device_(device),
        stream_(native == nullptr ? device.make_stream(lane::compute)
                                  : device.borrow_stream(native)),
        queue_{cuda::native(*stream_), blocks_at_once_of(device.ordinal())},
        scratch_(static_cast<double*>(device.memory().allocate(scratch_bytes()))) {}
  ~gpu_processor() override {
    stream_.reset();  // waits for what may still use the scratch
    device_.memory().deallocate(scratch_, scratch_bytes());
  }

  [[nodiscard]] stream& queue() noexcept override { return *stream_; }
  [[nodiscard]] memory_place place() const noexcept override { return memory_place::device; }
  [[nodiscard]] memory_resource& host_memory() noexcept override { return device_.pinned_memory(); }

  [[nodiscard]] std::unique_ptr<copier> make_copier() override {
    return std::make_unique<cuda::cuda_copier>(device_);
  }
  [[nodiscard]] std::string pin(void* memory, std::size_t bytes) override {
    if (bytes == 0) return {};
    const cuda::current_device here(device_.ordinal());
    // Portable: every device of the process copies it at full speed.
    const cudaError_t state = cudaHostRegister(memory, bytes, cudaHostRegisterPortable);
    cuda::unchecked(state);
    if (state == cudaSuccess) return {};
    return "cudaHostRegister of " + std::to_string(bytes) + " bytes: " + cudaGetErrorString(state);
  }
  void unpin(void* memory, std::size_t bytes) noexcept override {
    if (bytes > 0) cuda::unchecked(cudaHostUnregister(memory));
  }

  void clear(typed_span out) override {
    if (out.count == 0) return;
    const cuda::current_device here(device_.ordinal());
    cuda::checked(cudaMemsetAsync(out.data, 0, out.bytes(), queue_.stream), "cudaMemsetAsync");
  }
  void copy(const_typed_span in, typed_span out) override {
    require(in.type == out.type && in.count == out.count, "copy between spans that differ");
    move(in.data, out.data, in.bytes(), cudaMemcpyDeviceToDevice);
  }
  void write(const void* host, void* here, std::size_t bytes) override {
    move(host, here, bytes, cudaMemcpyHostToDevice);
  }
  void read(const void* here, void* host, std::size_t bytes) override {
    move(here, host, bytes, cudaMemcpyDeviceToHost);
  }

  void convert(const_typed_span in, typed_span out) override {
    detail::check_pair(in, out);
    if (in.type == out.type) return copy(in, out);
    if (in.count == 0) return;
    const cuda::current_device here(device_.ordinal());
    kernels::convert(queue_, in, out);
  }
  void accumulate(const_typed_span in, typed_span out) override {
    detail::check_pair(in, out);
    if (in.count == 0) return;
    const cuda::current_device here(device_.ordinal());
    kernels::accumulate(queue_, in, out);
  }
  void adopt(const_typed_span in, float* master) override {
    detail::check_values(in);
    if (in.count == 0) return;
    const cuda::current_device here(device_.ordinal());
    kernels::adopt(queue_, in, master);
  }
  void add_squares(const_typed_span values, double* sum) override {
    require(sum != nullptr, "add_squares without a sum");
    detail::check_values(values);
    require(values.count <= kernels::most_squares(), "add_squares of more than 2^42 elements");
    if (values.count == 0) return;
    const cuda::current_device here(device_.ordinal());
    kernels::add_squares(queue_, values, scratch_, sum);
  }
  void add_in_order(const double* values, std::size_t count, double* sum) override {
    require(sum != nullptr && (values != nullptr || count == 0), "add_in_order without a place");
    if (count == 0) return;
    const cuda::current_device here(device_.ordinal());
    kernels::add_in_order(queue_, values, count, sum);
  }

  void quantize(const_typed_span in, int bits, std::byte* out) override {
    detail::check_bits(bits);
    detail::check_elements(in);
    detail::check_run(out);
    if (in.count == 0) return;
    const cuda::current_device here(device_.ordinal());
    kernels::quantize(queue_, in, bits, out);
  }
  void dequantize(const std::byte* in, int terms, int bits, typed_span out,
                  store_mode mode) override {
    detail::check_bits(bits);
    detail::check_elements(out);
    detail::check_run(in);
    detail::check_terms(terms);
    if (out.count == 0) return;
    const cuda::current_device here(device_.ordinal());
    kernels::dequantize(queue_, in, terms, bits, out, mode);
  }
  void requantize(const std::byte* in, int terms, std::uint64_t count, int bits,
                  std::byte* out) override {
    detail::check_bits(bits);
    detail::check_run(in);
    detail::check_run(out);
    detail::check_terms(terms);
    if (count == 0) return;
    const cuda::current_device here(device_.ordinal());
    kernels::requantize(queue_, in, terms, count, bits, out);
  }

  void set(const step_vote& vote, step_vote* out) override {
    require(out != nullptr, "set without a place");
    const cuda::current_device here(device_.ordinal());
    kernels::set(queue_, vote, out);
  }
  void decide(const step_vote* votes, std::size_t count, const decision_rule& rule,
              step_decision* decision) override {
    require(votes != nullptr && count > 0 && decision != nullptr, "decide without votes");
    const cuda::current_device here(device_.ordinal());
    kernels::decide(queue_, votes, count, rule, decision);
  }
  void scale(typed_span values, const step_decision* decision) override {
    require(decision != nullptr, "scale without a decision");
    detail::check_values(values);
    if (values.count == 0) return;
    const cuda::current_device here(device_.ordinal());
    kernels::scale(queue_, values, decision);
  }
  void update(algorithm a, const hyper& constants, const step_decision* decision,
              const update_spans& spans) override {
    require(decision != nullptr, "update without a decision");
    detail::check(a, {}, spans);
    if (spans.count == 0) return;
    const cuda::current_device here(device_.ordinal());
    kernels::update(queue_, a, constants, decision, spans);
  }

  void update_packed(algorithm a, span<const update_run> runs, const step_decision* decision,
                     const packed_spans& spans) override {
    require(decision != nullptr, "update_packed without a decision");
    detail::check_packed(a, runs, 1, spans);
    if (spans.count == 0) return;
    const cuda::current_device here(device_.ordinal());
    kernels::update_packed(queue_, a, runs, decision, spans);
  }
  void pack_master(const_typed_span values, const packed_spans& spans) override {
    detail::check_weights(values, spans);
    if (spans.count == 0) return;
    const cuda::current_device here(device_.ordinal());
    if (spans.formats.master == master_format::remainder) {
      return kernels::split(queue_, values, spans);
    }
    if (spans.formats.master == master_format::fp32) {
      copy(values, {spans.master, spans.count, dtype::fp32});
      if (spans.parameter.data == nullptr) return;
    }
    kernels::convert(queue_, values, spans.parameter);
  }
  void unpack_master(const packed_spans& spans, typed_span values) override {
    detail::check_weights(values, spans);
    if (spans.count == 0) return;
    const cuda::current_device here(device_.ordinal());
    switch (spans.formats.master) {
      case master_format::fp32:
        return copy(typed_span{spans.master, spans.count, dtype::fp32}, values);
      case master_format::remainder:
        return kernels::join(queue_, spans, values);
      case master_format::none:
        return kernels::convert(queue_, spans.parameter, values);
    }
  }

 private:
  static std::size_t scratch_bytes() noexcept {
    return kernels::scratch_of_squares() * sizeof(double);
  }
  void move(const void* from, void* to, std::size_t bytes, cudaMemcpyKind kind) {
    if (bytes == 0 || from == to) return;
    const cuda::current_device here(device_.ordinal());
    cuda::checked(cudaMemcpyAsync(to, from, bytes, kind, queue_.stream), "cudaMemcpyAsync");
  }

  cuda_device& device_;
  std::unique_ptr<stream> stream_;
  kernels::queue_of queue_;
  double* scratch_;
};

}  // namespace

std::unique_ptr<processor> make_cuda_processor(cuda_device& device, void* native) {
  return std::make_unique<gpu_processor>(device, native);
}

}  // namespace zero::optim
