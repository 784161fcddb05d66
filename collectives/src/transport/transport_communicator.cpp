// A group of ranks over a wire. Every operation is done when it returns.
#include "arena/segment.hpp"
#include "shared_memory/desync.hpp"
#include "shared_memory/shared_memory_communicator.hpp"
#include "sum.hpp"
#include "transport/wire.hpp"

#include <zero/base/error.hpp>
#include <zero/base/hash.hpp>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

namespace zero::collectives {
namespace {

// What all groups of a rank have in common. Outlived by nothing but what is allocated from it.
struct common_ends {
  common_ends(std::shared_ptr<transport> means, world w)
      : file(make_spacious(1, memory_file::create)),
        memory(file, 0, file.bytes()),
        ends(std::move(means), w) {}
  memory_file file;
  segment memory;
  wire ends;
};

// What a rank says of itself when a group is split.
struct choice {
  std::int32_t color;
  std::int32_t key;
};

class transport_communicator final : public communicator {
 public:
  transport_communicator(std::shared_ptr<common_ends> common, seat_on_wire seat, bool is_world)
      : communicator({seat.rank, static_cast<int>(seat.world_ranks.size())}),
        common_(std::move(common)),
        seat_(std::move(seat)),
        is_world_(is_world) {}
  transport_communicator(const transport_communicator&) = delete;
  transport_communicator& operator=(const transport_communicator&) = delete;
  ~transport_communicator() override {
    if (is_world_) common_->ends.leave();
  }

  [[nodiscard]] memory_resource& memory() noexcept override { return common_->memory; }
  void set_deadline(std::chrono::milliseconds) noexcept override {}  // see transport.hpp
  void abort(const std::string& reason) noexcept override { common_->ends.abort(reason); }
  void set_trace(trace_recorder* recorder) noexcept override { trace_ = recorder; }
  [[nodiscard]] const char* backend() const noexcept override { return "transport"; }

 private:
  completion do_all_gather(const_typed_span shard, typed_span full, const call& how) override {
    return run(make_operation(operation_kind::all_gather, shard.type, full.type, shard.count, how),
               shard, full, how);
  }
  completion do_reduce_scatter(const_typed_span full, typed_span shard, write_mode mode,
                               const call& how) override {
    operation op =
        make_operation(operation_kind::reduce_scatter, full.type, shard.type, shard.count, how);
    op.mode = mode;
    return run(op, full, shard, how);
  }
  completion do_all_to_all(const_typed_span in, typed_span out, const call& how) override {
    const std::uint64_t piece = in.count / static_cast<std::uint64_t>(size());
    return run(make_operation(operation_kind::all_to_all, in.type, out.type, piece, how), in, out,
               how);
  }
  completion do_all_reduce(typed_span data, const call& how) override {
    return run(make_operation(operation_kind::all_reduce, data.type, data.type, data.count, how),
               data, data, how);
  }
  completion do_broadcast(typed_span data, int root, const call& how) override {
    operation op = make_operation(operation_kind::broadcast, data.type, data.type, data.count, how);
    op.root = root;
    return run(op, data, data, how);
  }
  completion do_barrier(const call& how) override {
    return run(make_operation(operation_kind::barrier, dtype::byte, dtype::byte, 0, how), {}, {},
               how);
  }
  std::unique_ptr<communicator> do_split(int color, int key) override;

  completion run(const operation& op, const_typed_span in, typed_span out, const call& how) {
    try {
      return carry_out(op, in, out, how);
    } catch (...) {
      record_caught();
      throw;
    }
  }

  completion carry_out(const operation& op, const_typed_span in, typed_span out, const call& how) {
    wire& ends = common_->ends;
    ends.check();
    try {
      how.after.wait();
    } catch (...) {
      ends.fail(std::current_exception());
      throw;
    }
    trace_event event;
    event.name = *how.name != '\0' ? how.name : name_of(op.kind);
    event.where = lane::communication;
    event.unit = how.tag;
    if (trace_ != nullptr) event.begin = trace_clock();
    if (size() == 1) {
      alone(op, in, out);
    } else {
      ends.run(seat_, op,
               {static_cast<const std::byte*>(in.data), static_cast<std::byte*>(out.data)});
    }
    if (trace_ != nullptr) {
      event.end = trace_clock();
      trace_->record(event);
    }
    return {};
  }

  // The group of one rank: nothing is moved by anyone else.
  static void alone(const operation& op, const_typed_span in, typed_span out) noexcept {
    if (op.kind == operation_kind::reduce_scatter) {
      sum(&in.data, 1, in.type, out.data, out.type, out.count, op.mode);
    } else if (in.count > 0 && in.data != out.data) {
      std::memmove(out.data, in.data, in.bytes());
    }
  }

  std::shared_ptr<common_ends> common_;
  seat_on_wire seat_;
  bool is_world_;
  std::uint64_t splits_ = 0;
  trace_recorder* trace_ = nullptr;
};

std::unique_ptr<communicator> transport_communicator::do_split(int color, int key) {
  const choice own{color, key};
  std::vector<choice> choices(static_cast<std::size_t>(size()));
  const const_typed_span in{&own, sizeof own, dtype::byte};
  const typed_span out{choices.data(), choices.size() * sizeof own, dtype::byte};
  run(make_operation(operation_kind::split, in.type, out.type, in.count, call{}), in, out, {});

  std::vector<int> chosen;
  for (int i = 0; i < size(); ++i) {
    if (choices[static_cast<std::size_t>(i)].color == color) chosen.push_back(i);
  }
  std::stable_sort(chosen.begin(), chosen.end(), [&](int a, int b) {
    return choices[static_cast<std::size_t>(a)].key < choices[static_cast<std::size_t>(b)].key;
  });
  seat_on_wire made;
  const std::uint64_t name[] = {seat_.group, splits_++, static_cast<std::uint32_t>(color)};
  made.group = std::max<std::uint64_t>(checksum64(name, sizeof name, 0), 2);
  for (const int i : chosen) {
    if (i == rank()) made.rank = static_cast<int>(made.world_ranks.size());
    made.world_ranks.push_back(seat_.world_ranks[static_cast<std::size_t>(i)]);
  }
  made.ascending.resize(chosen.size());
  std::iota(made.ascending.begin(), made.ascending.end(), 0);
  std::sort(made.ascending.begin(), made.ascending.end(), [&](int a, int b) {
    return made.world_ranks[static_cast<std::size_t>(a)] <
           made.world_ranks[static_cast<std::size_t>(b)];
  });
  auto group = std::make_unique<transport_communicator>(common_, std::move(made), false);
  return group;
}

}  // namespace

std::unique_ptr<communicator> make_transport(std::shared_ptr<transport> means, world w) {
  if (means == nullptr) throw invalid_argument("[collectives.transport] there is none");
  auto common = std::make_shared<common_ends>(std::move(means), w);
  seat_on_wire all;
  all.group = 1;
  all.rank = w.rank;
  all.world_ranks.resize(static_cast<std::size_t>(w.size));
  std::iota(all.world_ranks.begin(), all.world_ranks.end(), 0);
  all.ascending = all.world_ranks;
  return std::make_unique<transport_communicator>(std::move(common), std::move(all), true);
}

}  // namespace zero::collectives
