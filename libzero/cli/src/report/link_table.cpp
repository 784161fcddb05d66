#include "report/link_table.hpp"

#include <zero/base/bytes.hpp>

#include <fmt/format.h>

#include <cstdint>

namespace zero::cli {
namespace {

using json = nlohmann::ordered_json;

constexpr double mebibyte = 1U << 20;

bool has_links(const json& run) { return run.contains("links") && !run.at("links").is_null(); }

std::string mebibytes(const json& link) {
  return fmt::format("{:.2f}", link.at("bytes").get<double>() / mebibyte);
}

std::string percent(const json& fraction) {
  return fraction.is_null() ? "-" : fmt::format("{:.0f} %", 1e2 * fraction.get<double>());
}

std::string row(const std::string& name, const json& run) {
  const json& links = run.at("links");
  const json& wear = run.at("disk_wear");
  const bool writes = wear.at("written_per_step").get<std::uint64_t>() > 0;
  const auto a_day = wear.at("written_per_day").get<double>();
  return fmt::format("{} {:>10} {:>10} {:>10} {:>10} {:>8} {:>9} {:>7} {:>11} {:>10}\n", name,
                     mebibytes(links.at("host_to_device")), mebibytes(links.at("device_to_host")),
                     mebibytes(links.at("disk_read")), mebibytes(links.at("disk_written")),
                     percent(links.at("disk_read").at("utilisation")),
                     percent(links.at("disk_written").at("utilisation")),
                     percent(links.at("overlap").at("fraction")),
                     writes ? format_bytes(static_cast<std::uint64_t>(a_day)) : "-",
                     writes ? format_life(wear.at("days").get<double>()) : "-");
}

}  // namespace

std::string format_life(double days) {
  constexpr double days_of_year = 365.25;
  const double years = days / days_of_year;
  if (days < 10) return fmt::format("{:.1f} days", days);
  if (years < 2) return fmt::format("{:.0f} days", days);
  if (years < 999) return fmt::format("{:.0f} years", years);
  return ">999 years";
}

std::string format_links(const json& runs, row_name name_of_row) {
  std::string rows;
  double endurance = 0;
  for (const json& run : runs) {
    if (!has_links(run)) continue;
    rows += row(name_of_row(run), run);
    endurance = run.at("disk_wear").at("endurance").get<double>();
  }
  if (rows.empty()) return "";
  return fmt::format(
      "\nBetween tiers, MiB a step of all ranks. Read use, write use: the part that a step took of "
      "what\n"
      "the disk can do, as measured at the start. Hidden: of the moving that could go on behind\n"
      "computing, the part that did. Worn out: when a drive has taken {:.4g} TB (--nvme-endurance) "
      "of\n"
      "training without a pause.\n"
      "{:>9} {:>7} {:>10} {:>10} {:>10} {:>10} {:>8} {:>9} {:>7} {:>11} {:>10}\n{}",
      endurance / 1e12, "stage", "offload", "to device", "to host", "from disk", "to disk",
      "read use", "write use", "hidden", "written/day", "worn out", rows);
}

}  // namespace zero::cli
