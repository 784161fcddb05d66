// What reports say of links: with what they are measured, the arithmetic of use and overlap, and
// the table.

#include "compare/compare_report.hpp"
#include "report/link_report.hpp"
#include "report/link_table.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <sstream>
#include <string>
#include <vector>

namespace zero::cli {
namespace {

using json = nlohmann::ordered_json;

constexpr std::uint64_t mebibyte = 1U << 20;

TEST(LinkTrial, StaysInsideTheRunsOwnBytes) {
  for (const std::uint64_t host : {0ULL, 1ULL, 1ULL << 40}) {
    for (const std::uint64_t disk :
         {0ULL, 1ULL, 4095ULL, 4096ULL, 40000ULL, 9999999ULL, 1ULL << 40}) {
      for (const std::uint64_t budget : {0ULL, 1ULL, 8191ULL, 8192ULL, 100001ULL, 1ULL << 40}) {
        const link_trial plan = plan_link_trial(host, disk, budget);
        const std::uint64_t most = budget > 0 ? std::min(budget, 16 * mebibyte) : 16 * mebibyte;
        EXPECT_LE(2 * plan.memory, most);
        EXPECT_LE(plan.record * plan.records, std::min(disk, 16 * mebibyte));
        EXPECT_LE(plan.record, plan.memory);
        EXPECT_EQ(plan.record % 4096, 0U);
        EXPECT_EQ(plan.record > 0, plan.records > 0);
        EXPECT_EQ(plan.memory > 0, host + disk > 0 && (budget == 0 || budget >= 8192));
        EXPECT_EQ(plan.record > 0, plan.memory > 0 && disk >= 4096);
      }
    }
  }
}

TEST(LinkTrial, HasSeveralTransfersUnderWay) {
  const link_trial large = plan_link_trial(1ULL << 30, 1ULL << 30, 0);
  EXPECT_EQ(large.record, mebibyte);
  EXPECT_EQ(large.memory / large.record, 8U);
  EXPECT_EQ(large.records, 16U);
  const link_trial tight = plan_link_trial(1ULL << 30, 1ULL << 30, mebibyte);
  EXPECT_EQ(tight.memory, mebibyte / 2);
  EXPECT_EQ(tight.memory / tight.record, 8U);
}

// Two ranks, four steps of 2 s each.
std::vector<rank_figures> two_ranks() {
  std::vector<rank_figures> ranks(2);
  for (std::size_t r = 0; r < 2; ++r) {
    ranks[r].memory.predicted[static_cast<std::size_t>(memory_account::host)] = 1;
    tier_report& tiers = ranks[r].tiers;
    tiers.disk_read = 400 * (r + 1);
    tiers.disk_reading = 2.0;
    tiers.disk_written = 80;
    tiers.disk_writing = 1.0;
    tiers.host_to_device = 1200;
    tiers.host_to_device_reached = 400;
    tiers.copying_up = 0.5;
    tiers.moving = 4.0;
    tiers.exposed = 1.0 + 2.0 * static_cast<double>(r);
    ranks[r].ceilings = {500, 100, 4000, 3000, 0.25 + static_cast<double>(r)};
  }
  return ranks;
}
constexpr double four_steps = 8.0;  // seconds

TEST(Links, UseIsBytesOfWhatTheCeilingAllows) {
  const json links = links_json(two_ranks(), 4, four_steps);
  EXPECT_EQ(links.at("measuring_seconds"), 1.25);
  EXPECT_EQ(links.at("step_seconds"), 2.0);
  const json& second = links.at("ranks").at(1).at("disk_read");
  EXPECT_EQ(second.at("bytes"), 200);
  EXPECT_DOUBLE_EQ(second.at("busy_seconds"), 0.5);
  EXPECT_DOUBLE_EQ(second.at("rate"), 400);
  EXPECT_DOUBLE_EQ(second.at("ceiling"), 500);
  EXPECT_DOUBLE_EQ(second.at("utilisation"), 0.2);    // 200 of 1000 in 2 s
  EXPECT_DOUBLE_EQ(second.at("rate_fraction"), 0.8);  // 400 of 500
  const json& all = links.at("disk_read");
  EXPECT_EQ(all.at("bytes"), 300);
  EXPECT_DOUBLE_EQ(all.at("busy_seconds"), 0.5);
  EXPECT_DOUBLE_EQ(all.at("rate"), 600);
  EXPECT_DOUBLE_EQ(all.at("ceiling"), 1000);
  EXPECT_DOUBLE_EQ(all.at("utilisation"), 0.15);
  EXPECT_DOUBLE_EQ(all.at("rate_fraction"), 0.6);
}

TEST(Links, WhatIsReachedInPlaceHasNoRate) {
  std::vector<rank_figures> ranks = two_ranks();
  const json copied = links_json(ranks, 4, four_steps).at("ranks").at(0).at("host_to_device");
  EXPECT_EQ(copied.at("bytes"), 300);
  EXPECT_EQ(copied.at("reached"), 100);
  EXPECT_DOUBLE_EQ(copied.at("rate"), 200 / 0.125);
  ranks[0].tiers.host_to_device_reached = 1200;
  ranks[0].tiers.copying_up = 0;
  const json reached = links_json(ranks, 4, four_steps).at("ranks").at(0).at("host_to_device");
  EXPECT_EQ(reached.at("reached"), 300);
  EXPECT_TRUE(reached.at("rate").is_null());
  EXPECT_TRUE(reached.at("rate_fraction").is_null());
  EXPECT_DOUBLE_EQ(reached.at("utilisation"), 300.0 / 8000);
}

TEST(Links, OverlapIsHiddenOfWhatCouldBe) {
  const json links = links_json(two_ranks(), 4, four_steps);
  const json& first = links.at("ranks").at(0).at("overlap");  // 1 s moving, 0.25 exposed of 2
  EXPECT_DOUBLE_EQ(first.at("hideable_seconds"), 1.0);
  EXPECT_DOUBLE_EQ(first.at("hidden_seconds"), 0.75);
  EXPECT_DOUBLE_EQ(first.at("fraction"), 0.75);
  EXPECT_DOUBLE_EQ(links.at("ranks").at(1).at("overlap").at("fraction"), 0.25);
  EXPECT_DOUBLE_EQ(links.at("overlap").at("fraction"), 0.5);
  EXPECT_DOUBLE_EQ(links.at("overlap").at("hidden_seconds"), 0.5);
}

TEST(Links, OverlapIsFromNoneToAll) {
  const auto fraction = [](double moving, double exposed) {
    std::vector<rank_figures> ranks = two_ranks();
    ranks.resize(1);
    ranks[0].tiers.moving = moving;
    ranks[0].tiers.exposed = exposed;
    return links_json(ranks, 4, four_steps).at("overlap").at("fraction");
  };
  EXPECT_DOUBLE_EQ(fraction(8, 6), 1.0);  // moved all the time, computed for 2 s behind it
  EXPECT_DOUBLE_EQ(fraction(9, 0), 1.0);  // a little before and after the steps, too
  EXPECT_DOUBLE_EQ(fraction(3, 3), 0.0);  // one after the other
  EXPECT_DOUBLE_EQ(fraction(3, 4), 0.0);  // calls took longer than what they moved
  EXPECT_TRUE(fraction(0, 0).is_null());  // nothing moved
  EXPECT_TRUE(fraction(3, 8).is_null());  // nothing to hide it behind
  EXPECT_TRUE(fraction(3, 10).is_null());
}

TEST(Links, WhatWasNotMeasuredIsNull) {
  std::vector<rank_figures> ranks = two_ranks();
  ranks[1].ceilings = {};
  const json links = links_json(ranks, 4, four_steps);
  for (const char* link : {"disk_read", "disk_written", "host_to_device", "device_to_host"}) {
    for (const char* field : {"ceiling", "utilisation", "rate_fraction"}) {
      EXPECT_TRUE(links.at(link).at(field).is_null()) << link << field;
      EXPECT_TRUE(links.at("ranks").at(1).at(link).at(field).is_null()) << link << field;
    }
  }
  EXPECT_FALSE(links.at("disk_read").at("rate").is_null());
  EXPECT_FALSE(links.at("ranks").at(0).at("disk_read").at("ceiling").is_null());
  EXPECT_TRUE(links.at("device_to_host").at("rate").is_null());  // nothing went that way
  EXPECT_EQ(links.at("ranks").at(0).at("device_to_host").at("utilisation"), 0.0);
}

TEST(Links, AreNullWhereAllRestsOnTheDevice) {
  std::vector<rank_figures> ranks = two_ranks();
  for (rank_figures& rank : ranks) rank.memory = {};
  EXPECT_TRUE(links_json(ranks, 4, four_steps).is_null());
  ranks[1].memory.predicted[static_cast<std::size_t>(memory_account::disk)] = 1;
  EXPECT_FALSE(links_json(ranks, 4, four_steps).is_null());
}

TEST(LinkTable, SaysHowLongADriveLives) {
  EXPECT_EQ(format_life(0.25), "0.2 days");
  EXPECT_EQ(format_life(9.94), "9.9 days");
  EXPECT_EQ(format_life(23.4), "23 days");
  EXPECT_EQ(format_life(3652.5), "10 years");
  EXPECT_EQ(format_life(1e12), ">999 years");
}

json run_with_links(const json& links, const char* offload) {
  const bool disk = std::string(offload) == "nvme";
  return {{"stage", 3},
          {"offload", offload},
          {"links", links},
          {"disk_wear",
           {{"written_per_step", disk ? 123 : 0},
            {"written_per_day", disk ? 3.0 * (1ULL << 40) : 0.0},
            {"endurance", 250'000'000'000'000},
            {"days", disk ? json(75.79) : json()}}}};
}

TEST(LinkTable, HasARowForEachRunWithSomethingBelow) {
  const auto name = [](const json& run) { return "NAME " + run.at("offload").get<std::string>(); };
  std::vector<rank_figures> ranks = two_ranks();
  for (rank_figures& rank : ranks) rank.tiers.disk_read = 40 * mebibyte;
  json runs = json::array({run_with_links(nullptr, "none")});
  EXPECT_EQ(format_links(runs, name), "");
  EXPECT_EQ(format_links(json::array({json{{"stage", 0}}}), name), "");  // of an older version
  runs.push_back(run_with_links(links_json(ranks, 4, four_steps), "nvme"));
  for (rank_figures& rank : ranks) rank.ceilings = {};
  runs.push_back(run_with_links(links_json(ranks, 4, four_steps), "cpu"));
  const std::string table = format_links(runs, name);
  EXPECT_NE(table.find("250 TB"), std::string::npos) << table;
  std::istringstream text(table);
  std::vector<std::string> rows;
  for (std::string line; std::getline(text, line);) {
    EXPECT_LE(line.size(), 120U) << line;
    if (line.rfind("NAME", 0) == 0) rows.push_back(line);
  }
  ASSERT_EQ(rows.size(), 2U) << table;
  for (const char* part : {"NAME nvme", "20.00", "10 %", "50 %", "3.00 TiB", "76 days"}) {
    EXPECT_NE(rows[0].find(part), std::string::npos) << part << " in " << rows[0];
  }
  EXPECT_NE(rows[1].find("NAME cpu"), std::string::npos);
  EXPECT_EQ(rows[1].find("days"), std::string::npos) << rows[1];
  EXPECT_NE(rows[1].find("        -         -    50 %"), std::string::npos) << rows[1];
}

}  // namespace
}  // namespace zero::cli
