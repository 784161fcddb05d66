#include "report/link_report.hpp"

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

// Of a step.
struct link_use {
  std::uint64_t bytes = 0;
  std::uint64_t reached = 0;
  double busy = 0;     // seconds
  double rate = 0;     // 0: nothing was copied
  double ceiling = 0;  // 0: not measured
};

// Seconds of a step.
struct overlap {
  double moving = 0;
  double exposed = 0;
  double hideable = 0;
  double hidden = 0;
};

json quotient(double a, double b) { return b > 0 ? json(a / b) : json(); }

link_use use_of(const link_kind& link, const rank_figures& rank, std::uint64_t steps) {
  const tier_report& tiers = rank.tiers;
  const auto a_step = [steps](std::uint64_t all) { return (all + steps / 2) / steps; };
  link_use use;
  use.bytes = a_step(tiers.*link.bytes);
  if (link.reached != nullptr) use.reached = a_step(tiers.*link.reached);
  use.busy = tiers.*link.busy / static_cast<double>(steps);
  if (use.busy > 0) use.rate = static_cast<double>(use.bytes - use.reached) / use.busy;
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

overlap overlap_of(const tier_report& tiers, double steps, double seconds) {
  overlap found;
  found.moving = tiers.moving / steps;
  found.exposed = tiers.exposed / steps;
  found.hideable = std::clamp(seconds - found.exposed, 0.0, found.moving);
  found.hidden = std::clamp(found.moving - found.exposed, 0.0, found.hideable);
  return found;
}

json to_json(const link_kind& link, const link_use& use, double seconds) {
  json line{{"bytes", use.bytes}};
  if (link.reached != nullptr) line["reached"] = use.reached;
  line["busy_seconds"] = use.busy;
  line["rate"] = use.rate > 0 ? json(use.rate) : json();
  line["ceiling"] = use.ceiling > 0 ? json(use.ceiling) : json();
  line["utilisation"] = quotient(static_cast<double>(use.bytes), use.ceiling * seconds);
  line["rate_fraction"] = use.rate > 0 ? quotient(use.rate, use.ceiling) : json();
  return line;
}

json to_json(const overlap& of) {
  return {{"moving_seconds", of.moving},
          {"exposed_seconds", of.exposed},
          {"hideable_seconds", of.hideable},
          {"hidden_seconds", of.hidden},
          {"fraction", quotient(of.hidden, of.hideable)}};
}

bool any_below(const std::vector<rank_figures>& ranks) {
  return std::any_of(ranks.begin(), ranks.end(), [](const rank_figures& rank) {
    return rank.memory.predicted[static_cast<std::size_t>(memory_account::host)] > 0 ||
           rank.memory.predicted[static_cast<std::size_t>(memory_account::disk)] > 0;
  });
}

}  // namespace

json links_json(const std::vector<rank_figures>& ranks, std::uint64_t steps, double seconds) {
  if (!any_below(ranks)) return nullptr;
  const auto count = static_cast<double>(steps);
  const double step = seconds / count;
  double measuring = 0;
  for (const rank_figures& rank : ranks) measuring = std::max(measuring, rank.ceilings.seconds);
  json line{{"measuring_seconds", measuring}, {"step_seconds", step}};
  std::vector<json> own(ranks.size());
  for (std::size_t r = 0; r < ranks.size(); ++r) own[r]["rank"] = r;
  for (const link_kind& link : links) {
    std::vector<link_use> uses;
    for (std::size_t r = 0; r < ranks.size(); ++r) {
      uses.push_back(use_of(link, ranks[r], steps));
      own[r][link.name] = to_json(link, uses.back(), step);
    }
    line[link.name] = to_json(link, all_of(uses), step);
  }
  overlap mean;
  const double share = 1.0 / static_cast<double>(ranks.size());
  for (std::size_t r = 0; r < ranks.size(); ++r) {
    const overlap one = overlap_of(ranks[r].tiers, count, step);
    own[r]["overlap"] = to_json(one);
    mean.moving += share * one.moving;
    mean.exposed += share * one.exposed;
    mean.hideable += share * one.hideable;
    mean.hidden += share * one.hidden;
  }
  line["overlap"] = to_json(mean);
  line["ranks"] = own;
  return line;
}

}  // namespace zero::cli
