#include "plan/plan_ceilings.hpp"

#include <fmt/format.h>

namespace zero::cli {
namespace {

// Measured on eight H200 by others: products of bf16, rings of NCCL, PCIe, eight disks of a node.
constexpr double assumed_operations = 790e12;
constexpr double assumed_interconnect = 360e9;
constexpr double assumed_call = 10e-6;
constexpr double assumed_device_memory = 4.3e12;
constexpr double assumed_host_memory = 300e9;  // of a node
constexpr double assumed_link = 55e9;
constexpr double assumed_disk_read = 48e9;  // of a node
constexpr double assumed_disk_written = 26e9;

plan_ceilings as_assumed(double on_node) {
  plan_ceilings result;
  partition::machine_ceilings& m = result.machine;
  m.all_gather = m.reduce_scatter = assumed_interconnect;
  m.call_seconds = assumed_call;
  m.device_memory = assumed_device_memory;
  m.host_memory = assumed_host_memory / on_node;
  m.host_to_device = m.device_to_host = assumed_link;
  m.disk_read = assumed_disk_read / on_node;
  m.disk_written = assumed_disk_written / on_node;
  result.operations = assumed_operations;
  result.source = "as assumed of a GPU like the H200 for each rank";
  return result;
}

plan_ceilings as_measured(const machine_record& record) {
  plan_ceilings result;
  const measured_machine& found = record.measured;
  partition::machine_ceilings& m = result.machine;
  m.all_gather = found.all_gather;
  m.reduce_scatter = found.reduce_scatter;
  m.call_seconds = found.call_seconds;
  m.device_memory = found.memory_update;
  m.host_memory = found.host_update;
  m.host_to_device = found.host_to_device;
  m.device_to_host = found.device_to_host;
  m.disk_read = found.disk_read;
  m.disk_written = found.disk_written;
  m.disk_both = found.disk_both;
  result.operations = found.matrix;
  result.measured = record;
  result.source =
      fmt::format("as measured with {} rank{}", record.ranks, record.ranks == 1 ? "" : "s");
  return result;
}

}  // namespace

plan_ceilings ceilings_of(const planner_options& o, const std::optional<machine_record>& measured) {
  plan_ceilings result = measured ? as_measured(*measured) : as_assumed(ranks_on_node(o));
  partition::machine_ceilings& m = result.machine;
  const auto said = [](const std::optional<std::uint64_t>& given, double& rate) {
    if (given) rate = static_cast<double>(*given);
  };
  said(o.interconnect_bandwidth, m.all_gather);
  said(o.interconnect_bandwidth, m.reduce_scatter);
  said(o.host_bandwidth, m.host_to_device);
  said(o.host_bandwidth, m.device_to_host);
  said(o.flops, result.operations);
  if (o.flops && result.measured) result.measured.reset();  // with the passes it had
  if (o.nvme_bandwidth) {
    m.disk_read = m.disk_written = static_cast<double>(*o.nvme_bandwidth) / ranks_on_node(o);
    m.disk_both = 0;
  }
  m.one_processor = o.run.training.device == compute_device::cpu && measured.has_value();
  if (o.interconnect_bandwidth || o.host_bandwidth || o.nvme_bandwidth || o.flops) {
    result.source = "by the options, and what they leave out " + result.source;
  }
  return result;
}

nlohmann::ordered_json describe(const plan_ceilings& c) {
  const auto known = [](double rate) {
    return rate > 0 ? nlohmann::ordered_json(rate) : nlohmann::ordered_json();
  };
  return {{"source", c.source},
          {"operations", known(c.operations)},
          {"all_gather", known(c.machine.all_gather)},
          {"reduce_scatter", known(c.machine.reduce_scatter)},
          {"call_seconds", c.machine.call_seconds},
          {"device_memory", known(c.machine.device_memory)},
          {"host_memory", known(c.machine.host_memory)},
          {"host_to_device", known(c.machine.host_to_device)},
          {"device_to_host", known(c.machine.device_to_host)},
          {"disk_read", known(c.machine.disk_read)},
          {"disk_written", known(c.machine.disk_written)},
          {"disk_both", known(c.machine.disk_both)},
          {"one_processor", c.machine.one_processor}};
}

}  // namespace zero::cli
