#include "mpi/verdicts.hpp"

#include "shared_memory/desync.hpp"

#include <algorithm>
#include <cstddef>
#include <string>

namespace zero::collectives {
namespace {

constexpr int first_place = 0;

}  // namespace

verdicts::verdicts(group& here, const host_layout& layout, int place, links wire,
                   std::vector<int> world_ranks)
    : here_(here),
      layout_(layout),
      place_(place),
      wire_(std::move(wire)),
      world_ranks_(std::move(world_ranks)),
      sends_(depth * (place == first_place ? static_cast<std::size_t>(layout.hosts()) : 1),
             MPI_REQUEST_NULL) {
  for (std::vector<operation>& ops : saying_) ops.reserve(layout.members(place).size());
  if (place != first_place) return;
  peers_.resize(static_cast<std::size_t>(layout.hosts()));
  for (int p = 0; p < layout.hosts(); ++p) {
    peers_[static_cast<std::size_t>(p)].said.resize(layout.members(p).size());
  }
}

verdicts::~verdicts() {
  for (MPI_Request& r : sends_) static_cast<void>(give_up(r));
  for (peer& p : peers_) static_cast<void>(give_up(p.receiving));
  static_cast<void>(give_up(listening_));
}

bool verdicts::progress() {
  if (here_.poisoned() != nullptr) return false;
  while (may_say(said_)) say();
  if (place_ == first_place) {
    judge();
  } else {
    listen();
  }
  return has_work() && here_.poisoned() == nullptr;
}

// A barrier promises that everything before it is done everywhere, so a host comes to it with its
// own done. A split hands out what follows from it; the same holds.
bool verdicts::may_say(std::uint64_t k) const noexcept {
  if (here_.gathered() <= k) return false;
  const operation_kind kind = here_.posted_by(here_.rank(), k).kind;
  const bool waits = kind == operation_kind::barrier || kind == operation_kind::split;
  return !waits || here_.completed() >= k;
}

// What the ranks here posted as operation k: one for all where they agree.
std::size_t verdicts::collect(std::uint64_t k, std::vector<operation>& into) const {
  into.clear();
  bool agree = true;
  for (int i = 0; i < here_.size(); ++i) {
    into.push_back(here_.posted_by(i, k));
    agree = agree && same(into.front(), into.back());
  }
  if (agree) into.resize(1);
  return into.size() * sizeof(operation);
}

void verdicts::say() {
  const std::uint64_t k = said_;
  if (place_ == first_place) {
    ++said_;  // it judges by what is posted
    return;
  }
  MPI_Request& request = sends_[k % depth];
  while (!links::done(request)) {  // `depth` small messages ago: gone long since
    if (here_.poisoned() != nullptr) return;
  }
  std::vector<operation>& ops = saying_[k % depth];
  const std::size_t bytes = collect(k, ops);
  wire_.send(ops.data(), bytes, layout_.members(first_place).front(), request);
  ++said_;
}

void verdicts::listen() {
  while (agreed_ < said_) {
    if (listening_ == MPI_REQUEST_NULL) {
      wire_.receive(&told_, sizeof told_, layout_.members(first_place).front(), listening_);
    }
    if (!links::done(listening_)) return;
    take(told_);
    if (told_.differs != 0) return;
  }
}

void verdicts::take(const verdict& v) {
  if (v.differs == 0) {
    here_.announce(agreed_++);
    return;
  }
  const std::vector<int> ranks(v.ranks.begin(), v.ranks.begin() + v.culprits);
  here_.poison(error_class::desync, ranks, v.text.data());
}

// Only the first place: what all hosts said of the next operation, if they have.
void verdicts::judge() {
  for (; agreed_ < said_; ++judged_) {
    bool complete = true;
    for (int p = 1; p < layout_.hosts(); ++p) {
      peer& other = peers_[static_cast<std::size_t>(p)];
      if (!other.is_there && other.receiving == MPI_REQUEST_NULL) {
        wire_.receive(other.said.data(), other.said.size() * sizeof(operation),
                      layout_.members(p).front(), other.receiving);
      }
      if (!other.is_there) other.is_there = links::done(other.receiving, &other.bytes);
      complete = complete && other.is_there;
    }
    if (!complete) return;
    std::vector<const operation*> all(world_ranks_.size());
    peers_.front().bytes = collect(agreed_, peers_.front().said);
    for (int p = 0; p < layout_.hosts(); ++p) {
      peer& other = peers_[static_cast<std::size_t>(p)];
      const bool one_for_all = other.bytes == sizeof(operation);
      for (const int rank : layout_.members(p)) {
        const std::size_t i = one_for_all ? 0 : static_cast<std::size_t>(layout_.index_of(rank));
        all[static_cast<std::size_t>(rank)] = &other.said[i];
      }
      other.is_there = false;
    }
    const bool agree = std::all_of(all.begin(), all.end(),
                                   [&](const operation* op) { return same(*all.front(), *op); });
    verdict v{};
    if (!agree) {
      const auto found = compare(all, world_ranks_);
      v.differs = 1;
      for (const int i : found->minority) {
        if (v.culprits < v.ranks.size()) {
          v.ranks[v.culprits++] = world_ranks_[static_cast<std::size_t>(i)];
        }
      }
      const std::string text =
          "ranks do different things as operation " + std::to_string(agreed_) + ": " + found->text;
      std::copy_n(text.begin(), std::min(text.size(), v.text.size() - 1), v.text.begin());
    }
    tell(v, agree ? sizeof v.differs : sizeof v);
    take(v);
    if (!agree) return;
  }
}

void verdicts::tell(const verdict& v, std::uint64_t bytes) {
  verdict& out = telling_[judged_ % depth];
  for (int p = 1; p < layout_.hosts(); ++p) {
    MPI_Request& request =
        sends_[static_cast<std::size_t>(p) * depth + static_cast<std::size_t>(judged_ % depth)];
    while (!links::done(request)) {
      if (here_.poisoned() != nullptr) return;
    }
  }
  out = v;
  for (int p = 1; p < layout_.hosts(); ++p) {
    wire_.send(
        &out, bytes, layout_.members(p).front(),
        sends_[static_cast<std::size_t>(p) * depth + static_cast<std::size_t>(judged_ % depth)]);
  }
}

}  // namespace zero::collectives
