#pragma once
// completion: the only thing that crosses lanes. It stands for work that was queued, can be waited
// for, and carries the error of what it completes.
//
// A value: copying it copies a ticket, nothing is allocated. Its source must outlive it.

#include <cstdint>

#pragma GCC visibility push(default)
namespace zero {

class stream;

// What hands completions out. Tickets grow by one per piece of work and complete in order.
class completion_source {
 public:
  // Blocks until the work of `ticket` is done, at most for the source's own deadline. Throws what
  // the work, or work queued before it, failed with; peer_lost when the deadline passes.
  virtual void wait(std::uint64_t ticket) = 0;
  // Whether wait would return without blocking. Does not block and does not throw.
  [[nodiscard]] virtual bool ready(std::uint64_t ticket) const noexcept = 0;
  // Makes what is queued on `later` from now on run after the work of `ticket`. A source whose
  // device can do that by itself overrides this and does not block until the work is done; other
  // sources wait. Throws as wait does.
  virtual void order(std::uint64_t ticket, stream& later) {
    static_cast<void>(later);
    wait(ticket);
  }

 protected:
  completion_source() = default;
  completion_source(const completion_source&) = default;
  completion_source& operator=(const completion_source&) = default;
  ~completion_source() = default;
};

class completion {
 public:
  // Of work that is already done.
  completion() noexcept = default;
  completion(completion_source& source, std::uint64_t ticket) noexcept
      : source_(&source), ticket_(ticket) {}

  // Blocks until done; throws what the work threw. May be called any number of times.
  void wait() const {
    if (source_ != nullptr) source_->wait(ticket_);
  }
  // For stream::wait, which is what clients call.
  void order(stream& later) const {
    if (source_ != nullptr) source_->order(ticket_, later);
  }
  [[nodiscard]] bool ready() const noexcept {
    return source_ == nullptr || source_->ready(ticket_);
  }

 private:
  completion_source* source_ = nullptr;
  std::uint64_t ticket_ = 0;
};

}  // namespace zero
#pragma GCC visibility pop
