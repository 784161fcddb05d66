// handshake: before anything else ranks compare what they are about to do. Each describes its
// version, options and parameters as lines; digests are compared, and only when they differ is
// one line exchanged: the first at which the minority departs.

#include "plan_options.hpp"

#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>
#include <zero/base/hash.hpp>
#include <zero/base/majority.hpp>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace zero {
namespace {

using lines = std::vector<std::string>;

// Every digit that distinguishes two doubles, no more than it takes.
std::string exact(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.17g", value);
  return text;
}

std::string line(const char* name, double value) {
  return std::string(name) + " = " + exact(value);
}

// Checkpoints and shared memory are bytes as a machine has them.
std::string order_of_bytes() {
  const std::uint16_t one = 1;
  unsigned char first = 0;
  std::memcpy(&first, &one, 1);
  return std::string("order of bytes = ") + (first == 1 ? "little-endian" : "big-endian");
}

void describe(const engine_options& o, lines& out) {
  const auto sharded = [&](const char* what, partition::sharded_over over) {
    out.push_back(std::string(what) + " sharded over = " + partition::name_of(over));
  };
  sharded("parameters", o.policy.parameters);
  sharded("gradients", o.policy.gradients);
  sharded("optimizer", o.policy.optimizer);
  out.push_back(line("secondary parameters", o.policy.secondary_parameters));
  out.push_back(line("ranks of a group", has_groups(o.policy) ? o.policy.group_size : 0));
  out.push_back(line("gradient storage fp32", o.gradients == gradient_storage::fp32));
  out.push_back(std::string("algorithm = ") +
                (o.own_states < 0 ? optim::name_of(o.algorithm) : "the client's own"));
  out.push_back(line("states of the rule", rule_states(o)));
  out.push_back(line("extra states", o.extra_states));
  out.push_back(line("gradient divisor", o.gradient_divisor));
  for (std::size_t i = 0; i < o.groups.size(); ++i) {
    const optim::hyper& h = o.groups[i].constants;
    const std::pair<const char*, double> values[] = {
        {"weight decay", h.weight_decay},
        {"beta1", h.beta1},
        {"beta2", h.beta2},
        {"epsilon", h.epsilon},
        {"momentum", h.momentum},
        {"factor of the rate", o.groups[i].learning_rate_factor},
        {"nesterov", h.nesterov ? 1 : 0}};
    for (const auto& [name, value] : values) {
      out.push_back("group " + std::to_string(i) + " " + name + " = " + exact(value));
    }
  }
  out.push_back(std::string("optimizer states in ") + name_of(o.formats.states));
  out.push_back(std::string("master weights in ") + name_of(o.formats.master));
  out.push_back("seed of rounding = " + std::to_string(o.rounding_seed));
  out.push_back(line("clip norm", o.clip_norm));
  out.push_back(
      line("gradients that are not finite are applied", o.non_finite == non_finite::apply));
  out.push_back(line("initial loss scale", o.loss_scale.initial));
  out.push_back(line("dynamic loss scale", o.loss_scale.dynamic));
  out.push_back(line("loss scale growth", o.loss_scale.growth));
  out.push_back(line("loss scale backoff", o.loss_scale.backoff));
  out.push_back(line("loss scale growth interval", o.loss_scale.growth_interval));
  out.push_back(line("loss scale hysteresis", o.loss_scale.hysteresis));
  out.push_back(line("loss scale minimum", o.loss_scale.minimum));
  out.push_back(line("loss scale maximum", o.loss_scale.maximum));
  out.push_back(line("accumulate", o.accumulate));
  out.push_back(line("reduce at boundary", o.reduction == reduce_at::boundary));
  out.push_back(line("whole-parameter layout", o.layout == partition::layout_kind::whole));
  out.push_back("resident bytes = " + std::to_string(o.resident_bytes));
  out.push_back(line("bits of gathered parameters", o.quantized_gather));
  out.push_back(line("bits of reduced gradients", o.quantized_reduce));
  out.push_back(line("ranks of a node", o.quantized_reduce > 0 ? o.node_ranks : 0));
  out.push_back(std::string("optimizer states on = ") + name_of(o.tiers.optimizer));
  out.push_back(std::string("gradients on = ") +
                (o.tiers.gradients ? name_of(*o.tiers.gradients) : "the optimizer's"));
  out.push_back(std::string("parameters on = ") + name_of(o.tiers.parameters));
  out.push_back(line("share of the optimizer offloaded", o.tiers.optimizer_ratio));
  out.push_back("elements of a cell = " + std::to_string(o.tiers.cell_elements));
  out.push_back(line("cells under way", o.tiers.depth));
  out.push_back(line("prefetch", o.prefetch));
  out.push_back(line("stable addressing", o.addressing == addressing::stable));
  out.push_back(std::string("directory of the disk is ") +
                (o.disk_directory.empty() ? "not given" : "given"));
  std::string order = "forward order =";
  for (const int unit : o.forward_order) order += " " + std::to_string(unit);
  out.push_back(order);
}

void describe(const partition::layout& layout, lines& out) {
  std::size_t index = 0;
  for (const partition::unit_spec& unit : layout.model().units) {
    out.push_back("unit '" + unit.name + "'");
    for (const partition::parameter_spec& p : unit.parameters) {
      std::string text = "parameter " + std::to_string(index++) + " = '" + p.name + "' [";
      for (std::size_t i = 0; i < p.shape.size(); ++i) {
        text += (i > 0 ? ", " : "") + std::to_string(p.shape[i]);
      }
      text += std::string("] ") + name_of(p.type) + (p.trainable ? "" : " frozen") + " group " +
              std::to_string(p.group) + " in unit '" + unit.name + "'";
      if (!p.tied_to.empty()) text += " tied to '" + p.tied_to + "'";
      out.push_back(text);
    }
  }
  out.push_back("end of parameters, " + std::to_string(index));
}

// Gathers one record of equal size from every rank.
template <typename T>
std::vector<T> gather_records(collectives::communicator& ranks, const T& own) {
  static_assert(std::is_trivially_copyable_v<T>);
  std::vector<T> all(static_cast<std::size_t>(ranks.size()));
  collectives::call how;
  how.name = "handshake";
  ranks
      .all_gather({&own, sizeof(T), dtype::byte}, {all.data(), sizeof(T) * all.size(), dtype::byte},
                  how)
      .wait();
  return all;
}

// A line as it travels; longer ones are cut, which is enough to be recognised.
struct sent_line {
  char text[500];
};

std::string exchange_lines(collectives::communicator& ranks, const lines& own, std::size_t index,
                           int of_rank) {
  sent_line sent{};
  const std::string& text = index < own.size() ? own[index] : std::string("nothing");
  std::strncpy(sent.text, text.c_str(), sizeof sent.text - 1);
  return gather_records(ranks, sent)[static_cast<std::size_t>(of_rank)].text;
}

digest128 prefix_digest(const lines& all, std::size_t count) {
  hash128 hash;
  for (std::size_t i = 0; i < std::min(count, all.size()); ++i) hash.update(all[i]);
  return hash.digest();
}

// The first line in which two ranks differ, by halving; every rank takes part in every round.
std::size_t first_difference(collectives::communicator& ranks, const lines& own, int a, int b) {
  const auto lengths = gather_records(ranks, static_cast<std::uint64_t>(own.size()));
  std::size_t same = 0;
  std::size_t differ = *std::max_element(lengths.begin(), lengths.end());
  while (differ - same > 1) {
    const std::size_t middle = same + (differ - same) / 2;
    const auto digests = gather_records(ranks, prefix_digest(own, middle));
    const bool equal = digests[static_cast<std::size_t>(a)] == digests[static_cast<std::size_t>(b)];
    (equal ? same : differ) = middle;
  }
  return same;
}

}  // namespace

void handshake(collectives::communicator& ranks, const partition::layout& layout,
               const engine_options& options) {
  if (ranks.size() == 1) return;
  lines own{std::string("libzero ") + ZERO_VERSION, order_of_bytes()};
  describe(options, own);
  describe(layout, own);
  const auto digests = gather_records(ranks, prefix_digest(own, own.size()));

  const auto [majority_rank, minority] = majority_of(digests);
  if (minority.empty()) return;

  const std::size_t at = first_difference(ranks, own, majority_rank, minority.front());
  const std::string theirs = exchange_lines(ranks, own, at, minority.front());
  const std::string ours = exchange_lines(ranks, own, at, majority_rank);
  const std::string why = "[engine.handshake] rank" +
                          std::string(minority.size() > 1 ? "s " : " ") + format_ranks(minority) +
                          " differ from rank " + std::to_string(majority_rank) + ": " + theirs +
                          " on rank " + std::to_string(minority.front()) + ", " + ours +
                          " on rank " + std::to_string(majority_rank);
  ranks.record_failure(why);
  throw desync(why, minority);
}

}  // namespace zero
