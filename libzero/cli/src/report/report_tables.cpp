// The tables of a report.

#include "report/report_cells.hpp"

#include <fmt/format.h>

#include <array>

namespace zero::cli {
namespace {

using json = nlohmann::ordered_json;

struct run_place {
  std::size_t file;
  std::size_t run;
};

std::vector<run_place> all_runs(const std::vector<report_source>& sources) {
  std::vector<run_place> places;
  for (std::size_t file = 0; file < sources.size(); ++file) {
    const std::size_t count = sources[file].report.at("runs").size();
    for (std::size_t run = 0; run < count; ++run) places.push_back({file, run});
  }
  return places;
}

std::string of_run(const run_place& place, const std::string& below) {
  return fmt::format("/runs/{}{}", place.run, below);
}

std::string table(const std::string& title, const std::string& note, const std::string& columns,
                  const std::string& rows) {
  return fmt::format(
      "<section>\n<h2>{}</h2>\n<p>{}</p>\n<div class=\"wide\"><table>\n<thead><tr><th "
      "scope=\"col\">run</th>{}</tr></thead>\n<tbody>\n{}</tbody></table></div>\n</section>\n",
      title, note, columns, rows);
}

template <typename Names>
std::string heads(const Names& names) {
  std::string text;
  for (const char* name : names) text += fmt::format("<th scope=\"col\">{}</th>", name);
  return text;
}

// Of the ranks, the one with the largest value there.
std::size_t rank_with_most(const report_cells& cells, const run_place& place,
                           const std::string& array, const std::string& below) {
  std::size_t most = 0;
  double highest = -1;
  const std::size_t count = cells.at(place.file, of_run(place, array)).size();
  for (std::size_t rank = 0; rank < count; ++rank) {
    const json& found =
        cells.at(place.file, of_run(place, fmt::format("{}/{}{}", array, rank, below)));
    if (!found.is_number() || found.get<double>() <= highest) continue;
    highest = found.get<double>();
    most = rank;
  }
  return most;
}

std::string table_of_runs(const report_cells& cells, const std::vector<run_place>& runs) {
  std::string rows;
  for (const run_place& r : runs) {
    const std::size_t steps = cells.at(r.file, of_run(r, "/losses")).size();
    rows += "<tr>" + cells.name_cell(r.file, r.run);
    rows +=
        cells.cell(r.file, of_run(r, fmt::format("/losses/{}", steps > 0 ? steps - 1 : 0)), 1, 6);
    rows += cells.cell(r.file, of_run(r, "/step_seconds/median"), milliseconds, 1);
    rows += cells.cell(r.file, of_run(r, "/step_seconds/min"), milliseconds, 1);
    rows += cells.cell(r.file, of_run(r, "/step_seconds/max"), milliseconds, 1);
    rows += cells.cell(r.file, of_run(r, "/tokens_per_second"), 1, 1);
    rows +=
        "<td class=\"digest\">" + cells.value(r.file, of_run(r, "/parameters_digest")) + "</td>";
    rows += "</tr>\n";
  }
  constexpr std::array columns{"final loss", "step, median ms", "min ms",
                               "max ms",     "tokens/s",        "digest of the parameters"};
  return table("Runs", "One row a run; equal digests are equal parameters, bit for bit.",
               heads(columns), rows);
}

std::string table_of_memory(const report_cells& cells, const std::vector<run_place>& runs) {
  constexpr std::array accounts{"parameters", "gradients", "optimizer", "buffers",
                                "host",       "peak",      "disk"};
  std::string rows;
  for (const run_place& r : runs) {
    rows += "<tr>" + cells.name_cell(r.file, r.run);
    for (const char* account : accounts) {
      const std::size_t rank =
          rank_with_most(cells, r, "/memory", fmt::format("/measured/{}", account));
      const std::string entry = of_run(r, fmt::format("/memory/{}", rank));
      rows += "<td>" +
              cells.value(r.file, fmt::format("{}/measured/{}", entry, account), per_mebibyte, 2) +
              "<br><small>" +
              cells.value(r.file, fmt::format("{}/predicted/{}", entry, account), per_mebibyte, 2) +
              "</small></td>";
    }
    for (const char* own : {"activations", "process_rss_peak"}) {
      const std::size_t rank =
          rank_with_most(cells, r, "/memory", fmt::format("/measured/{}", own));
      rows += cells.cell(r.file, of_run(r, fmt::format("/memory/{}/measured/{}", rank, own)),
                         per_mebibyte, 2);
    }
    rows += "</tr>\n";
  }
  return table("Memory of a rank, MiB",
               "Of the rank that holds most. Above what was measured, below what was predicted "
               "before it began. Peak is the highest sum of one instant, without the disk; "
               "activations are the trainer's own.",
               heads(accounts) + heads(std::array{"activations", "process"}), rows);
}

std::string table_of_traffic(const report_cells& cells, const std::vector<run_place>& runs) {
  constexpr std::array between{"all_gather", "reduce_scatter", "all_reduce", "all_to_all"};
  constexpr std::array tiers{"host_to_device", "device_to_host", "disk_read", "disk_written"};
  std::string rows;
  for (const run_place& r : runs) {
    rows += "<tr>" + cells.name_cell(r.file, r.run);
    const auto most = [&](const char* array, const char* field) {
      const std::size_t rank = rank_with_most(cells, r, array, fmt::format("/{}", field));
      return cells.cell(r.file, of_run(r, fmt::format("{}/{}/{}", array, rank, field)),
                        per_mebibyte, 2);
    };
    for (const char* field : between) rows += most("/communication", field);
    for (const char* field : tiers) rows += most("/offload_io", field);
    rows += cells.cell(r.file, of_run(r, "/links/disk_read/utilisation"), percent, 0);
    rows += cells.cell(r.file, of_run(r, "/links/disk_written/utilisation"), percent, 0);
    const json& written = cells.at(r.file, of_run(r, "/disk_wear/written_per_step"));
    const bool writes = written.is_number() && written.get<double>() > 0;
    rows += writes ? cells.cell(r.file, of_run(r, "/disk_wear/days"), 1, 1) : "<td>–</td>";
    rows += "</tr>\n";
  }
  constexpr std::array columns{"all-gather",  "reduce-scatter", "all-reduce",    "all-to-all",
                               "to device",   "to host",        "from disk",     "to disk",
                               "read use, %", "write use, %",   "worn out, days"};
  return table(
      "Bytes on every link, MiB a step",
      "Of the rank that moves most. Use: the part that a step took of what the disk can do, "
      "as measured at the start. Worn out: when a drive has taken what its maker warrants, "
      "of training without a pause.",
      heads(columns), rows);
}

std::string table_of_seconds(const report_cells& cells, const std::vector<run_place>& runs) {
  constexpr std::array parts{"compute", "own_work", "exposed_communication", "exposed_io", "all"};
  constexpr std::array lanes{"communication", "copy in", "copy out"};
  std::string rows;
  for (const run_place& r : runs) {
    rows += "<tr>" + cells.name_cell(r.file, r.run);
    for (const char* part : parts) {
      rows +=
          cells.cell(r.file, of_run(r, fmt::format("/seconds_of_step/{}", part)), milliseconds, 2);
    }
    rows += cells.cell(r.file, of_run(r, "/links/overlap/fraction"), percent, 0);
    for (const char* lane : lanes) {
      rows += cells.cell(r.file, of_run(r, fmt::format("/timeline/overlap/{}/fraction", lane)),
                         percent, 0);
    }
    rows += "</tr>\n";
  }
  constexpr std::array columns{"compute",
                               "own work",
                               "exposed communication",
                               "exposed I/O",
                               "step",
                               "moving hidden, %",
                               "communication hidden, %",
                               "copies in hidden, %",
                               "copies out hidden, %"};
  return table(
      "Where a step's time went, ms",
      "Means over all steps, of the first rank. Own work is what the verbs did themselves, "
      "updates above all. Moving hidden: over all steps and ranks, of the moving between "
      "tiers that could go on behind computing, the part that did. The last three are of "
      "the one step in its timeline: of the time a lane was busy, the part in which the "
      "rank computed.",
      heads(columns), rows);
}

}  // namespace

std::string report_tables(const std::vector<report_source>& sources) {
  const report_cells cells(sources);
  const std::vector<run_place> runs = all_runs(sources);
  return table_of_runs(cells, runs) + table_of_memory(cells, runs) + table_of_traffic(cells, runs) +
         table_of_seconds(cells, runs);
}

}  // namespace zero::cli
