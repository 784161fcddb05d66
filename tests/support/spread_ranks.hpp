#pragma once
// Ranks of one machine that say they run on several hosts.

#include <zero/collectives/communicator.hpp>

#include <functional>
#include <memory>
#include <utility>

namespace zero::testing {

// Everything is done by another communicator, which must outlive this; host_of alone is told.
class spread_ranks final : public collectives::communicator {
 public:
  using host_function = std::function<int(int)>;
  spread_ranks(collectives::communicator& ranks, host_function host)
      : communicator({ranks.rank(), ranks.size()}), ranks_(ranks), host_(std::move(host)) {}

  [[nodiscard]] memory_resource& memory() noexcept override { return ranks_.memory(); }
  void set_deadline(std::chrono::milliseconds deadline) noexcept override {
    ranks_.set_deadline(deadline);
  }
  void abort(const std::string& reason) noexcept override { ranks_.abort(reason); }
  void set_trace(trace_recorder* recorder) noexcept override { ranks_.set_trace(recorder); }
  [[nodiscard]] int host_of(int rank) const noexcept override { return host_(rank); }
  [[nodiscard]] const char* backend() const noexcept override { return ranks_.backend(); }

 private:
  using call = collectives::call;
  completion do_all_gather(const_typed_span shard, typed_span full, const call& how) override {
    return ranks_.all_gather(shard, full, how);
  }
  completion do_reduce_scatter(const_typed_span full, typed_span shard,
                               collectives::write_mode mode, const call& how) override {
    return ranks_.reduce_scatter(full, shard, mode, how);
  }
  completion do_all_to_all(const_typed_span in, typed_span out, const call& how) override {
    return ranks_.all_to_all(in, out, how);
  }
  completion do_all_reduce(typed_span data, const call& how) override {
    return ranks_.all_reduce(data, how);
  }
  completion do_broadcast(typed_span data, int root, const call& how) override {
    return ranks_.broadcast(data, root, how);
  }
  completion do_barrier(const call& how) override { return ranks_.barrier(how); }
  std::unique_ptr<communicator> do_split(int color, int key) override {
    return ranks_.split(color, key);
  }

  collectives::communicator& ranks_;
  host_function host_;
};

}  // namespace zero::testing
