#include "trainer/cuda/stream_store.hpp"

#include <zero/base/native_cuda.hpp>

#include <utility>

namespace zero::trainer::cuda {

using zero::cuda::checked;
using zero::cuda::native;

stream_store::stream_store(cuda_device& device, stream& queue, std::vector<void*> places, int count,
                           std::size_t bytes)
    : device_(device),
      queue_(queue),
      places_(std::move(places)),
      count_(count),
      bytes_(bytes),
      moved_(places_.size()) {
  if (!moves()) return;
  out_ = device.make_stream(lane::copy_out);
  in_ = device.make_stream(lane::copy_in);
  host_ = static_cast<std::uint8_t*>(device.pinned_memory().allocate(host_bytes()));
}

stream_store::~stream_store() {
  out_.reset();  // waits for what still reads or writes host memory
  in_.reset();
  if (host_ != nullptr) device_.pinned_memory().deallocate(host_, host_bytes());
}

std::size_t stream_store::host_bytes() const noexcept {
  return moves() ? (static_cast<std::size_t>(count_) - places_.size()) * bytes_ : 0;
}

void* stream_store::to_write(int i) {
  if (moves()) queue_.wait(moved_[place_of(i)]);
  return places_[place_of(i)];
}

void* stream_store::to_read(int i) { return to_write(i); }

void stream_store::leave(int i) {
  if (!moves() || stays(i) || used_ == 0) return;
  out_->wait(queue_.record());
  checked(cudaMemcpyAsync(host_of(i), places_[place_of(i)], used_, cudaMemcpyDeviceToHost,
                          native(*out_)),
          "cudaMemcpyAsync");
  moved_[place_of(i)] = out_->record();
}

void stream_store::drop(int i) {
  const int next = i - static_cast<int>(places_.size());  // takes the place over
  if (!moves() || next < 0 || used_ == 0) return;
  // After its way out, which the compute lane has waited for before the place was written again.
  in_->wait(queue_.record());
  checked(cudaMemcpyAsync(places_[place_of(next)], host_of(next), used_, cudaMemcpyHostToDevice,
                          native(*in_)),
          "cudaMemcpyAsync");
  moved_[place_of(next)] = in_->record();
}

}  // namespace zero::trainer::cuda
