// all_gather and its kin: a piece crosses to each other host once and is copied there by everyone.
//
// A round of a rank takes one half of its staging area: in front its own part, behind it what it
// carries for its host. All ranks meet when a round's messages have come; by the meeting of round
// t everyone has finished with round t - 1, whose half is then filled again.
#include "mpi/two_level_job.hpp"

namespace zero::collectives {
namespace {

constexpr std::uint64_t half_bytes = staging_bytes / 2;

}  // namespace

bool two_level::spread(job j) {
  cut(j, half_bytes / (most_carried_ * j.width));
  if (j.rounds > 0) {
    spread_receive(j, 0);
    spread_begin(j, 0);
  }
  for (std::uint64_t t = 0; t < j.rounds; ++t) {
    if (!spread_arrived(j, t) || !meet(j)) return false;
    if (t + 1 < j.rounds) {
      spread_receive(j, t + 1);
      for (std::size_t i = 0; i < slots_; ++i) {
        if (!settle(sends_[(t + 1) % 2 * slots_ + i])) return false;
      }
      spread_begin(j, t + 1);
    }
    spread_take(j, t);
  }
  return settle_sends();
}

// Puts this rank's part where peers and MPI read it, and sends it.
void two_level::spread_begin(const job& j, std::uint64_t t) {
  const bool one_source = j.op.kind == operation_kind::broadcast;
  if (one_source && me_ != j.op.root) return;
  const std::uint64_t bytes = j.count(me_, t) * j.width;
  if (bytes == 0) return;
  const std::byte* from = j.own.in + t * j.part * j.width;
  if (j.op.kind == operation_kind::all_reduce) from = j.sum_at(me_, t);
  std::byte* const part = here_.staging(here_.rank()) + t % 2 * half_bytes;
  copy_bytes(part, from, bytes);
  for (int place = 0; place < layout_.hosts(); ++place) {
    if (place == place_) continue;
    send(part, bytes, layout_.carrier(place, me_),
         sends_[t % 2 * slots_ + static_cast<std::size_t>(place)]);
  }
}

// What this rank carries follows its own part, which is the first of what it carries in no certain
// place: slot 0 is its own, the others keep their order.
void two_level::spread_receive(const job& j, std::uint64_t t) {
  std::byte* const half = here_.staging(here_.rank()) + t % 2 * half_bytes;
  std::size_t slot = 0;
  for (const int piece : carried_) {
    if (piece == me_) continue;
    ++slot;
    if (j.op.kind == operation_kind::broadcast && piece != j.op.root) continue;
    const std::uint64_t bytes = j.count(piece, t) * j.width;
    if (bytes == 0) continue;
    wire_.receive(half + slot * j.part * j.width, bytes, piece, receives_[t % 2 * slots_ + slot]);
  }
}

bool two_level::spread_arrived(const job&, std::uint64_t t) {
  for (std::size_t i = 0; i < slots_; ++i) {
    if (!settle(receives_[t % 2 * slots_ + i])) return false;
  }
  return true;
}

void two_level::spread_take(const job& j, std::uint64_t t) const {
  for (int piece = 0; piece < j.size; ++piece) {
    const bool own = piece == me_;
    if (j.op.kind == operation_kind::broadcast && (piece != j.op.root || own)) continue;
    if (own && j.op.kind == operation_kind::all_reduce) continue;
    const std::uint64_t bytes = j.count(piece, t) * j.width;
    const std::uint64_t first = j.op.kind == operation_kind::broadcast ? 0 : j.begin(piece);
    std::byte* const to = j.own.out + (first + t * j.part) * j.width;
    if (own) {
      copy_bytes(to, j.own.in + t * j.part * j.width, bytes);
      continue;
    }
    const auto at = static_cast<std::size_t>(piece);
    const int index = carrier_index_[at];
    const int carrier = layout_.members(place_)[static_cast<std::size_t>(index)];
    // Its own piece is in front; those with smaller numbers move up by one.
    const std::uint64_t slot = piece == carrier  ? 0
                               : piece < carrier ? carrier_slot_[at] + 1
                                                 : carrier_slot_[at];
    copy_bytes(to, here_.staging(index) + t % 2 * half_bytes + slot * j.part * j.width, bytes);
  }
}

}  // namespace zero::collectives
