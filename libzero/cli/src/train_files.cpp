#include "train_files.hpp"

#include "interruption.hpp"
#include "output_folder.hpp"
#include "trainer/gpt_model.hpp"
#include "trainer/safetensors_writer.hpp"

#include <zero/base/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace zero::cli {
namespace {

// This rank's events as elements of a JSON array, each with a comma behind.
std::string events_of(int rank, const trace_recorder& recorder) {
  std::string text = fmt::format(
      R"({{"name":"process_name","ph":"M","pid":{0},"args":{{"name":"rank {0}"}}}},)", rank);
  for (const lane each : {lane::compute, lane::communication, lane::copy_in, lane::copy_out}) {
    text += fmt::format(
        R"({{"name":"thread_name","ph":"M","pid":{},"tid":{},"args":{{"name":"{}"}}}},)", rank,
        static_cast<int>(each), name_of(each));
  }
  for (const trace_event& event : recorder.events()) {
    fmt::format_to(std::back_inserter(text),
                   R"({{"name":"{}","ph":"X","pid":{},"tid":{},"ts":{:.3f},"dur":{:.3f},)"
                   R"("args":{{"unit":{}}}}},)",
                   event.name, rank, static_cast<int>(event.where),
                   1e-3 * static_cast<double>(event.begin),
                   1e-3 * static_cast<double>(event.end - event.begin), event.unit);
  }
  return text;
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
                 const std::string& path) {
  std::string events = join_texts(ranks, events_of(ranks.rank(), recorder));
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
