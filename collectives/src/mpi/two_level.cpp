// What all operations share: how they are cut, and waiting for messages.
#include "mpi/two_level.hpp"

#include "mpi/two_level_job.hpp"

#include <algorithm>
#include <numeric>

namespace zero::collectives {
namespace {

// Whoever waits for the operation has the deadline; a rank that waits here for one that waits for
// another host would only blame the wrong one.
constexpr std::chrono::hours without_deadline{24 * 365};

moving moving_of(operation_kind kind) noexcept {
  switch (kind) {
    case operation_kind::reduce_scatter:
      return moving::reduce_scatter;
    case operation_kind::all_to_all:
      return moving::all_to_all;
    case operation_kind::all_reduce:
      return moving::all_reduce;
    case operation_kind::broadcast:
      return moving::broadcast;
    case operation_kind::all_gather:
    case operation_kind::barrier:
    case operation_kind::split:
      break;
  }
  return moving::all_gather;
}

}  // namespace

two_level::two_level(group& here, const host_layout& layout, int rank, links wire,
                     std::function<bool()> go_on)
    : here_(here),
      layout_(layout),
      me_(rank),
      place_(layout.place_of(rank)),
      wire_(std::move(wire)),
      go_on_(std::move(go_on)),
      here_in_world_order_(static_cast<std::size_t>(here.size())),
      carrier_index_(static_cast<std::size_t>(layout.size())),
      carrier_slot_(static_cast<std::size_t>(layout.size())),
      from_(static_cast<std::size_t>(layout.size())),
      in_order_(static_cast<std::size_t>(layout.size())) {
  std::iota(here_in_world_order_.begin(), here_in_world_order_.end(), 0);
  std::sort(here_in_world_order_.begin(), here_in_world_order_.end(),
            [&](int a, int b) { return here.world_rank(a) < here.world_rank(b); });
  for (int place = 0; place < layout.hosts(); ++place) {
    std::vector<std::uint64_t> carried(layout.members(place).size());
    for (int piece = 0; piece < layout.size(); ++piece) {
      const int carrier = layout.carrier(place, piece);
      const auto index = static_cast<std::size_t>(layout.index_of(carrier));
      if (place == place_) {
        carrier_index_[static_cast<std::size_t>(piece)] = layout.index_of(carrier);
        carrier_slot_[static_cast<std::size_t>(piece)] = carried[index];
        if (carrier == me_) carried_.push_back(piece);
      }
      most_carried_ = std::max(most_carried_, ++carried[index]);
    }
  }
  for (int r = 0; r < layout.size(); ++r) {
    if (layout.place_of(r) != place_) elsewhere_.push_back(r);
  }
  slots_ =
      std::max({elsewhere_.size(), carried_.size() + 1, static_cast<std::size_t>(layout.hosts())});
  outgoing_.reset(new std::byte[window * round_bytes]);  // not touched before it is used
  incoming_.reset(new std::byte[window * round_bytes]);
  sends_.assign(window * slots_, MPI_REQUEST_NULL);
  receives_.assign(window * slots_, MPI_REQUEST_NULL);
}

two_level::~two_level() {
  bool free = true;
  for (MPI_Request& r : receives_) free = give_up(r) && free;
  for (MPI_Request& r : sends_) free = give_up(r) && free;
  if (free) return;
  static_cast<void>(outgoing_.release());
  static_cast<void>(incoming_.release());
}

two_level::job two_level::make_job(std::uint64_t k, const placement& own) const {
  const operation& op = here_.posted_by(here_.rank(), k);
  job j{k, op, own, {moving_of(op.kind), op.count, op.in, op.out, op.mode, op.root}};
  j.size = layout_.size();
  j.width = size_of(op.in);
  j.longest = piece_count(j.what, j.size, 0);
  return j;
}

// Into parts of `most` elements of every piece.
void two_level::cut(job& j, std::uint64_t most) const noexcept {
  j.part = std::max<std::uint64_t>(most, 1);
  j.rounds = (j.longest + j.part - 1) / j.part;
}

// Whether some rank here has memory that its peers cannot read.
bool two_level::is_staged(const job& j) const noexcept {
  for (int i = 0; i < here_.size(); ++i) {
    if (here_.posted_by(i, j.k).source == nowhere) return here_.size() > 1;
  }
  return false;
}

bool two_level::run(std::uint64_t k, const placement& own) {
  const job j = make_job(k, own);
  switch (j.op.kind) {
    case operation_kind::barrier:
      return true;
    case operation_kind::all_gather:
    case operation_kind::split:
    case operation_kind::broadcast:
      return spread(j);
    case operation_kind::all_to_all:
      return exchange(j);
    case operation_kind::reduce_scatter:
    case operation_kind::all_reduce:
      break;
  }
  const bool went = way_of_sums(layout_, j.what) == sum_way::chain ? chain(j) : exchange(j);
  if (!went || j.op.kind == operation_kind::reduce_scatter) return went;
  return meet(j) && spread(j);  // peers have read what is overwritten now
}

bool two_level::meet(const job& j) { return here_.meet(j.k, without_deadline); }

void two_level::send(const void* from, std::uint64_t bytes, int to, MPI_Request& request) {
  wire_.send(from, bytes, to, request);
  crossed_.fetch_add(bytes);
}

bool two_level::settle(MPI_Request& request) const {
  poll_pause pause;
  while (!links::done(request)) {
    if (!go_on_()) return false;
    pause.rest();
  }
  here_.note_progress();
  return true;
}

bool two_level::settle_sends() {
  return std::all_of(sends_.begin(), sends_.end(), [this](MPI_Request& r) { return settle(r); });
}

// A part of a piece as rank `index` of this host has it, to be read here.
const std::byte* two_level::piece_here(const job& j, int index, int piece, std::uint64_t t,
                                       std::uint64_t staged_at) const {
  const std::uint64_t within = (j.begin(piece) + t * j.part) * j.width;
  if (index == here_.rank()) return j.own.in + within;
  const std::uint64_t source = here_.posted_by(index, j.k).source;
  if (source == nowhere) return here_.staging(index) + staged_at;
  return here_.pages().file().base() + source + within;
}

}  // namespace zero::collectives
