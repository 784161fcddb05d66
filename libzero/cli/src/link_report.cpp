#include "link_report.hpp"

#include <algorithm>
#include <array>

namespace zero::cli {
namespace {

using json = nlohmann::ordered_json;

// One direction of one link, as ranks tell it.
struct link_kind {
  const char* name;
  std::uint64_t tier_report::*bytes;
  std::uint64_t tier_report::*reached;  // null: all is copied
  double tier_report::*busy;
  double link_ceilings::*ceiling;
};

constexpr std::array<link_kind, 4> links{
    {{"disk_read", &tier_report::disk_read, nullptr, &tier_report::disk_reading,
      &link_ceilings::disk_read},
     {"disk_written", &tier_report::disk_written, nullptr, &tier_report::disk_writing,
      &link_ceilings::disk_written},
     {"host_to_device", &tier_report::host_to_device, &tier_report::host_to_device_reached,
      &tier_report::copying_up, &link_ceilings::host_to_device},
     {"device_to_host", &tier_report::device_to_host, &tier_report::device_to_host_reached,
      &tier_report::copying_down, &link_ceilings::device_to_host}}};

// Of all steps, but for rates.
struct link_use {
  double bytes = 0;
  double reached = 0;
  double busy = 0;
  double rate = 0;     // 0: nothing was copied
  double ceiling = 0;  // 0: not measured
};

struct overlap {
  double moving = 0;
  double exposed = 0;
  double hideable = 0;
  double hidden = 0;
};

json quotient(double a, double b) { return b > 0 ? json(a / b) : json(); }

link_use use_of(const link_kind& link, const rank_figures& rank) {
  const tier_report& tiers = rank.tiers;
  link_use use;
  use.bytes = static_cast<double>(tiers.*link.bytes);
  if (link.reached != nullptr) use.reached = static_cast<double>(tiers.*link.reached);
  use.busy = tiers.*link.busy;
  if (use.busy > 0) use.rate = (use.bytes - use.reached) / use.busy;
  use.ceiling = rank.ceilings.*link.ceiling;
  return use;
}

// A ceiling of all where each has one.
link_use all_of(const std::vector<link_use>& ranks) {
  link_use all;
  bool measured = true;
  for (const link_use& rank : ranks) {
    all.bytes += rank.bytes;
    all.reached += rank.reached;
    all.busy = std::max(all.busy, rank.busy);
    all.rate += rank.rate;
    all.ceiling += rank.ceiling;
    measured = measured && rank.ceiling > 0;
  }
  if (!measured) all.ceiling = 0;
  return all;
}

overlap overlap_of(const tier_report& tiers, double seconds) {
  overlap found;
  found.moving = tiers.moving;
  found.exposed = tiers.exposed;
  found.hideable = std::clamp(seconds - found.exposed, 0.0, found.moving);
  found.hidden = std::clamp(found.moving - found.exposed, 0.0, found.hideable);
  return found;
}

json to_json(const link_kind& link, const link_use& use, double steps, double seconds) {
  json line{{"bytes", use.bytes / steps}};
  if (link.reached != nullptr) line["reached"] = use.reached / steps;
  line["busy_seconds"] = use.busy / steps;
  line["rate"] = use.rate > 0 ? json(use.rate) : json();
  line["ceiling"] = use.ceiling > 0 ? json(use.ceiling) : json();
  line["utilisation"] = quotient(use.bytes, use.ceiling * seconds);
  line["rate_fraction"] = use.rate > 0 ? quotient(use.rate, use.ceiling) : json();
  return line;
}

json to_json(const overlap& of, double steps) {
  return {{"moving_seconds", of.moving / steps},
          {"exposed_seconds", of.exposed / steps},
          {"hideable_seconds", of.hideable / steps},
          {"hidden_seconds", of.hidden / steps},
          {"fraction", quotient(of.hidden, of.hideable)}};
}

bool any_moved(const std::vector<rank_figures>& ranks) {
  return std::any_of(ranks.begin(), ranks.end(), [](const rank_figures& rank) {
    return rank.memory.predicted[static_cast<std::size_t>(memory_account::host)] > 0 ||
           rank.memory.predicted[static_cast<std::size_t>(memory_account::disk)] > 0;
  });
}

}  // namespace

json links_json(const std::vector<rank_figures>& ranks, std::uint64_t steps, double seconds) {
  if (!any_moved(ranks)) return nullptr;
  const auto count = static_cast<double>(steps);
  double measuring = 0;
  for (const rank_figures& rank : ranks) measuring = std::max(measuring, rank.ceilings.seconds);
  json line{{"measuring_seconds", measuring}, {"step_seconds", seconds / count}};
  std::vector<json> own(ranks.size());
  for (std::size_t r = 0; r < ranks.size(); ++r) own[r]["rank"] = r;
  for (const link_kind& link : links) {
    std::vector<link_use> uses;
    for (std::size_t r = 0; r < ranks.size(); ++r) {
      uses.push_back(use_of(link, ranks[r]));
      own[r][link.name] = to_json(link, uses.back(), count, seconds);
    }
    line[link.name] = to_json(link, all_of(uses), count, seconds);
  }
  overlap mean;
  for (std::size_t r = 0; r < ranks.size(); ++r) {
    const overlap one = overlap_of(ranks[r].tiers, seconds);
    own[r]["overlap"] = to_json(one, count);
    const double share = 1.0 / static_cast<double>(ranks.size());
    mean.moving += share * one.moving;
    mean.exposed += share * one.exposed;
    mean.hideable += share * one.hideable;
    mean.hidden += share * one.hidden;
  }
  line["overlap"] = to_json(mean, count);
  line["ranks"] = own;
  return line;
}

}  // namespace zero::cli
