#include "plan_ceilings.hpp"

#include <zero/base/dtype.hpp>

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

}  // namespace

plan_ceilings ceilings_of(const planner_options& o) {
  const double on_node = ranks_on_node(o);
  const auto said = [](const std::optional<std::uint64_t>& given, double otherwise) {
    return given ? static_cast<double>(*given) : otherwise;
  };
  plan_ceilings result;
  partition::machine_ceilings& m = result.machine;
  m.all_gather = m.reduce_scatter = said(o.interconnect_bandwidth, assumed_interconnect);
  m.call_seconds = assumed_call;
  m.device_memory = assumed_device_memory;
  m.host_memory = assumed_host_memory / on_node;
  m.host_to_device = m.device_to_host = said(o.host_bandwidth, assumed_link);
  m.disk_read = said(o.nvme_bandwidth, assumed_disk_read) / on_node;
  m.disk_written = said(o.nvme_bandwidth, assumed_disk_written) / on_node;
  result.operations = said(o.flops, assumed_operations);
  const bool all = o.interconnect_bandwidth && o.host_bandwidth && o.nvme_bandwidth && o.flops;
  result.source = all ? "options; memory as assumed of an H200"
                      : "options, and what they leave out as assumed of an H200";
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
