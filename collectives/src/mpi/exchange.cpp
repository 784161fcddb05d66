// all_to_all, and sums that are sent as they are: every rank sends each rank elsewhere its piece.
// The rank that keeps a sum adds what came and what its peers here have, by rank of the world.
//
// What peers here cannot read goes through a quarter of the staging area a round; by the meeting
// of round t everyone has finished with round t - 4.
#include "mpi/two_level_job.hpp"
#include "sum.hpp"

namespace zero::collectives {
namespace {

constexpr std::uint64_t quarter_bytes = staging_bytes / window;

}  // namespace

bool two_level::exchange(job j) {
  const auto away = static_cast<std::uint64_t>(layout_.size() - layout_.fewest_members());
  const auto here = static_cast<std::uint64_t>(layout_.most_members());
  cut(j, std::min(round_bytes / (away * j.width), quarter_bytes / (here * j.width)));
  for (std::uint64_t t = 0; t < std::min(lag, j.rounds); ++t) exchange_receive(j, t);
  for (std::uint64_t t = 0; t < j.rounds + lag && j.rounds > 0; ++t) {
    if (t < j.rounds && !exchange_send(j, t)) return false;
    if (t >= lag && !exchange_take(j, t - lag)) return false;
    if (t + lag < j.rounds) exchange_receive(j, t + lag);
  }
  return settle_sends();
}

void two_level::exchange_receive(const job& j, std::uint64_t t) {
  const std::uint64_t bytes = j.count(me_, t) * j.width;
  if (bytes == 0) return;
  std::byte* const to = incoming_.get() + t % window * round_bytes;
  for (std::size_t i = 0; i < elsewhere_.size(); ++i) {
    wire_.receive(to + i * j.part * j.width, bytes, elsewhere_[i],
                  receives_[t % window * slots_ + i]);
  }
}

bool two_level::exchange_send(const job& j, std::uint64_t t) {
  if (is_staged(j)) {
    if (j.op.source == nowhere) {
      std::byte* const area = here_.staging(here_.rank()) + t % window * quarter_bytes;
      for (int i = 0; i < here_.size(); ++i) {
        const int piece = layout_.members(place_)[static_cast<std::size_t>(i)];
        copy_bytes(area + static_cast<std::uint64_t>(i) * j.part * j.width,
                   j.own.in + (j.begin(piece) + t * j.part) * j.width, j.count(piece, t) * j.width);
      }
    }
    if (!meet(j)) return false;
  }
  std::byte* const out = outgoing_.get() + t % window * round_bytes;
  for (std::size_t i = 0; i < elsewhere_.size(); ++i) {
    MPI_Request& request = sends_[t % window * slots_ + i];
    if (!settle(request)) return false;
    const int piece = elsewhere_[i];
    const std::uint64_t bytes = j.count(piece, t) * j.width;
    if (bytes == 0) continue;
    std::byte* const part = out + i * j.part * j.width;
    copy_bytes(part, j.own.in + (j.begin(piece) + t * j.part) * j.width, bytes);
    send(part, bytes, piece, request);
  }
  return true;
}

bool two_level::exchange_take(const job& j, std::uint64_t t) {
  for (std::size_t i = 0; i < slots_; ++i) {
    if (!settle(receives_[t % window * slots_ + i])) return false;
  }
  const std::uint64_t count = j.count(me_, t);
  if (count == 0) return true;
  const std::uint64_t staged_at =
      t % window * quarter_bytes +
      static_cast<std::uint64_t>(layout_.index_of(me_)) * j.part * j.width;
  // By rank of the group: where it is to be read.
  std::vector<const void*>& from = from_;
  for (int i = 0; i < here_.size(); ++i) {
    const auto rank =
        static_cast<std::size_t>(layout_.members(place_)[static_cast<std::size_t>(i)]);
    from[rank] = piece_here(j, i, me_, t, staged_at);
  }
  const std::byte* const came = incoming_.get() + t % window * round_bytes;
  for (std::size_t i = 0; i < elsewhere_.size(); ++i) {
    from[static_cast<std::size_t>(elsewhere_[i])] = came + i * j.part * j.width;
  }
  if (j.op.kind == operation_kind::all_to_all) {
    for (int r = 0; r < j.size; ++r) {
      copy_bytes(j.own.out + (j.begin(r) + t * j.part) * j.width,
                 static_cast<const std::byte*>(from[static_cast<std::size_t>(r)]), count * j.width);
    }
    return true;
  }
  for (std::size_t i = 0; i < in_order_.size(); ++i) {
    in_order_[i] = from[static_cast<std::size_t>(layout_.order()[i])];
  }
  sum(in_order_.data(), in_order_.size(), j.op.in, j.sum_at(me_, t), j.op.out, count, j.op.mode);
  return true;
}

}  // namespace zero::collectives
