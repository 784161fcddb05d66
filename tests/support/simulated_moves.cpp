#include "support/simulated_moves.hpp"

#include <zero/base/float16.hpp>

#include <algorithm>
#include <cstring>
#include <numeric>

namespace zero::testing {

using collectives::write_mode;

namespace {

float load(const unsigned char* values, dtype type, std::size_t i) {
  switch (type) {
    case dtype::bf16:
      return to_float(reinterpret_cast<const bf16_t*>(values)[i]);
    case dtype::fp16:
      return to_float(reinterpret_cast<const fp16_t*>(values)[i]);
    default:
      return reinterpret_cast<const float*>(values)[i];
  }
}

void store(const typed_span& out, std::size_t i, float value) {
  switch (out.type) {
    case dtype::bf16:
      static_cast<bf16_t*>(out.data)[i] = to_bf16(value);
      break;
    case dtype::fp16:
      static_cast<fp16_t*>(out.data)[i] = to_fp16(value);
      break;
    default:
      static_cast<float*>(out.data)[i] = value;
      break;
  }
}

// out[i] = the sum over members, by their ranks of the world, of element first + i.
void add_up(const operation& op, const std::vector<std::size_t>& order, std::size_t first,
            write_mode mode, const typed_span& out) {
  const dtype from = op.by.front().in.type;
  for (std::size_t i = 0; i < out.count; ++i) {
    float sum = load(op.inputs[order.front()].data(), from, first + i);
    for (std::size_t next = 1; next < order.size(); ++next) {
      sum += load(op.inputs[order[next]].data(), from, first + i);
    }
    if (mode == write_mode::accumulate) {
      sum = load(static_cast<const unsigned char*>(out.data), out.type, i) + sum;
    }
    store(out, i, sum);
  }
}

std::vector<std::size_t> world_order(const std::vector<int>& members) {
  std::vector<std::size_t> order(members.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return members[a] < members[b]; });
  return order;
}

}  // namespace

std::size_t member(const group& g, int rank) {
  return static_cast<std::size_t>(std::find(g.members.begin(), g.members.end(), rank) -
                                  g.members.begin());
}

void take_inputs(operation& op) {
  op.inputs.clear();
  for (const posted& p : op.by) {
    const auto* bytes = static_cast<const unsigned char*>(p.in.data);
    op.inputs.emplace_back(bytes, bytes + (bytes == nullptr ? 0 : p.in.bytes()));
  }
}

void put_results(const operation& op, const std::vector<int>& members) {
  const std::vector<std::size_t> order = world_order(members);
  for (std::size_t rank = 0; rank < op.by.size(); ++rank) {
    const posted& p = op.by[rank];
    auto* const out = static_cast<unsigned char*>(p.out.data);
    switch (p.says.what) {
      case deed::all_gather:
        for (std::size_t from = 0; from < op.by.size(); ++from) {
          const auto& piece = op.inputs[from];
          if (!piece.empty()) std::memcpy(out + from * piece.size(), piece.data(), piece.size());
        }
        break;
      case deed::reduce_scatter:
        add_up(op, order, rank * p.out.count, p.says.mode, p.out);
        break;
      case deed::all_reduce:
        add_up(op, order, 0, write_mode::overwrite, p.out);
        break;
      case deed::all_to_all: {
        const std::size_t bytes = p.out.bytes() / op.by.size();
        for (std::size_t from = 0; from < op.by.size() && bytes > 0; ++from) {
          std::memcpy(out + from * bytes, op.inputs[from].data() + rank * bytes, bytes);
        }
        break;
      }
      case deed::broadcast: {
        const auto& root = op.inputs[static_cast<std::size_t>(p.says.root)];
        if (!root.empty()) std::memcpy(out, root.data(), root.size());
        break;
      }
      case deed::barrier:
        break;
    }
  }
}

}  // namespace zero::testing
