// The world of one rank: nothing to wait for but what the caller asks to wait for.
#include "arena/segment.hpp"
#include "sum.hpp"

#include <zero/base/error.hpp>
#include <zero/collectives/single.hpp>

#include <atomic>
#include <cstring>
#include <exception>
#include <string>

namespace zero::collectives {
namespace {

class single_communicator final : public communicator {
 public:
  single_communicator()
      : communicator({0, 1}),
        file_(make_spacious(1, memory_file::create)),
        segment_(file_, 0, file_.bytes()) {}

  [[nodiscard]] memory_resource& memory() noexcept override { return segment_; }
  void set_deadline(std::chrono::milliseconds) noexcept override {}  // nobody to wait for
  void abort(const std::string& reason) noexcept override {
    fail(std::make_exception_ptr(peer_lost("[collectives.single] rank 0 aborted: " + reason, {0})));
  }
  void set_trace(trace_recorder* recorder) noexcept override { trace_ = recorder; }
  [[nodiscard]] const char* backend() const noexcept override { return "single"; }

 private:
  completion do_all_gather(const_typed_span shard, typed_span full, const call& how) override {
    return run("all_gather", how, [&] {
      if (shard.count > 0) std::memmove(full.data, shard.data, shard.bytes());
    });
  }
  completion do_reduce_scatter(const_typed_span full, typed_span shard, write_mode mode,
                               const call& how) override {
    return run("reduce_scatter", how,
               [&] { sum(&full.data, 1, full.type, shard.data, shard.type, shard.count, mode); });
  }
  completion do_all_to_all(const_typed_span in, typed_span out, const call& how) override {
    return run("all_to_all", how, [&] {
      if (in.count > 0) std::memcpy(out.data, in.data, in.bytes());
    });
  }
  completion do_all_reduce(typed_span, const call& how) override {
    return run("all_reduce", how, [] {});
  }
  completion do_broadcast(typed_span, int, const call& how) override {
    return run("broadcast", how, [] {});
  }
  completion do_barrier(const call& how) override {
    return run("barrier", how, [] {});
  }
  std::unique_ptr<communicator> do_split(int, int) override {
    check_usable();
    return std::make_unique<single_communicator>();
  }

  template <typename Work>
  completion run(const char* kind, const call& how, Work work) {
    check_usable();
    try {
      how.after.wait();
    } catch (...) {
      fail(std::current_exception());
      record_caught();
      throw;
    }
    trace_event event;
    event.name = *how.name != '\0' ? how.name : kind;
    event.where = lane::communication;
    event.unit = how.tag;
    if (trace_ != nullptr) event.begin = trace_clock();
    work();
    if (trace_ != nullptr) {
      event.end = trace_clock();
      trace_->record(event);
    }
    return {};
  }

  // The first error stays. abort may come from another thread.
  void fail(std::exception_ptr why) noexcept {
    if (failing_.exchange(true)) return;
    error_ = std::move(why);
    failed_.store(true);
  }
  void check_usable() const {
    if (!failed_.load()) return;
    try {
      std::rethrow_exception(error_);
    } catch (...) {
      record_caught();
      throw;
    }
  }

  memory_file file_;
  segment segment_;
  trace_recorder* trace_ = nullptr;
  std::atomic<bool> failing_{false};
  std::atomic<bool> failed_{false};
  std::exception_ptr error_;
};

}  // namespace

std::unique_ptr<communicator> make_single() { return std::make_unique<single_communicator>(); }

}  // namespace zero::collectives
