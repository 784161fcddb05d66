#pragma once
// processor: where flat spans are worked on. The same operations, in the same order and with the
// same bits, on the host and on every device; each is queued on the processor's stream, and on the
// host done when the call returns.
//
// One thread at a time may use a processor. Spans must lie in memory of its place() (write and
// read: one side in host memory) and stay until the stream has passed. Arguments, runs included,
// are looked at when a call is made and throw invalid_argument; nothing is allocated after
// construction.

#include <zero/base/copier.hpp>
#include <zero/base/memory_resource.hpp>
#include <zero/base/stream.hpp>
#include <zero/base/typed_span.hpp>
#include <zero/optim/decision.hpp>
#include <zero/optim/packed.hpp>
#include <zero/optim/quantize.hpp>
#include <zero/optim/update.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#pragma GCC visibility push(default)
namespace zero::optim {

class processor {
 public:
  processor() = default;
  processor(const processor&) = delete;
  processor& operator=(const processor&) = delete;
  virtual ~processor() = default;

  // The compute lane: clients queue their own kernels here, or order their streams with it.
  [[nodiscard]] virtual stream& queue() noexcept = 0;
  [[nodiscard]] virtual memory_place place() const noexcept = 0;
  // Host memory that copies reach at full speed: pinned where there is such a thing. Its blocks
  // are not accounted by the processor.
  [[nodiscard]] virtual memory_resource& host_memory() noexcept = 0;
  // Copies between host memory and memory of place(), on lanes of their own.
  [[nodiscard]] virtual std::unique_ptr<copier> make_copier() = 0;
  // Makes host memory that is there already reachable at full speed, until unpin; "" or why it is
  // not: then it stays pageable, and copies are slower. On the host there is nothing to do.
  [[nodiscard]] virtual std::string pin(void* memory, std::size_t bytes) = 0;
  virtual void unpin(void* memory, std::size_t bytes) noexcept = 0;

  // ---- bytes ----
  virtual void clear(typed_span out) = 0;  // all bytes 0
  // out = in, of the same dtype and count; they do not overlap.
  virtual void copy(const_typed_span in, typed_span out) = 0;
  // Host to here and back. The host memory must stay as it is until the stream has passed; from
  // memory that is not host_memory() the call may block meanwhile.
  virtual void write(const void* host, void* here, std::size_t bytes) = 0;
  virtual void read(const void* here, void* host, std::size_t bytes) = 0;

  // ---- elements: as in elementwise.hpp ----
  virtual void convert(const_typed_span in, typed_span out) = 0;
  virtual void accumulate(const_typed_span in, typed_span out) = 0;
  virtual void adopt(const_typed_span in, float* master) = 0;
  // *sum = *sum + sum_of_squares(values), the sum in the order elementwise.hpp fixes.
  virtual void add_squares(const_typed_span values, double* sum) = 0;
  // *sum = *sum + values[0], then + values[1] and so on.
  virtual void add_in_order(const double* values, std::size_t count, double* sum) = 0;

  // ---- codes: as in quantize.hpp ----
  virtual void quantize(const_typed_span in, int bits, std::byte* out) = 0;
  virtual void dequantize(const std::byte* in, int terms, int bits, typed_span out,
                          store_mode mode) = 0;
  virtual void requantize(const std::byte* in, int terms, std::uint64_t count, int bits,
                          std::byte* out) = 0;

  // ---- a step: as in decision.hpp and update.hpp ----
  // `votes` and `decision` lie here. set: *out = vote.
  virtual void set(const step_vote& vote, step_vote* out) = 0;
  virtual void decide(const step_vote* votes, std::size_t count, const decision_rule& rule,
                      step_decision* decision) = 0;
  // As scale() of elementwise.hpp with the gradient scale of `decision`; writes nothing where that
  // is 1 or not to be applied.
  virtual void scale(typed_span values, const step_decision* decision) = 0;
  // Takes step and gradient scale from `decision`; writes nothing where that is not to be applied.
  virtual void update(algorithm a, const hyper& constants, const step_decision* decision,
                      const update_spans& spans) = 0;

  // ---- other formats: as in packed.hpp ----
  virtual void update_packed(algorithm a, span<const update_run> runs,
                             const step_decision* decision, const packed_spans& spans) = 0;
  virtual void pack_master(const_typed_span values, const packed_spans& spans) = 0;
  virtual void unpack_master(const packed_spans& spans, typed_span values) = 0;
};

// This thread's own arithmetic (elementwise.hpp, update.hpp), in the memory of any host resource.
[[nodiscard]] std::unique_ptr<processor> make_host_processor();

}  // namespace zero::optim
#pragma GCC visibility pop
