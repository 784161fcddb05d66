// Attaching: ranges, segments, groups, and the commit that makes an engine of them.

#include "agreement.hpp"
#include "device_range.hpp"
#include "handle.hpp"
#include "settings.hpp"

#include <zero/base/error.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

namespace zero::client {
namespace {

own_memory memory_of(const zero_optimizer& z) {
  return {z.ranges[ZERO_PARAMETERS], z.ranges[ZERO_GRADIENTS], z.config.stage,
          z.ranks.device.get()};
}

void make_range(zero_optimizer& z, int what, std::size_t bytes, void** out) {
  expect_open(z, "range");
  if (what != ZERO_PARAMETERS && what != ZERO_GRADIENTS) {
    throw invalid_argument("[client.range] " + std::to_string(what) +
                           " is neither ZERO_PARAMETERS nor ZERO_GRADIENTS");
  }
  if (bytes == 0) throw invalid_argument("[client.range] of 0 bytes");
  if (bytes > PTRDIFF_MAX) {
    throw out_of_memory("[client.range] there are not so many addresses", bytes, PTRDIFF_MAX);
  }
  const auto use = what == ZERO_PARAMETERS ? range_use::parameters : range_use::gradients;
  if (!z.on_device()) {
    z.ranges[what].push_back(make_host_range(use, bytes, z.counts[what]));
  } else {
    auto& pool = z.pools[what];
    if (!pool) pool = std::make_unique<granule_pool>(z.blocks(), z.work(), z.counts[what]);
    // Parameters are given their first values by the client.
    const bool filled = what == ZERO_PARAMETERS || memory_of(z).gradients_stay();
    z.ranges[what].push_back(make_device_range(use, bytes, filled, *pool));
  }
  *out = z.ranges[what].back()->begin();
}

// Every unit once: as it comes first in a declared order, then those that are not in it.
std::vector<int> units_in_order(const std::vector<int>& declared, int units) {
  std::vector<int> order;
  std::vector<bool> there(static_cast<std::size_t>(units), false);
  const auto put = [&](int unit) {
    if (there[static_cast<std::size_t>(unit)]) return;
    there[static_cast<std::size_t>(unit)] = true;
    order.push_back(unit);
  };
  for (const int unit : declared) put(unit);
  for (int unit = 0; unit < units; ++unit) put(unit);
  return order;
}

void check_before_commit(const zero_optimizer& z) {
  expect_open(z, "commit");
  if (z.segments.empty()) throw invalid_argument("[client.commit] nothing has been attached");
  const int units = z.segments.units();
  for (const int unit : z.forward_order) {
    if (unit < 0 || unit >= units) {
      throw invalid_argument("[client.commit] zero_forward_order names unit " +
                             std::to_string(unit) + " of " + std::to_string(units));
    }
  }
}

void commit(zero_optimizer& z) {
  check_before_commit(z);
  const segment_list& segments = z.segments;
  session s;
  s.places = segments.places();
  s.units = units_in_order(z.forward_order, segments.units());
  s.trainable.resize(static_cast<std::size_t>(segments.units()), false);
  for (const slice_place& place : s.places) {
    const segment& of = segments.all()[place.segment];
    if (of.trainable && of.tied_to.empty())
      s.trainable[static_cast<std::size_t>(place.unit)] = true;
  }
  const bool placed = segments.placed();
  const engine_options options = engine_options_of(z.config, z.groups, segments.groups(),
                                                   z.forward_order, z.reach().size(), placed);
  const auto make_form = [&](sharded_optimizer& engine) {
    const form_parts parts{engine,
                           z.reach(),
                           z.work(),
                           z.blocks(),
                           z.staging,
                           segments,
                           memory_of(z),
                           s.units,
                           z.config.reduce_at == ZERO_EVERY_MICRO_BATCH,
                           z.config.stable_addresses != 0};
    return placed ? make_placed(parts) : make_mirrored(parts);
  };
  memory_of(z).check_all(segments);
  // What the engine's own handshake does not see.
  agree(z.reach(), z.staging,
        "commit of stage " + std::to_string(z.config.stage) + ", accumulate " +
            std::to_string(z.config.accumulate) + ", reduced " +
            (z.config.reduce_at == ZERO_AT_BOUNDARY ? "at the boundary" : "each time") +
            (placed ? ", placed" : ", in memory of the client's"));
  z.streams.arrive(nullptr);
  s.engine = std::make_unique<sharded_optimizer>(z.reach(), z.work(), segments.model(), options);
  z.gate.changes();
  s.form = make_form(*s.engine);
  s.order =
      std::make_unique<call_order>(segments.units(), z.config.accumulate, z.config.stage == 3);
  s.form->begin();
  for (range_count& count : z.counts) count.reset();
  z.streams.depart(nullptr);
  z.at_work = std::move(s);
}

// Names "tensor.0", "tensor.1" and so on, back to back.
struct flat_tensors {
  std::vector<std::string> names;
  std::vector<zero_segment> segments;
};

flat_tensors flat(float* parameters, float* gradients, const std::size_t* counts,
                  std::size_t tensors, std::size_t stacked_begin, std::size_t stacked_end,
                  int layers) {
  flat_tensors out;
  out.names.reserve(tensors);
  std::uint64_t at = 0;
  for (std::size_t i = 0; i < tensors; ++i) {
    out.names.push_back("tensor." + std::to_string(i));
    const bool stacked = i >= stacked_begin && i < stacked_end;
    zero_segment s{};
    s.name = out.names.back().c_str();
    s.parameter = parameters + at;
    s.gradient = gradients == nullptr ? nullptr : gradients + at;
    s.count = counts[i];
    s.dtype = ZERO_FP32;
    s.unit = stacked ? 1 : 0;
    s.slices = stacked ? layers : 1;
    out.segments.push_back(s);
    at += counts[i];
  }
  return out;
}

void wrap_flat(zero_optimizer& z, void* parameters, void* gradients, const std::size_t* counts,
               std::size_t tensors, std::size_t stacked_begin, std::size_t stacked_end,
               int layers) {
  constexpr const char* begin = "[client.wrap_flat] ";
  expect_open(z, "wrap_flat");
  if (!z.segments.empty()) {
    throw invalid_argument(std::string(begin) + "segments have been attached already");
  }
  if (parameters == nullptr || counts == nullptr || tensors == 0) {
    throw invalid_argument(std::string(begin) + "there are no tensors, or a null pointer");
  }
  if (stacked_begin > stacked_end || stacked_end > tensors || layers < 1) {
    throw invalid_argument(std::string(begin) + "tensors from " + std::to_string(stacked_begin) +
                           " up to " + std::to_string(stacked_end) + " of " +
                           std::to_string(tensors) + " cannot be stacks of " +
                           std::to_string(layers));
  }
  const flat_tensors all = flat(static_cast<float*>(parameters), static_cast<float*>(gradients),
                                counts, tensors, stacked_begin, stacked_end, layers);
  segment_list before = z.segments;
  z.segments.add(all.segments.data(), all.segments.size(), sizeof(zero_segment));
  z.wrapped_flat = true;
  try {
    commit(z);
  } catch (...) {
    z.segments = std::move(before);
    z.wrapped_flat = false;
    throw;
  }
}

struct binding {
  std::size_t segment;
  void* gradient;
};

// All of them or none.
void bind_gradients(zero_optimizer& z, const std::vector<binding>& all) {
  segment_list bound = z.segments;
  for (const binding& one : all) {
    bound.bind_gradient(one.segment, one.gradient);
    if (z.committed()) memory_of(z).check(bound.all()[one.segment]);
  }
  z.segments = std::move(bound);
  if (!z.committed()) return;
  for (const binding& one : all) z.at_work.form->gradient_bound(one.segment);
}

void bind_flat(zero_optimizer& z, void* gradients) {
  constexpr const char* begin = "[client.bind_gradients_flat] ";
  if (!z.wrapped_flat) {
    throw invalid_argument(std::string(begin) + "zero_wrap_flat comes first");
  }
  if (gradients == nullptr) throw invalid_argument(std::string(begin) + "a null pointer");
  auto* at = static_cast<std::byte*>(gradients);
  std::vector<binding> all;
  for (const segment& s : z.segments.all()) {
    all.push_back({all.size(), at});
    at += s.bytes();
  }
  bind_gradients(z, all);
}

void set_group(zero_optimizer& z, int group, const zero_group* constants) {
  if (constants == nullptr) throw invalid_argument("[client.set_group] a null pointer");
  if (group < 0 || group >= (1 << 20)) {
    throw invalid_argument("[client.set_group] group " + std::to_string(group));
  }
  const zero_group read = read_group(*constants, z.config.group);
  if (z.committed()) {
    session& s = at_work(z, "set_group");
    s.order->expect_idle("set_group");
    s.engine->set_group(group, group_of(read));
  }
  z.groups[group] = read;
}

}  // namespace
}  // namespace zero::client

using zero::client::enter;

void* zero_range(zero_optimizer* z, int what, size_t bytes) {
  void* out = nullptr;
  const zero_status status = enter(
      z, "range", [&](zero_optimizer& own) { zero::client::make_range(own, what, bytes, &out); });
  return status == ZERO_OK ? out : nullptr;
}

zero_status zero_attach(zero_optimizer* z, const zero_segment* segments, size_t count,
                        size_t segment_size) {
  return enter(z, "attach", [&](zero_optimizer& own) {
    zero::client::expect_open(own, "attach");
    own.segments.add(segments, count, segment_size);
  });
}

zero_status zero_set_group(zero_optimizer* z, int32_t group, const zero_group* constants) {
  return enter(z, "set_group",
               [&](zero_optimizer& own) { zero::client::set_group(own, group, constants); });
}

zero_status zero_forward_order(zero_optimizer* z, const int32_t* units, size_t count) {
  return enter(z, "forward_order", [&](zero_optimizer& own) {
    zero::client::expect_open(own, "forward_order");
    if (units == nullptr || count == 0) {
      throw zero::invalid_argument("[client.forward_order] no units");
    }
    own.forward_order.assign(units, units + count);
  });
}

zero_status zero_use_stream(zero_optimizer* z, void* stream) {
  return enter(z, "use_stream", [&](zero_optimizer& own) { own.streams.use(stream); });
}

zero_status zero_commit(zero_optimizer* z) {
  return enter(z, "commit", [](zero_optimizer& own) { zero::client::commit(own); });
}

zero_status zero_wrap_flat(zero_optimizer* z, void* parameters, void* gradients,
                           const size_t* counts, size_t tensors, size_t stacked_begin,
                           size_t stacked_end, int32_t layers) {
  return enter(z, "wrap_flat", [&](zero_optimizer& own) {
    zero::client::wrap_flat(own, parameters, gradients, counts, tensors, stacked_begin, stacked_end,
                            layers);
  });
}

zero_status zero_bind_gradient(zero_optimizer* z, const char* name, void* gradient) {
  return enter(z, "bind_gradient", [&](zero_optimizer& own) {
    zero::client::bind_gradients(own, {{own.segments.find(name, "bind_gradient"), gradient}});
  });
}

zero_status zero_bind_gradients_flat(zero_optimizer* z, void* gradients) {
  return enter(z, "bind_gradients_flat",
               [&](zero_optimizer& own) { zero::client::bind_flat(own, gradients); });
}
