// How bytes go: chunk by chunk through buffers of the wire's own, so that no memory of the caller
// is ever in the transport's hands, and sums by rank of the world.
#include "sum.hpp"
#include "transport/cargo.hpp"

#include <cfenv>
#include <cstring>

namespace zero::collectives {
namespace {

// Sums round to nearest and keep denormals, whatever the client's thread was set to.
class plain_arithmetic {
 public:
  plain_arithmetic() noexcept {
    std::fegetenv(&before_);
    std::fesetenv(FE_DFL_ENV);
  }
  plain_arithmetic(const plain_arithmetic&) = delete;
  plain_arithmetic& operator=(const plain_arithmetic&) = delete;
  ~plain_arithmetic() { std::fesetenv(&before_); }

 private:
  std::fenv_t before_{};
};

void put(std::byte* to, const std::byte* from, std::uint64_t bytes) noexcept {
  if (bytes > 0) std::memmove(to, from, bytes);
}

}  // namespace

// Each rank has a piece for each; without cargo of its own it only makes the calls.
void wire::exchange(const cargo* own, std::uint64_t bytes) {
  for (std::uint64_t at = 0; at < bytes; at += chunk_) {
    const std::uint64_t length = std::min(chunk_, bytes - at);
    const bool carries = own != nullptr && volume_of(own->op, own->size).exchanged > 0;
    for (int r = 0; carries && r < own->size; ++r) {
      put(outgoing_.get() + own->world_rank(r) * length, own->own.in + own->begin(r) + at,
          own->clip(r, at, length));
    }
    through([&] { means_->all_to_all(outgoing_.get(), incoming_.get(), length); });
    if (carries) take_exchanged(*own, at, length);
  }
}

void wire::take_exchanged(const cargo& own, std::uint64_t at, std::uint64_t length) {
  const std::uint64_t mine = own.clip(own.seat.rank, at, length);
  if (mine == 0) return;
  if (own.op.kind == operation_kind::all_to_all) {
    for (int r = 0; r < own.size; ++r) {
      put(own.own.out + own.begin(r) + at, incoming_.get() + own.world_rank(r) * length, mine);
    }
    return;
  }
  std::size_t sources = 0;
  for (const int r : own.seat.ascending) {
    from_[sources++] = incoming_.get() + own.world_rank(r) * length;
  }
  std::byte* const kept = own.is_sliced() ? own.own.out + own.begin(own.seat.rank) : own.own.out;
  const plain_arithmetic during;
  sum(from_.data(), sources, own.op.in, kept + at / own.width * size_of(own.op.out), own.op.out,
      mine / own.width, own.op.mode);
}

// Each rank, or the root alone, has the same for all.
void wire::spread(const cargo* own, std::uint64_t bytes, bool is_of_all) {
  const bool carries = own != nullptr && volume_of(own->op, own->size).spread > 0;
  const bool has_root = carries && own->op.kind == operation_kind::broadcast;
  const int root = has_root ? own->op.root : -1;
  for (std::uint64_t at = 0; at < bytes; at += chunk_) {
    const std::uint64_t length = std::min(chunk_, bytes - at);
    if (carries && (!has_root || root == own->seat.rank)) {
      const std::byte* const whole =
          own->is_sliced() ? own->own.out + own->begin(own->seat.rank) : own->own.in;
      const std::uint64_t mine = own->clip(own->seat.rank, at, length);
      for (int r = 0; r < (is_of_all ? 1 : own->size); ++r) {
        const std::size_t place = is_of_all ? 0 : own->world_rank(r);
        put(outgoing_.get() + place * length, whole + at, mine);
      }
    }
    const bool is_broadcast = is_of_all && has_root && means_->has_broadcast();
    through([&] {
      if (is_broadcast) {
        means_->broadcast(outgoing_.get(), length, root);
      } else if (is_of_all) {
        means_->all_gather(outgoing_.get(), incoming_.get(), length);
      } else {
        means_->all_to_all(outgoing_.get(), incoming_.get(), length);
      }
    });
    for (int r = 0; carries && r < own->size; ++r) {
      if (has_root && (r != root || root == own->seat.rank)) continue;
      const std::byte* const came =
          is_broadcast ? outgoing_.get() : incoming_.get() + own->world_rank(r) * length;
      put(own->own.out + (has_root ? 0 : own->begin(r)) + at, came, own->clip(r, at, length));
    }
  }
}

}  // namespace zero::collectives
