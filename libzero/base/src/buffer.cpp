#include <zero/base/buffer.hpp>

#include <utility>

namespace zero {

buffer::buffer(memory_resource& resource, memory_statistics& statistics, memory_account account,
               std::size_t payload, std::size_t padding)
    : resource_(&resource),
      statistics_(&statistics),
      account_(account),
      payload_(payload),
      padding_(padding) {
  if (size() == 0) return;
  data_ = resource.allocate(size());
  if (payload_ > 0) statistics.add(account, payload_);
  if (padding_ > 0) statistics.add(memory_account::buffers, padding_);
}

buffer::buffer(buffer&& other) noexcept
    : resource_(other.resource_),
      statistics_(other.statistics_),
      account_(other.account_),
      data_(std::exchange(other.data_, nullptr)),
      payload_(std::exchange(other.payload_, 0)),
      padding_(std::exchange(other.padding_, 0)) {}

buffer& buffer::operator=(buffer&& other) noexcept {
  if (this != &other) {
    reset();
    resource_ = other.resource_;
    statistics_ = other.statistics_;
    account_ = other.account_;
    data_ = std::exchange(other.data_, nullptr);
    payload_ = std::exchange(other.payload_, 0);
    padding_ = std::exchange(other.padding_, 0);
  }
  return *this;
}

buffer::~buffer() { reset(); }

void buffer::reset() noexcept {
  if (data_ == nullptr) return;
  resource_->deallocate(data_, size());
  if (payload_ > 0) statistics_->subtract(account_, payload_);
  if (padding_ > 0) statistics_->subtract(memory_account::buffers, padding_);
  data_ = nullptr;
}

}  // namespace zero
