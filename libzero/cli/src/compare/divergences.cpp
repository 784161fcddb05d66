// Where ranks went apart, from what they recorded.
#include "operation_records.hpp"

#include <zero/base/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <set>

namespace zero::cli {
namespace {

using operations_of_group = std::map<std::uint64_t, recorded_operation>;

std::string rank_list(const std::vector<int>& ranks) {
  return (ranks.size() == 1 ? "rank " : "ranks ") + format_ranks(ranks);
}

// Of a group: what its ranks recorded, by rank of the world.
struct gathered_group {
  std::map<int, const operations_of_group*> by_rank;
  std::uint64_t first = 0;  // what every rank that has anything still has
  std::uint64_t end = 0;    // behind the last that anyone has
};

gathered_group gather(const std::vector<rank_record>& records, const std::string& group) {
  static const operations_of_group nothing;
  gathered_group found;
  for (const rank_record& r : records) {
    if (r.group_sizes.count(group) == 0) continue;
    const auto own = r.operations.find(group);
    const operations_of_group& ops = own == r.operations.end() ? nothing : own->second;
    found.by_rank[r.rank] = &ops;
    if (ops.empty()) continue;
    found.first = std::max(found.first, ops.begin()->first);
    found.end = std::max(found.end, ops.rbegin()->first + 1);
  }
  return found;
}

// The ranks of the larger parties stand first; of equals the one with the lowest rank.
std::vector<int> minority(const std::map<std::string, std::vector<int>>& does) {
  const std::vector<int>* most = nullptr;
  for (const auto& [what, ranks] : does) {
    const bool is_more = most == nullptr || ranks.size() > most->size() ||
                         (ranks.size() == most->size() && ranks.front() < most->front());
    if (is_more) most = &ranks;
  }
  std::vector<int> others;
  for (const auto& [what, ranks] : does) {
    if (&ranks != most) others.insert(others.end(), ranks.begin(), ranks.end());
  }
  std::sort(others.begin(), others.end());
  return others;
}

std::optional<divergence> first_in(const std::string& name, const gathered_group& group) {
  for (std::uint64_t k = group.first; k < group.end; ++k) {
    divergence found;
    found.group = name;
    found.sequence = k;
    found.queued = std::numeric_limits<std::int64_t>::max();
    for (const auto& [rank, operations] : group.by_rank) {
      const auto own = operations->find(k);
      if (own == operations->end()) {
        found.never_began.push_back(rank);
        continue;
      }
      found.does[own->second.what].push_back(rank);
      found.queued = std::min(found.queued, own->second.queued);
    }
    if (found.does.size() < 2 && found.never_began.empty()) continue;
    found.culprits = found.does.size() > 1 ? minority(found.does) : found.never_began;
    return found;
  }
  return std::nullopt;
}

std::string describe(const divergence& d, const std::vector<rank_record>& records) {
  std::string text;
  for (const auto& [what, ranks] : d.does) {
    text += fmt::format("{}{} queued {}", text.empty() ? "" : "; ", rank_list(ranks), what);
  }
  if (!d.never_began.empty()) text += fmt::format("; {} never began it", rank_list(d.never_began));
  text = fmt::format("operation {} of group {}: {}\n", d.sequence, d.group, text);
  for (const int rank : d.never_began) {
    const auto& all = std::find_if(records.begin(), records.end(), [rank](const rank_record& r) {
                        return r.rank == rank;
                      })->operations;
    const auto own = all.find(d.group);
    if (own == all.end() || own->second.empty()) {
      text += fmt::format("  rank {} queued nothing there\n", rank);
    } else {
      const recorded_operation& last = own->second.rbegin()->second;
      text += fmt::format("  rank {} queued last there operation {}, {}\n", rank, last.sequence,
                          last.what);
    }
  }
  return text + fmt::format("  it differs at: {}\n", rank_list(d.culprits));
}

std::string describe_unended(const rank_record& r) {
  std::string text;
  for (const auto& [group, operations] : r.operations) {
    const auto open = std::find_if(operations.begin(), operations.end(),
                                   [](const auto& one) { return one.second.ended == 0; });
    if (open == operations.end()) continue;
    const recorded_operation& op = open->second;
    text +=
        fmt::format("  rank {}: operation {} of group {}, {}, {} and not ended after {:.3g} s\n",
                    r.rank, op.sequence, group, op.what, op.begun == 0 ? "queued" : "begun",
                    1e-9 * static_cast<double>(r.clock - std::max(op.queued, op.begun)));
  }
  return text;
}

}  // namespace

std::vector<divergence> find_divergences(const std::vector<rank_record>& records) {
  std::set<std::string> groups;
  for (const rank_record& r : records) {
    for (const auto& [name, size] : r.group_sizes) groups.insert(name);
  }
  std::vector<divergence> found;
  for (const std::string& name : groups) {
    if (auto one = first_in(name, gather(records, name))) found.push_back(*std::move(one));
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const divergence& a, const divergence& b) { return a.queued < b.queued; });
  return found;
}

std::string describe_records(const std::vector<rank_record>& records) {
  std::string text;
  std::set<int> here;
  for (const rank_record& r : records) here.insert(r.rank);
  std::vector<int> missing;
  for (int rank = 0; rank < records.front().size; ++rank) {
    if (here.count(rank) == 0) missing.push_back(rank);
  }
  text += fmt::format("records of {} of {} ranks\n", here.size(), records.front().size);
  if (!missing.empty()) text += rank_list(missing) + " left no record\n";
  std::set<std::string> errors;
  for (const rank_record& r : records) {
    if (!r.error.empty() && errors.insert(r.error).second) {
      text += fmt::format("first told rank {}: {}\n", r.rank, r.error);
    }
  }
  const std::vector<divergence> found = find_divergences(records);
  if (found.empty()) text += "all ranks that left a record queued the same operations\n";
  for (const divergence& d : found) text += describe(d, records);
  std::string unended;
  for (const rank_record& r : records) unended += describe_unended(r);
  if (!unended.empty()) text += "not ended:\n" + unended;
  return text;
}

}  // namespace zero::cli
