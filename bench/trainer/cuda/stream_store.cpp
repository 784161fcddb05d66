#include "trainer/cuda/stream_store.hpp"

#include <utility>

namespace zero::trainer::cuda {

stream_store::stream_store(stream& queue, copy_lanes lanes, std::vector<void*> places, int count,
                           std::size_t bytes)
    : queue_(queue),
      lanes_(std::move(lanes)),
      places_(std::move(places)),
      count_(count),
      bytes_(bytes),
      moved_(places_.size()) {
  if (moves()) host_ = static_cast<std::uint8_t*>(lanes_.host->allocate(host_bytes()));
}

stream_store::~stream_store() {
  lanes_.out.reset();  // waits for what still reads or writes host memory
  lanes_.in.reset();
  if (host_ != nullptr) lanes_.host->deallocate(host_, host_bytes());
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
  lanes_.out->wait(queue_.record());
  lanes_.copy(host_of(i), places_[place_of(i)], used_, *lanes_.out);
  moved_[place_of(i)] = lanes_.out->record();
}

void stream_store::drop(int i) {
  const int next = i - static_cast<int>(places_.size());  // takes the place over
  if (!moves() || next < 0 || used_ == 0) return;
  // After its way out, which the compute lane has waited for before the place was written again.
  lanes_.in->wait(queue_.record());
  lanes_.copy(places_[place_of(next)], host_of(next), used_, *lanes_.in);
  moved_[place_of(next)] = lanes_.in->record();
}

}  // namespace zero::trainer::cuda
