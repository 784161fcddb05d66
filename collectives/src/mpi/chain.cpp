// Sums that go from host to host: each adds its ranks in order to what came, in fp32, and sends it
// on; the last rounds, or hands it to the rank that keeps it.
//
// What peers here cannot read goes through half of the staging area a round; by the meeting of
// round t everyone has finished with round t - 2.
#include "mpi/two_level_job.hpp"
#include "sum.hpp"

namespace zero::collectives {
namespace {

constexpr std::uint64_t half_bytes = staging_bytes / 2;

}  // namespace

bool two_level::chain(job j) {
  const auto ranks = static_cast<std::uint64_t>(j.size);
  cut(j, std::min(round_bytes / ((most_carried_ + 1) * 4), half_bytes / (ranks * j.width)));
  const bool waits = place_ != layout_.hosts() - 1;
  const bool staged = is_staged(j);
  for (std::uint64_t t = 0; t < std::min(lag, j.rounds); ++t) chain_receive(j, t);
  for (std::uint64_t t = 0; t < j.rounds + lag && j.rounds > 0; ++t) {
    if (t < j.rounds && staged) {
      std::byte* const area = here_.staging(here_.rank()) + t % 2 * half_bytes;
      for (int r = 0; r < j.size && j.op.source == nowhere; ++r) {
        copy_bytes(area + static_cast<std::uint64_t>(r) * j.part * j.width,
                   j.own.in + (j.begin(r) + t * j.part) * j.width, j.count(r, t) * j.width);
      }
      if (!meet(j)) return false;
    }
    for (std::size_t i = 0; t < j.rounds && i < carried_.size(); ++i) {
      if (!chain_pass(j, t, carried_[i], i)) return false;
    }
    if (t >= lag && waits && !chain_take(j, t - lag)) return false;
    if (t + lag < j.rounds) chain_receive(j, t + lag);
  }
  return settle_sends();
}

// From the host before what this rank carries, into slots 0, 1, ...; from the last host, into the
// slot behind them, the sum this rank keeps.
void two_level::chain_receive(const job& j, std::uint64_t t) {
  std::byte* const to = incoming_.get() + t % window * round_bytes;
  MPI_Request* const requests = &receives_[t % window * slots_];
  for (std::size_t i = 0; i < carried_.size() && place_ > 0; ++i) {
    const std::uint64_t count = j.count(carried_[i], t);
    if (count == 0) continue;
    wire_.receive(to + i * j.part * 4, count * 4, layout_.carrier(place_ - 1, carried_[i]),
                  requests[i]);
  }
  const std::uint64_t kept = j.count(me_, t) * delivered_width(j.what);
  const int last = layout_.hosts() - 1;
  if (place_ == last || kept == 0) return;
  wire_.receive(to + carried_.size() * j.part * 4, kept, layout_.carrier(last, me_),
                requests[carried_.size()]);
}

// This host's share of the sum of `piece`.
bool two_level::chain_pass(const job& j, std::uint64_t t, int piece, std::size_t slot) {
  const std::uint64_t count = j.count(piece, t);
  if (count == 0) return true;
  const std::uint64_t at = t % window * round_bytes + slot * j.part * 4;
  const float* start = nullptr;
  if (place_ > 0) {
    if (!settle(receives_[t % window * slots_ + slot])) return false;
    start = reinterpret_cast<const float*>(incoming_.get() + at);
  }
  const std::uint64_t staged_at =
      t % 2 * half_bytes + static_cast<std::uint64_t>(piece) * j.part * j.width;
  const auto ranks = here_in_world_order_.size();
  for (std::size_t i = 0; i < ranks; ++i) {
    from_[i] = piece_here(j, here_in_world_order_[i], piece, t, staged_at);
  }
  const int last = layout_.hosts() - 1;
  if (place_ == last && piece == me_) {
    sum(from_.data(), ranks, j.op.in, j.sum_at(me_, t), j.op.out, count, j.op.mode, start);
    return true;
  }
  MPI_Request& request = sends_[t % window * slots_ + slot];
  if (!settle(request)) return false;
  const bool rounds = place_ == last && delivered_width(j.what) != 4;
  std::byte* const out = outgoing_.get() + at;
  sum(from_.data(), ranks, j.op.in, out, rounds ? j.op.out : dtype::fp32, count,
      write_mode::overwrite, start);
  const int next = place_ == last ? piece : layout_.carrier(place_ + 1, piece);
  send(out, count * (rounds ? delivered_width(j.what) : 4), next, request);
  return true;
}

// The sum that the last host made for this rank.
bool two_level::chain_take(const job& j, std::uint64_t t) {
  const std::uint64_t count = j.count(me_, t);
  if (count == 0) return true;
  if (!settle(receives_[t % window * slots_ + carried_.size()])) return false;
  const std::byte* const came =
      incoming_.get() + t % window * round_bytes + carried_.size() * j.part * 4;
  std::byte* const out = j.sum_at(me_, t);
  if (j.op.mode == write_mode::overwrite) {
    copy_bytes(out, came, count * size_of(j.op.out));
    return true;
  }
  const void* const kept = out;  // added last, as everywhere
  sum(&kept, 1, j.op.out, out, j.op.out, count, write_mode::overwrite,
      reinterpret_cast<const float*>(came));
  return true;
}

}  // namespace zero::collectives
