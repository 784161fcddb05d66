#include "shared_memory/desync.hpp"

#include <zero/base/error.hpp>

#include <algorithm>
#include <cstddef>

namespace zero::collectives {
namespace {

std::string rank_list(const std::vector<int>& ranks) {
  return (ranks.size() == 1 ? "rank " : "ranks ") + format_ranks(ranks);
}

}  // namespace

const char* name_of(operation_kind kind) noexcept {
  switch (kind) {
    case operation_kind::all_gather:
      return "all_gather";
    case operation_kind::reduce_scatter:
      return "reduce_scatter";
    case operation_kind::all_to_all:
      return "all_to_all";
    case operation_kind::all_reduce:
      return "all_reduce";
    case operation_kind::broadcast:
      return "broadcast";
    case operation_kind::barrier:
      return "barrier";
    case operation_kind::split:
      return "split";
  }
  return "unknown";
}

bool same(const operation& a, const operation& b) noexcept {
  return a.kind == b.kind && a.in == b.in && a.out == b.out && a.mode == b.mode &&
         a.root == b.root && a.tag == b.tag && a.step == b.step && a.count == b.count;
}

std::string describe(const operation& op) {
  std::string text = name_of(op.kind);
  if (op.name[0] != '\0') text += " '" + std::string(op.name.data()) + "'";
  const bool moves = op.kind != operation_kind::barrier && op.kind != operation_kind::split;
  if (moves) text += " of " + std::to_string(op.count) + " " + zero::name_of(op.in);
  if (moves && op.out != op.in) text += std::string(" into ") + zero::name_of(op.out);
  if (op.mode == write_mode::accumulate) text += ", accumulating,";
  if (op.kind == operation_kind::broadcast) text += " from rank " + std::to_string(op.root);
  text += " (tag " + std::to_string(op.tag);
  if (op.step >= 0) text += ", step " + std::to_string(op.step);
  return text + ")";
}

std::optional<disagreement> compare(const std::vector<const operation*>& operations,
                                    const std::vector<int>& names) {
  struct party {
    const operation* op;
    std::vector<int> members;  // indices
  };
  std::vector<party> parties;
  for (std::size_t i = 0; i < operations.size(); ++i) {
    const auto own = std::find_if(parties.begin(), parties.end(),
                                  [&](const party& p) { return same(*p.op, *operations[i]); });
    if (own != parties.end()) {
      own->members.push_back(static_cast<int>(i));
    } else {
      parties.push_back({operations[i], {static_cast<int>(i)}});
    }
  }
  if (parties.size() < 2) return std::nullopt;
  // Stable: parties stand in the order of their lowest rank.
  std::stable_sort(parties.begin(), parties.end(), [](const party& a, const party& b) {
    return a.members.size() > b.members.size();
  });
  disagreement found;
  for (std::size_t p = 0; p < parties.size(); ++p) {
    std::vector<int> ranks;
    for (const int member : parties[p].members) {
      ranks.push_back(names[static_cast<std::size_t>(member)]);
      if (p > 0) found.minority.push_back(member);
    }
    found.text += (p == 0 ? "" : "; ") + rank_list(ranks) + " about to " + describe(*parties[p].op);
  }
  std::sort(found.minority.begin(), found.minority.end());
  return found;
}

}  // namespace zero::collectives
