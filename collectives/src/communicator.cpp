// What holds for every backend: arguments are checked before anything happens, and bytes counted.
#include <zero/base/error.hpp>
#include <zero/collectives/communicator.hpp>

#include <cstdint>
#include <string>

namespace zero::collectives {
namespace {

[[noreturn]] void refuse(const char* operation, const call& how, const std::string& why) {
  const std::string name = *how.name != '\0' ? " '" + std::string(how.name) + "'" : "";
  throw invalid_argument("[collectives] " + std::string(operation) + name + ": " + why);
}

void check_span(const char* operation, const call& how, const const_typed_span& elements) {
  if (elements.data == nullptr && elements.count > 0) {
    refuse(operation, how, std::to_string(elements.count) + " elements at a null pointer");
  }
  if (reinterpret_cast<std::uintptr_t>(elements.data) % size_of(elements.type) != 0) {
    refuse(operation, how, std::string("unaligned ") + name_of(elements.type) + " elements");
  }
}

void check_arithmetic(const char* operation, const call& how, dtype type) {
  if (type == dtype::byte) refuse(operation, how, "bytes cannot be summed");
}

// full must be `size` pieces of `shard`; if the two share memory, shard must be the rank's piece.
void check_pieces(const char* operation, const call& how, const const_typed_span& shard,
                  const const_typed_span& full, world w) {
  check_span(operation, how, shard);
  check_span(operation, how, full);
  const auto size = static_cast<std::size_t>(w.size);
  if (full.count / size != shard.count || full.count % size != 0) {
    refuse(operation, how,
           "full has " + std::to_string(full.count) + " elements, not " + std::to_string(w.size) +
               " times the shard's " + std::to_string(shard.count));
  }
  if (shard.count == 0) return;
  const auto piece_at = reinterpret_cast<std::uintptr_t>(shard.data);
  const auto full_at = reinterpret_cast<std::uintptr_t>(full.data);
  const bool apart = piece_at + shard.bytes() <= full_at || full_at + full.bytes() <= piece_at;
  const std::size_t own = static_cast<std::size_t>(w.rank) * shard.bytes();
  if (!apart && (shard.type != full.type || piece_at != full_at + own)) {
    refuse(operation, how, "shard overlaps full but is not its own piece of it");
  }
}

}  // namespace

completion communicator::all_gather(const_typed_span shard, typed_span full, const call& how) {
  if (shard.type != full.type) {
    refuse("all_gather", how,
           std::string("shard is ") + name_of(shard.type) + " but full " + name_of(full.type));
  }
  check_pieces("all_gather", how, shard, full, world_);
  const completion done = do_all_gather(shard, full, how);
  traffic_.all_gather += full.bytes();
  ++traffic_.calls;
  return done;
}

completion communicator::reduce_scatter(const_typed_span full, typed_span shard, write_mode mode,
                                        const call& how) {
  check_arithmetic("reduce_scatter", how, full.type);
  if (shard.type != full.type && shard.type != dtype::fp32) {
    refuse("reduce_scatter", how,
           std::string("a sum of ") + name_of(full.type) + " is kept as that or fp32, not " +
               name_of(shard.type));
  }
  check_pieces("reduce_scatter", how, shard, full, world_);
  const completion done = do_reduce_scatter(full, shard, mode, how);
  traffic_.reduce_scatter += full.bytes();
  ++traffic_.calls;
  return done;
}

completion communicator::all_to_all(const_typed_span in, typed_span out, const call& how) {
  check_span("all_to_all", how, in);
  check_span("all_to_all", how, out);
  if (in.type != out.type || in.count != out.count ||
      in.count % static_cast<std::size_t>(size()) != 0) {
    refuse("all_to_all", how,
           std::to_string(in.count) + " " + name_of(in.type) + " in, " + std::to_string(out.count) +
               " " + name_of(out.type) + " out: not " + std::to_string(size()) +
               " equal pieces of one dtype each way");
  }
  const auto from = reinterpret_cast<std::uintptr_t>(in.data);
  const auto to = reinterpret_cast<std::uintptr_t>(out.data);
  if (in.count > 0 && from < to + out.bytes() && to < from + in.bytes()) {
    refuse("all_to_all", how, "in and out overlap");
  }
  const completion done = do_all_to_all(in, out, how);
  traffic_.all_to_all += in.bytes();
  ++traffic_.calls;
  return done;
}

completion communicator::all_reduce(typed_span data, const call& how) {
  check_arithmetic("all_reduce", how, data.type);
  check_span("all_reduce", how, data);
  const completion done = do_all_reduce(data, how);
  traffic_.all_reduce += data.bytes();
  ++traffic_.calls;
  return done;
}

completion communicator::broadcast(typed_span data, int root, const call& how) {
  check_span("broadcast", how, data);
  if (root < 0 || root >= size()) {
    refuse("broadcast", how,
           "root " + std::to_string(root) + " of " + std::to_string(size()) + " ranks");
  }
  const completion done = do_broadcast(data, root, how);
  traffic_.broadcast += data.bytes();
  ++traffic_.calls;
  return done;
}

completion communicator::barrier(const call& how) {
  const completion done = do_barrier(how);
  ++traffic_.calls;
  return done;
}

std::unique_ptr<communicator> communicator::split(int color, int key) {
  return do_split(color, key);
}

}  // namespace zero::collectives
