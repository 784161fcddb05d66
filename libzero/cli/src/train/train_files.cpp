#include "train/train_files.hpp"

#include "output_folder.hpp"
#include "ranks/interruption.hpp"
#include "report/timeline.hpp"
#include "trainer/gpt_model.hpp"
#include "trainer/safetensors_writer.hpp"

#include <zero/base/error.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <iterator>
#include <limits>
#include <map>
#include <vector>

namespace zero::cli {
namespace {

// What a JSON string may have in it.
std::string quoted(const std::string& text) { return nlohmann::json(text).dump(); }

constexpr int tracks_of_lane = 1 << 10;

int thread_of(lane where, int track) { return static_cast<int>(where) * tracks_of_lane + track; }

double microseconds(std::int64_t at, std::int64_t from) {
  return 1e-3 * static_cast<double>(at - from);
}

// Names of the lanes' tracks, in their order.
std::string threads_of(int rank, const std::vector<slice>& slices, const std::vector<int>& tracks) {
  std::string text = fmt::format(
      R"({{"name":"process_name","ph":"M","pid":{0},"args":{{"name":"rank {0}"}}}},)", rank);
  std::map<int, std::string> names;
  for (const lane each : {lane::compute, lane::communication, lane::copy_in, lane::copy_out}) {
    names[thread_of(each, 0)] = name_of(each);
  }
  for (std::size_t i = 0; i < slices.size(); ++i) {
    if (tracks[i] == 0) continue;
    names[thread_of(slices[i].where, tracks[i])] =
        fmt::format("{} {}", name_of(slices[i].where), tracks[i] + 1);
  }
  for (const auto& [thread, name] : names) {
    text += fmt::format(
        R"({{"name":"thread_name","ph":"M","pid":{0},"tid":{1},"args":{{"name":"{2}"}}}},)"
        R"({{"name":"thread_sort_index","ph":"M","pid":{0},"tid":{1},"args":{{"sort_index":{1}}}}},)",
        rank, thread, name);
  }
  return text;
}

std::string counter(int rank, const char* name, std::int64_t at, std::uint64_t bytes,
                    std::int64_t origin) {
  return fmt::format(R"({{"name":"{}","ph":"C","pid":{},"ts":{:.3f},"args":{{"bytes":{}}}}},)",
                     name, rank, microseconds(at, origin), bytes);
}

// What is held is so from the first event on.
std::string counters_of(int rank, const std::vector<memory_sample>& samples,
                        const memory_by_account& held, std::int64_t first, std::int64_t origin) {
  std::string text;
  for (std::size_t i = 0; i < held.size(); ++i) {
    const std::string name = fmt::format("memory: {}", name_of(static_cast<memory_account>(i)));
    text += counter(rank, name.c_str(), first, held[i], origin);
  }
  for (const memory_sample& sample : samples) {
    text +=
        counter(rank, "memory: slots in use", std::max(sample.at, first), sample.in_use, origin);
  }
  return text;
}

// This rank's events as elements of a JSON array, each with a comma behind.
std::string events_of(int rank, const trace_recorder& recorder, const partition::layout& layout,
                      const memory_by_account& held, std::int64_t origin) {
  const std::vector<slice> slices = slices_of(recorder, layout);
  const std::vector<int> tracks = tracks_of(slices);
  std::string text = threads_of(rank, slices, tracks);
  const auto& units = layout.model().units;
  for (std::size_t i = 0; i < slices.size(); ++i) {
    const slice& s = slices[i];
    const auto unit = static_cast<std::size_t>(s.unit);
    const std::string name = s.unit < 0 || unit >= units.size()
                                 ? s.verb
                                 : fmt::format("{} {}", s.verb, units[unit].name);
    fmt::format_to(std::back_inserter(text),
                   R"({{"name":{},"cat":"{}","ph":"X","pid":{},"tid":{},"ts":{:.3f},"dur":{:.3f},)"
                   R"("args":{{"unit":{}}}}},)",
                   quoted(name), s.verb, rank, thread_of(s.where, tracks[i]),
                   microseconds(s.begin, origin), microseconds(s.end, s.begin), s.unit);
  }
  const std::int64_t first = slices.empty() ? origin : slices.front().begin;
  return text + counters_of(rank, recorder.samples(), held, first, origin);
}

// Of all ranks, what was recorded first; their clocks are one where they share a host. Collective.
std::int64_t earliest(collectives::communicator& ranks, const trace_recorder& recorder) {
  std::int64_t own = std::numeric_limits<std::int64_t>::max();
  for (const trace_event& event : recorder.events()) own = std::min(own, event.begin);
  std::vector<std::int64_t> all(static_cast<std::size_t>(ranks.size()));
  collectives::call how;
  how.name = "trace";
  ranks
      .all_gather({&own, sizeof own, dtype::byte},
                  {all.data(), all.size() * sizeof own, dtype::byte}, how)
      .wait();
  return *std::min_element(all.begin(), all.end());
}

// Every rank's text, one after the other, on every rank. Collective.
std::string join_texts(collectives::communicator& ranks, std::string own) {
  const auto count = static_cast<std::size_t>(ranks.size());
  const std::uint64_t length = own.size();
  std::vector<std::uint64_t> lengths(count);
  collectives::call how;
  how.name = "trace";
  ranks
      .all_gather({&length, sizeof length, dtype::byte},
                  {lengths.data(), count * sizeof length, dtype::byte}, how)
      .wait();
  const std::uint64_t longest = *std::max_element(lengths.begin(), lengths.end());
  own.resize(longest);
  std::string all(longest * count, '\0');
  ranks.all_gather({own.data(), longest, dtype::byte}, {all.data(), all.size(), dtype::byte}, how)
      .wait();
  std::string joined;
  for (std::size_t i = 0; i < count; ++i) joined.append(all, i * longest, lengths[i]);
  return joined;
}

}  // namespace

void export_parameters(sharded_optimizer& optimizer, const trainer::gpt_config& model,
                       const std::string& path, bool is_writer) {
  if (!is_writer) {
    optimizer.stream_master([](std::size_t, std::uint64_t, span<const float>) {});
    return;
  }
  const interruption put_off;
  trainer::safetensors_writer writer(path);
  writer.add_metadata("format", "pt");
  for (const auto& unit : trainer::model_of(model, dtype::fp32).units) {
    for (const auto& parameter : unit.parameters) {
      writer.declare(parameter.name, dtype::fp32, parameter.shape);
    }
  }
  optimizer.stream_master([&writer](std::size_t, std::uint64_t, span<const float> values) {
    if (interruption::arrived()) throw error("interrupted while the parameters were written");
    writer.write({values.data(), values.size(), dtype::fp32});
  });
  writer.finish();
}

void write_trace(collectives::communicator& ranks, const trace_recorder& recorder,
                 const partition::layout& layout, const memory_by_account& held,
                 const std::string& path) {
  const std::int64_t origin = earliest(ranks, recorder);
  std::string events = join_texts(ranks, events_of(ranks.rank(), recorder, layout, held, origin));
  if (ranks.rank() != 0) return;
  if (!events.empty()) events.pop_back();  // the last comma
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  write_whole(folder, name,
              fmt::format("{{\"displayTimeUnit\":\"ms\",\"otherData\":{{\"dropped_on_rank_0\":{}}},"
                          "\"traceEvents\":[{}]}}\n",
                          recorder.dropped(), events));
}

}  // namespace zero::cli
