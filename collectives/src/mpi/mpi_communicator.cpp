// Construction, groups of groups, and the lane's side.
#include "mpi/mpi_communicator.hpp"

#include <zero/base/error.hpp>

#include <algorithm>
#include <utility>

namespace zero::collectives {
namespace {

constexpr std::uint64_t never = ~std::uint64_t{0};

// What a rank says of itself when a group is split.
struct choice {
  std::int32_t color;
  std::int32_t key;
  std::int32_t next_group;
};

}  // namespace

ranks_on_hosts mpi_communicator::hosts_of(const session& all, const members& who) {
  ranks_on_hosts found;
  for (const int r : who.world_ranks) {
    found.host.push_back(all.hosts()[static_cast<std::size_t>(r)]);
    found.order.push_back(static_cast<int>(found.order.size()));
  }
  std::sort(found.order.begin(), found.order.end(), [&](int a, int b) {
    return who.world_ranks[static_cast<std::size_t>(a)] <
           who.world_ranks[static_cast<std::size_t>(b)];
  });
  return found;
}

shared_memory_communicator::seat mpi_communicator::seat_of(const session& all, const members& who,
                                                           const mpi_communicator* around) {
  const host_layout layout(hosts_of(all, who));
  const auto own = static_cast<std::size_t>(who.rank);
  return {{who.rank, layout.size()},
          all.pages(),
          who.block,
          layout.index_of(who.rank),
          who.world_ranks[own],
          around,
          layout.hosts() > 1 ? agreement::outside : agreement::inside};
}

mpi_communicator::mpi_communicator(std::shared_ptr<session> all, members who,
                                   const mpi_communicator* around)
    : shared_memory_communicator(seat_of(*all, who, around)),
      all_(std::move(all)),
      who_(std::move(who)),
      is_world_(around == nullptr),
      layout_(hosts_of(*all_, who_)),
      left_at_(who_.world_ranks.size()) {
  for (auto& at : left_at_) at.store(never);
  if (spans_hosts()) {
    const int tag = all_->tag_of(who_.group);
    between_.emplace(ranks_here(), layout_, rank(), links(all_->messages(), tag, who_.world_ranks),
                     [this] {
                       attend();
                       return ranks_here().poisoned() == nullptr;
                     });
    if (layout_.index_of(rank()) == 0) {
      verdicts_.emplace(ranks_here(), layout_, layout_.place_of(rank()),
                        links(all_->messages(), tag + 1, who_.world_ranks), who_.world_ranks);
    }
  }
  open();
  all_->ears().listen(who_.group, *this);
}

mpi_communicator::~mpi_communicator() {
  const auto longest = std::chrono::duration_cast<std::chrono::milliseconds>(patience());
  const std::uint64_t posted = ranks_here().posted();
  notice left = about(notice::subject::left);
  left.posted = posted;
  end_lane();  // poisons the group where something is outstanding
  const poison_record* const first = ranks_here().poisoned();
  const bool is_sound = first == nullptr;
  all_->ears().forget(who_.group);
  // Before this rank is known to be gone its peers must know why.
  if (!is_sound && spans_hosts()) tell_all(about(*first));
  tell_all(left);
  between_.reset();
  leave();
  constexpr std::chrono::milliseconds of_broken{1000};
  if (is_world_) all_->leave(is_sound, is_sound ? longest : std::min(longest, of_broken));
}

int mpi_communicator::host_of(int rank) const noexcept {
  return all_->hosts()[static_cast<std::size_t>(who_.world_ranks[static_cast<std::size_t>(rank)])];
}

const traffic& mpi_communicator::traffic() const noexcept {
  counted_ = traffic_;
  counted_.crossed = between_ ? between_->crossed() : 0;
  return counted_;
}

// ---- the lane ---------------------------------------------------------------------------------

bool mpi_communicator::move(std::uint64_t k, const placement& own) {
  if (!spans_hosts()) return shared_memory_communicator::move(k, own);
  try {
    return between_->run(k, own);
  } catch (...) {
    fail();
    return false;
  }
}

bool mpi_communicator::attend() {
  if (!verdicts_) return false;
  try {
    return verdicts_->progress();
  } catch (...) {
    fail();
    return false;
  }
}

bool mpi_communicator::wants_attention() const noexcept {
  return verdicts_ && ranks_here().poisoned() == nullptr && verdicts_->has_work();
}

// ---- split ------------------------------------------------------------------------------------

std::unique_ptr<communicator> mpi_communicator::do_split(int color, int key) {
  check_usable();
  check_nothing_outstanding();
  const choice own{color, key, all_->next_group()};
  std::vector<choice> choices(static_cast<std::size_t>(size()));
  const const_typed_span in{&own, sizeof own, dtype::byte};
  const typed_span out{choices.data(), choices.size() * sizeof own, dtype::byte};
  operation op = make_operation(operation_kind::split, in.type, out.type, in.count, call{});
  const std::uint64_t staged = traffic_.staged;
  queue(op, in, out, {}).wait();
  traffic_.staged = staged;  // no operation of the caller's
  if (size() == 1) choices.front() = own;

  std::vector<int> chosen;
  int group = 0;
  for (int i = 0; i < size(); ++i) {
    const choice& c = choices[static_cast<std::size_t>(i)];
    if (c.color == color) chosen.push_back(i);
    group = std::max(group, c.next_group);
  }
  std::stable_sort(chosen.begin(), chosen.end(), [&](int a, int b) {
    return choices[static_cast<std::size_t>(a)].key < choices[static_cast<std::size_t>(b)].key;
  });
  all_->set_next_group(group + 1);

  members who{group, {}, 0, 0};
  std::vector<int> here;  // of the new group, on this host
  for (const int i : chosen) {
    if (i == rank()) who.rank = static_cast<int>(who.world_ranks.size());
    who.world_ranks.push_back(who_.world_ranks[static_cast<std::size_t>(i)]);
    if (host_of(i) == host_of(rank())) here.push_back(i);
  }
  slot& mine = ranks_here().slot_of(ranks_here().rank());
  if (here.front() == rank()) {
    const std::uint64_t block = pages()->allocate_block(static_cast<int>(here.size()));
    for (std::size_t i = 0; block != 0 && i < here.size(); ++i) {
      pages()->slot_of(block, static_cast<int>(i)).world_rank =
          who_.world_ranks[static_cast<std::size_t>(here[i])];
    }
    if (block == 0) abort("no control pages for one more group");
    mine.block = block;
  }
  op.count = 0;
  queue(op, {}, {}, {}).wait();  // every first rank has laid out its group
  who.block = ranks_here().slot_of(layout_.index_of(here.front())).block;
  return std::make_unique<mpi_communicator>(all_, std::move(who), this);
}

}  // namespace zero::collectives
