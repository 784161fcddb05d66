#include "compare/compare_report.hpp"

#include "report/link_table.hpp"
#include "train/sharding_choice.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

namespace zero::cli {
namespace {

using json = nlohmann::ordered_json;

// JSON has no word for what is not finite; it says null.
double number(const json& value) { return value.is_number() ? value.get<double>() : NAN; }

void compare_memory(const json& run, std::vector<std::string>& found) {
  const json& memory = run.at("memory");
  if (memory.size() != run.at("ranks").get<std::size_t>()) {
    found.push_back(fmt::format("{}: memory of {} ranks reported, not of {}", name_of_run(run),
                                memory.size(), run.at("ranks").get<int>()));
  }
  for (const json& rank : memory) {
    for (const auto& [account, predicted] : rank.at("predicted").items()) {
      const json& measured = rank.at("measured").at(account);
      if (measured == predicted) continue;
      found.push_back(fmt::format("{}, rank {}: {} predicted {} bytes, measured {}",
                                  name_of_run(run), rank.at("rank").get<int>(), account,
                                  predicted.dump(), measured.dump()));
    }
  }
}

// Bytes a step that rank 0 moved.
double moved(const json& run) {
  const json& first = run.at("communication").at(0);
  return number(first.at("all_gather")) + number(first.at("reduce_scatter")) +
         number(first.at("all_reduce")) + number(first.value("all_to_all", json(0)));
}

// In five characters up to 99999.
std::string in_column(double value) {
  return fmt::format("{:.{}f}", value, value < 99.995 ? 2 : value < 999.95 ? 1 : 0);
}

// "predicted|measured" in MiB, of the rank that holds most.
std::string memory_cell(const json& run, const char* account) {
  constexpr double mebibyte = 1U << 20;
  double predicted = 0;
  double measured = -1;
  for (const json& rank : run.at("memory")) {
    const double bytes = number(rank.at("measured").at(account));
    if (bytes <= measured) continue;
    measured = bytes;
    predicted = number(rank.at("predicted").at(account));
  }
  return fmt::format("{}|{}", in_column(predicted / mebibyte), in_column(measured / mebibyte));
}

}  // namespace

namespace {

// Reports of before there were other rows have the stage alone.
std::string policy_of_run(const json& run) {
  return run.value("policy", fmt::to_string(run.at("stage").get<int>()));
}

int gather_bits(const json& run) { return run.value("quantize_gather", 0); }

// A run that gathers its parameters in codes computes with other values than one that does not.
const json& comparable_run(const json& runs, const json& to) {
  return *std::find_if(runs.begin(), runs.end(),
                       [&](const json& run) { return gather_bits(run) == gather_bits(to); });
}

// "3", "hybrid/2".
std::string stage_cell(const json& run) {
  const json group = run.value("shard_group", json());
  return policy_of_run(run) + (group.is_null() ? "" : fmt::format("/{}", group.get<int>()));
}

std::string name_of_row(const json& run) {
  return fmt::format("{:>9} {:>7}", stage_cell(run), run.at("offload").get<std::string>());
}

}  // namespace

std::string name_of_run(const json& run) {
  const auto offload = run.at("offload").get<std::string>();
  const json group = run.value("shard_group", json());
  const std::string stage =
      describe_policy(policy_of_run(run)) +
      (group.is_null() ? "" : fmt::format(" in groups of {}", group.get<int>()));
  return offload == "none" ? stage : fmt::format("{}, offload {}", stage, offload);
}

std::string describe_text(const json& text) {
  const std::size_t files = text.at("files").size();
  return fmt::format("Text: {} bytes{}, SHA-256 {}", text.at("bytes").get<std::uint64_t>(),
                     files == 0 ? "" : fmt::format(" in {} file{}", files, files == 1 ? "" : "s"),
                     text.at("sha256").get<std::string>());
}

std::vector<std::string> differences(const json& runs) {
  std::vector<std::string> found;
  for (const json& run : runs) {
    const json& first = comparable_run(runs, run);
    const json& own = run.at("parameters_digest");
    const json& expected = first.at("parameters_digest");
    if (!own.is_string()) {
      found.push_back(fmt::format("{}: no digest of its parameters", name_of_run(run)));
    } else if (expected.is_string() && own != expected) {
      found.push_back(fmt::format("{}: parameters {} are not {} of {}", name_of_run(run),
                                  own.get<std::string>(), expected.get<std::string>(),
                                  name_of_run(first)));
    }
    compare_memory(run, found);
  }
  return found;
}

std::string count_of_equal(const json& runs) {
  const auto text = [](std::ptrdiff_t n) { return fmt::format("{} run{}", n, n == 1 ? "" : "s"); };
  const auto coded =
      std::count_if(runs.begin(), runs.end(), [](const json& run) { return gather_bits(run) > 0; });
  const auto plain = static_cast<std::ptrdiff_t>(runs.size()) - coded;
  if (coded == 0 || plain == 0) return text(plain + coded);
  return fmt::format("{}, and in {} that gathered them in codes", text(plain), text(coded));
}

std::string format_table(const json& runs) {
  std::string text =
      fmt::format("{:>9} {:>7} {:>11} {:>10} {:>10} {:>11}  {}\n", "stage", "offload", "final loss",
                  "step", "tokens/s", "comm/step", "parameters");
  for (const json& run : runs) {
    const json& losses = run.at("losses");
    text += fmt::format("{} {:>11.6f} {:>7.1f} ms {:>10.1f} {:>7.2f} MiB  {}\n", name_of_row(run),
                        losses.empty() ? NAN : number(losses.back()),
                        1e3 * number(run.at("step_seconds").at("median")),
                        number(run.at("tokens_per_second")), moved(run) / (1U << 20),
                        run.at("parameters_digest").get<std::string>());
  }
  constexpr std::array<const char*, 7> accounts{"parameters", "gradients", "optimizer", "buffers",
                                                "host",       "peak",      "disk"};
  text += "\nMiB of the rank that holds most, predicted|measured\n";
  text += fmt::format("{:>9} {:>7}", "stage", "offload");
  for (const char* account : accounts) text += fmt::format(" {:>13}", account);
  text += "\n";
  for (const json& run : runs) {
    text += name_of_row(run);
    for (const char* account : accounts) text += fmt::format(" {:>13}", memory_cell(run, account));
    text += "\n";
  }
  return text + format_links(runs, name_of_row);
}

}  // namespace zero::cli
