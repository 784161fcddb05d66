// Memory and times, as a struct and as JSON.

#include "handle.hpp"
#include "settings.hpp"

#include <zero/base/error.hpp>

#include <nlohmann/json.hpp>

#include <string>

namespace zero::client {
namespace {

zero_memory_by_class by_class(const memory_by_account& bytes, std::uint64_t peak) {
  const auto of = [&](memory_account account) { return bytes[static_cast<std::size_t>(account)]; };
  zero_memory_by_class out{};
  out.parameters = of(memory_account::parameters);
  out.gradients = of(memory_account::gradients);
  out.optimizer = of(memory_account::optimizer);
  out.buffers = of(memory_account::buffers);
  out.host = of(memory_account::host);
  out.disk = of(memory_account::disk);
  out.peak = peak;
  return out;
}

zero_memory memory_of(const zero_optimizer& z) {
  zero_memory now{};
  now.struct_size = sizeof now;
  if (z.committed()) {
    const memory_report report = z.at_work.engine->memory();
    now.predicted = by_class(report.predicted, report.predicted_peak);
    now.measured = by_class(report.measured, report.measured_peak);
  }
  now.client_parameters = z.counts[ZERO_PARAMETERS].now();
  now.client_parameters_peak = z.counts[ZERO_PARAMETERS].peak();
  now.client_gradients = z.counts[ZERO_GRADIENTS].now();
  now.client_gradients_peak = z.counts[ZERO_GRADIENTS].peak();
  return now;
}

using json = nlohmann::ordered_json;

json as_json(const zero_memory_by_class& bytes) {
  return {{"parameters", bytes.parameters},
          {"gradients", bytes.gradients},
          {"optimizer", bytes.optimizer},
          {"buffers", bytes.buffers},
          {"host", bytes.host},
          {"disk", bytes.disk},
          {"peak", bytes.peak}};
}

double microseconds(std::uint64_t nanoseconds) { return 1e-3 * static_cast<double>(nanoseconds); }

json as_json(const visit_cost& cost) {
  return {{"count", cost.count}, {"host_microseconds", microseconds(cost.nanoseconds)}};
}

// What it took that pages of the client's ranges come and go; null where they do not.
json as_json(const std::unique_ptr<granule_pool>& pool) {
  if (!pool) return nullptr;
  const mapping_cost& cost = pool->cost();
  return {{"granule", pool->granule()},
          {"mapped_bytes", cost.mapped_bytes},
          {"map_microseconds", microseconds(cost.map_nanoseconds)},
          {"unmapped_bytes", cost.unmapped_bytes},
          {"unmap_microseconds", microseconds(cost.unmap_nanoseconds)},
          {"waits", cost.waits}};
}

std::string report(const zero_optimizer& z) {
  const zero_memory memory = memory_of(z);
  json out;
  out["schema"] = "zero.memory/1";
  out["version"] = zero_version_string();
  out["rank"] = z.reach().rank();
  out["size"] = z.reach().size();
  out["stage"] = z.config.stage;
  out["memory"]["predicted"] = as_json(memory.predicted);
  out["memory"]["measured"] = as_json(memory.measured);
  out["memory"]["client"] = {{"parameters", memory.client_parameters},
                             {"parameters_peak", memory.client_parameters_peak},
                             {"gradients", memory.client_gradients},
                             {"gradients_peak", memory.client_gradients_peak}};
  out["device"] = z.config.device;
  out["mapping"] = {{"parameters", as_json(z.pools[ZERO_PARAMETERS])},
                    {"gradients", as_json(z.pools[ZERO_GRADIENTS])}};
  out["units"] = {{"begins", as_json(z.at_work.begins)}, {"ends", as_json(z.at_work.ends)}};
  json& seconds = out["seconds_by_phase"] = json::object();
  if (!z.committed()) return out.dump(2);
  const seconds_by_phase spent = z.at_work.engine->seconds();
  for (std::size_t i = 0; i < spent.size(); ++i) {
    const auto verb = static_cast<phase>(i);
    if (verb != phase::compute) seconds[name_of(verb)] = spent[i];  // that is the client's
  }
  const schedule_report kept = z.at_work.engine->schedule();
  out["schedule"] = {{"gathers", kept.gathers},
                     {"prefetched", kept.prefetched},
                     {"on_demand", kept.on_demand},
                     {"early", kept.early}};
  return out.dump(2);
}

}  // namespace
}  // namespace zero::client

zero_status zero_get_memory(zero_optimizer* z, zero_memory* out) {
  if (z == nullptr) return ZERO_INVALID;
  return z->gate.question("get_memory", [&] {
    const zero_memory now = zero::client::memory_of(*z);
    zero::client::write_sized(&now, sizeof now, out, "get_memory");
  });
}

const char* zero_report_json(zero_optimizer* z) {
  if (z == nullptr) return nullptr;
  const zero_status status =
      z->gate.question("report_json", [&] { z->report = zero::client::report(*z); });
  return status == ZERO_OK ? z->report.c_str() : nullptr;
}
