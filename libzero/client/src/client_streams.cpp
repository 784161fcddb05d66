#include "client_streams.hpp"

namespace zero::client {

stream& client_streams::of(void* native) {
  std::unique_ptr<stream>& found = borrowed_[native == nullptr ? usual_ : native];
  if (!found) found = device_->borrow(native == nullptr ? usual_ : native);
  return *found;
}

void client_streams::arrive(void* native) {
  if (device_ != nullptr) device_->work().queue().wait(of(native).record());
}

void client_streams::depart(void* native) {
  if (device_ != nullptr) of(native).wait(device_->work().queue().record());
}

}  // namespace zero::client
