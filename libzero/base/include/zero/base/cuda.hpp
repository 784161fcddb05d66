#pragma once
// cuda_device: one NVIDIA GPU of this process: its memory, its streams. Compiles without CUDA;
// where the library was built without it there are no devices.
//
// Thread-safe. Several ranks of one process may share a device; each has its own cuda_device.

#include <zero/base/error.hpp>
#include <zero/base/memory_resource.hpp>
#include <zero/base/stream.hpp>
#include <zero/base/trace.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#pragma GCC visibility push(default)
namespace zero {

// A call of the CUDA runtime or driver, of cuBLAS or NCCL failed. Of class resource where memory
// ran out, failure otherwise.
class cuda_error : public error {
 public:
  // `call`: what was called; `code` and `text`: what it returned and what the runtime says of it.
  cuda_error(const std::string& call, int code, const std::string& text,
             error_class kind = error_class::failure);
  int code;
};

class cuda_device {
 public:
  [[nodiscard]] static bool compiled() noexcept;  // whether the library was built with CUDA
  // Devices that can be used now; 0 without CUDA, without a driver or without a device.
  [[nodiscard]] static int count() noexcept;
  // Why count() is 0, in one line; empty if it is not.
  [[nodiscard]] static std::string why_none();

  // Throws cuda_error, invalid_argument for a device that is not there.
  explicit cuda_device(int ordinal);
  cuda_device(const cuda_device&) = delete;
  cuda_device& operator=(const cuda_device&) = delete;
  // After its streams, whose own end waits for everything queued on them.
  ~cuda_device();

  [[nodiscard]] int ordinal() const noexcept;
  [[nodiscard]] std::string name() const;  // "NVIDIA H200"
  [[nodiscard]] std::uint64_t total_bytes() const noexcept;
  [[nodiscard]] std::uint64_t free_bytes() const;

  // Device memory, from the virtual memory API: its blocks can be mapped a second time
  // (mappings()). allocate gives zero-filled memory and blocks; throws out_of_memory. Blocks take
  // whole granules of the device (2 MiB). deallocate, map and unmap act at once, not in the order
  // of a stream: the host must have waited for whatever used the block or the mapping, and what
  // uses a new mapping must be queued after map has returned.
  [[nodiscard]] memory_resource& memory() noexcept;
  // Pinned host memory that copies reach at full speed.
  [[nodiscard]] memory_resource& pinned_memory() noexcept;
  // Bytes of pinned_memory() that the system would not pin: copies of them are slower and block.
  [[nodiscard]] std::uint64_t unpinned_bytes() const noexcept;

  // Whether kernels of this device can use what lies there: its memory, or managed memory.
  [[nodiscard]] bool reaches(const void* memory) const;

  // A stream of its own. Completions recorded on it make streams of any device and the host wait;
  // waiting on the host has the deadline below. Must not outlive the device.
  [[nodiscard]] std::unique_ptr<stream> make_stream(lane role);
  // A stream the client made (a cudaStream_t), which must outlive what is returned.
  [[nodiscard]] std::unique_ptr<stream> borrow_stream(void* native);
  // Default 30 s; a wait of the host that takes longer throws peer_lost.
  void set_deadline(std::int64_t milliseconds) noexcept;

  struct [[gnu::visibility("hidden")]] state;  // private to the sources that know CUDA
  [[nodiscard]] state& get() noexcept { return *state_; }

 private:
  std::unique_ptr<state> state_;
};

}  // namespace zero
#pragma GCC visibility pop
