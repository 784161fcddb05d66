#include "report/timeline.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

namespace zero::cli {
namespace {

using json = nlohmann::ordered_json;
using range = std::pair<std::int64_t, std::int64_t>;

constexpr std::array lanes{lane::compute, lane::communication, lane::copy_in, lane::copy_out};

bool computes(std::string_view verb) {
  return verb == "forward" || verb == "backward" || verb == "update";
}

// Seconds; a quotient, so that what is written is as short as it can be.
double seconds(std::int64_t nanoseconds) { return static_cast<double>(nanoseconds) / 1e9; }

// Sorted and joined where they touch.
std::vector<range> joined(std::vector<range> ranges) {
  std::sort(ranges.begin(), ranges.end());
  std::vector<range> result;
  for (const range& each : ranges) {
    if (!result.empty() && each.first <= result.back().second) {
      result.back().second = std::max(result.back().second, each.second);
    } else {
      result.push_back(each);
    }
  }
  return result;
}

std::int64_t length(const std::vector<range>& ranges) {
  std::int64_t sum = 0;
  for (const range& each : ranges) sum += each.second - each.first;
  return sum;
}

// Of what is in both; each is sorted and joined.
std::int64_t common_length(const std::vector<range>& a, const std::vector<range>& b) {
  std::int64_t sum = 0;
  for (auto i = a.begin(), j = b.begin(); i != a.end() && j != b.end();) {
    sum += std::max<std::int64_t>(0, std::min(i->second, j->second) - std::max(i->first, j->first));
    i->second < j->second ? ++i : ++j;
  }
  return sum;
}

// In which the compute lane computed: a verb that stands within an update is none of it.
std::vector<range> computing(const std::vector<slice>& slices) {
  std::vector<range> found;
  for (auto s = slices.begin(); s != slices.end(); ++s) {
    if (s->where != lane::compute || !computes(s->verb)) continue;
    std::int64_t from = s->begin;
    for (auto other = s + 1; other != slices.end() && other->begin < s->end; ++other) {
      if (other->where != lane::compute || other->begin < from) continue;
      found.emplace_back(from, other->begin);
      from = std::min(other->end, s->end);
    }
    found.emplace_back(from, s->end);
  }
  return joined(std::move(found));
}

json overlap_json(const std::vector<slice>& slices) {
  const std::vector<range> behind = computing(slices);
  json result;
  for (const lane each : lanes) {
    if (each == lane::compute) continue;
    std::vector<range> busy;
    for (const slice& s : slices) {
      if (s.where == each) busy.emplace_back(s.begin, s.end);
    }
    busy = joined(std::move(busy));
    const std::int64_t all = length(busy);
    const std::int64_t hidden = common_length(busy, behind);
    result[name_of(each)] = {
        {"busy_seconds", seconds(all)},
        {"hidden_seconds", seconds(hidden)},
        {"fraction",
         all > 0 ? json(static_cast<double>(hidden) / static_cast<double>(all)) : json()}};
  }
  return result;
}

json slices_json(const std::vector<slice>& slices, std::int64_t begin) {
  json lane_of = json::array(), verb = json::array(), unit = json::array(), from = json::array(),
       to = json::array();
  for (const slice& s : slices) {
    lane_of.push_back(static_cast<int>(s.where));
    verb.push_back(s.verb);
    unit.push_back(s.unit);
    from.push_back(seconds(s.begin - begin));
    to.push_back(seconds(s.end - begin));
  }
  return {{"lane", lane_of}, {"verb", verb}, {"unit", unit}, {"begin", from}, {"end", to}};
}

json memory_json(const std::vector<memory_sample>& samples, const traced_step& step,
                 const memory_by_account& held) {
  std::optional<memory_sample> before;
  json at = json::array(), bytes = json::array();
  const auto add = [&](std::int64_t time, std::uint64_t in_use) {
    at.push_back(seconds(time - step.begin));
    bytes.push_back(in_use);
  };
  for (const memory_sample& sample : samples) {
    if (sample.at > step.end) break;
    if (sample.at > step.begin) {
      if (at.empty()) add(step.begin, before ? before->in_use : 0);
      if (bytes.back() != sample.in_use) add(sample.at, sample.in_use);
    }
    before = sample;
  }
  if (at.empty()) add(step.begin, before ? before->in_use : 0);
  json result;
  for (std::size_t i = 0; i < memory_account_count; ++i) {
    result[name_of(static_cast<memory_account>(i))] = held[i];
  }
  const std::uint64_t reserved = before ? before->reserved : 0;
  const auto buffers = static_cast<std::size_t>(memory_account::buffers);
  result["buffers"] = held[buffers] - std::min(held[buffers], reserved);
  result["slots_reserved"] = reserved;
  result["slots_in_use"] = {{"at", at}, {"bytes", bytes}};
  return result;
}

// Of what was recorded before there was no more room.
std::int64_t recorded_until(const trace_recorder& recorder) {
  if (recorder.dropped() == 0) return std::numeric_limits<std::int64_t>::max();
  const std::vector<trace_event> events = recorder.events();
  const std::vector<memory_sample> samples = recorder.samples();
  // The longer of the two is full. Of several threads the order is not quite that of the ends.
  std::int64_t last = std::numeric_limits<std::int64_t>::max();
  if (!events.empty() && events.size() >= samples.size()) last = events.back().end;
  if (!samples.empty() && samples.size() >= events.size()) last = std::min(last, samples.back().at);
  return last;
}

const traced_step* choose(const trace_recorder& recorder, const std::vector<traced_step>& steps,
                          double median) {
  const std::int64_t until = recorded_until(recorder);
  const traced_step* best = nullptr;
  const auto off = [median](const traced_step& s) {
    return std::abs(seconds(s.end - s.begin) - median);
  };
  for (const traced_step& each : steps) {
    if (each.end > until) continue;
    if (best == nullptr || off(each) < off(*best)) best = &each;
  }
  return best;
}

}  // namespace

std::vector<slice> slices_of(const trace_recorder& recorder, const partition::layout& layout) {
  std::vector<slice> result;
  for (const trace_event& event : recorder.events()) {
    int unit = event.unit;
    if (event.where == lane::communication && unit >= 0) {
      const auto bucket = static_cast<std::size_t>(unit);
      unit = bucket < layout.buckets().size() ? layout.buckets()[bucket].unit : -1;
    }
    result.push_back({event.name, event.where, unit, event.begin, event.end});
  }
  std::stable_sort(result.begin(), result.end(), [](const slice& a, const slice& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end > b.end;
  });
  return result;
}

std::vector<int> tracks_of(const std::vector<slice>& slices) {
  std::array<std::vector<std::int64_t>, lanes.size()> ends;  // of each track, the last
  std::vector<int> result;
  for (const slice& s : slices) {
    if (s.where == lane::compute) {
      result.push_back(0);
      continue;
    }
    auto& of_lane = ends[static_cast<std::size_t>(s.where)];
    auto track = std::find_if(of_lane.begin(), of_lane.end(),
                              [&s](std::int64_t end) { return end <= s.begin; });
    if (track == of_lane.end()) track = of_lane.insert(track, 0);
    *track = s.end;
    result.push_back(static_cast<int>(track - of_lane.begin()));
  }
  return result;
}

json timeline_json(const trace_recorder& recorder, const partition::layout& layout,
                   const std::vector<traced_step>& steps, double median,
                   const memory_by_account& held) {
  const traced_step* const chosen = choose(recorder, steps, median);
  if (chosen == nullptr) return nullptr;
  std::vector<slice> within;
  for (slice s : slices_of(recorder, layout)) {
    s.begin = std::max(s.begin, chosen->begin);
    s.end = std::min(s.end, chosen->end);
    if (s.begin <= s.end) within.push_back(s);
  }
  json line{{"rank", 0}, {"step", chosen->step}, {"seconds", seconds(chosen->end - chosen->begin)}};
  line["units"] = json::array();
  for (const partition::unit_spec& unit : layout.model().units) line["units"].push_back(unit.name);
  for (const lane each : lanes) line["lanes"].push_back(name_of(each));
  line["slices"] = slices_json(within, chosen->begin);
  line["memory"] = memory_json(recorder.samples(), *chosen, held);
  line["overlap"] = overlap_json(within);
  return line;
}

}  // namespace zero::cli
