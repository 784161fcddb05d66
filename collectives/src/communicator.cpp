// What holds for every backend: arguments are checked before anything happens, operations recorded
// and bytes counted.
#include "operation_log.hpp"

#include <zero/base/error.hpp>
#include <zero/collectives/communicator.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <exception>
#include <string>
#include <utility>

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

// What is recorded of an operation, as a backend's own description of it would say.
struct communicator::described {
  operation_kind kind;
  dtype in;
  dtype out;
  std::uint64_t count;
  const call& how;
  int root = -1;
  write_mode mode = write_mode::overwrite;
};

communicator::communicator(world w) : world_(w), log_(std::make_shared<operation_log>(w)) {}

communicator::~communicator() = default;

template <typename Do>
completion communicator::record(const described& what, Do go) {
  operation op{};
  op.kind = what.kind;
  op.in = what.in;
  op.out = what.out;
  op.mode = what.mode;
  op.root = what.root;
  op.tag = what.how.tag;
  op.step = what.how.step;
  op.count = what.count;
  std::strncpy(op.name.data(), what.how.name, op.name.size() - 1);
  // A backend may split by operations of its own within the call.
  const std::uint64_t outer = std::exchange(place_, log_->open(group_in_log_, sequence_++, op));
  const bool outer_taken = std::exchange(is_taken_, false);
  const std::uint64_t place = place_;
  const completion done = go();  // where it throws the operation has no end
  if (!is_taken_) log_->end(place);
  place_ = outer;
  is_taken_ = outer_taken;
  return done;
}

completion communicator::all_gather(const_typed_span shard, typed_span full, const call& how) {
  if (shard.type != full.type) {
    refuse("all_gather", how,
           std::string("shard is ") + name_of(shard.type) + " but full " + name_of(full.type));
  }
  check_pieces("all_gather", how, shard, full, world_);
  const completion done =
      record({operation_kind::all_gather, shard.type, full.type, shard.count, how},
             [&] { return do_all_gather(shard, full, how); });
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
  const completion done =
      record({operation_kind::reduce_scatter, full.type, shard.type, shard.count, how, -1, mode},
             [&] { return do_reduce_scatter(full, shard, mode, how); });
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
  const std::uint64_t piece = in.count / static_cast<std::uint64_t>(size());
  const completion done = record({operation_kind::all_to_all, in.type, out.type, piece, how},
                                 [&] { return do_all_to_all(in, out, how); });
  traffic_.all_to_all += in.bytes();
  ++traffic_.calls;
  return done;
}

completion communicator::all_reduce(typed_span data, const call& how) {
  check_arithmetic("all_reduce", how, data.type);
  check_span("all_reduce", how, data);
  const completion done =
      record({operation_kind::all_reduce, data.type, data.type, data.count, how},
             [&] { return do_all_reduce(data, how); });
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
  const completion done =
      record({operation_kind::broadcast, data.type, data.type, data.count, how, root},
             [&] { return do_broadcast(data, root, how); });
  traffic_.broadcast += data.bytes();
  ++traffic_.calls;
  return done;
}

completion communicator::barrier(const call& how) {
  const completion done = record({operation_kind::barrier, dtype::byte, dtype::byte, 0, how},
                                 [&] { return do_barrier(how); });
  ++traffic_.calls;
  return done;
}

std::unique_ptr<communicator> communicator::split(int color, int key) {
  std::unique_ptr<communicator> group;
  const call none;
  static_cast<void>(record({operation_kind::split, dtype::byte, dtype::byte, 0, none}, [&] {
    group = do_split(color, key);
    return completion();
  }));
  group->log_ = log_;
  group->group_in_log_ = log_->add_group(group_in_log_, splits_++, color, group->world_);
  return group;
}

// ---- what was done last -----------------------------------------------------------------------

std::string communicator::operations() const { return log_->text(backend(), {}); }

void communicator::write_operations(const std::string& file) const {
  operation_log::write(file, operations());
}

void communicator::set_failure_folder(const std::string& folder) { log_->set_folder(folder); }

void communicator::record_failure(const std::string& why) const noexcept {
  log_->leave(backend(), why);
}

void communicator::keep_operations(bool whether) { log_->keep(whether); }

std::uint64_t communicator::take_place() noexcept {
  is_taken_ = true;
  return place_;
}

void communicator::note_begin(std::uint64_t place) const noexcept { log_->begin(place); }

void communicator::note_end(std::uint64_t place) const noexcept { log_->end(place); }

void communicator::record_caught() const noexcept {
  try {
    throw;
  } catch (const std::exception& e) {
    log_->leave(backend(), e.what());
  } catch (...) {
    log_->leave(backend(), "something that is no exception");
  }
}

}  // namespace zero::collectives
