#include "support/queued_device.hpp"

#include <zero/base/error.hpp>
#include <zero/base/memory_resource.hpp>

#include <chrono>
#include <cstring>
#include <utility>
#include <vector>

namespace zero::testing {

queued_stream::queued_stream(std::uint64_t seed, int longest_pause_us)
    : random_(seed * 2 + 1), longest_pause_us_(longest_pause_us), worker_([this] { work_off(); }) {}

queued_stream::~queued_stream() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  worker_.join();
}

void queued_stream::run(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    queued_.push_back(std::move(work));
    ++accepted_;
  }
  changed_.notify_all();
}

completion queued_stream::record() {
  const std::lock_guard lock(mutex_);
  return {*this, accepted_};
}

void queued_stream::wait(const completion& before) {
  run([before] { before.wait(); });
}

void queued_stream::wait(std::uint64_t ticket) {
  std::unique_lock lock(mutex_);
  const bool over = changed_.wait_for(lock, std::chrono::seconds(60),
                                      [&] { return done_ >= ticket || error_ != nullptr; });
  if (!over) throw peer_lost("[queued_stream] no progress", {});
  if (done_ < ticket) std::rethrow_exception(error_);
}

bool queued_stream::ready(std::uint64_t ticket) const noexcept {
  const std::lock_guard lock(mutex_);
  return done_ >= ticket || error_ != nullptr;
}

void queued_stream::order(std::uint64_t ticket, stream& later) {
  auto* const other = static_cast<queued_stream*>(later.native());
  if (other == nullptr) return wait(ticket);
  const completion before(*this, ticket);
  other->run([before] { before.wait(); });
}

void queued_stream::work_off() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stop_ || !queued_.empty(); });
    if (queued_.empty()) return;
    std::function<void()> work = std::move(queued_.front());
    queued_.pop_front();
    const bool skip = error_ != nullptr;
    random_ = random_ * 6364136223846793005U + 1442695040888963407U;
    const auto pause =
        longest_pause_us_ > 0 && (random_ >> 60) == 0
            ? static_cast<int>((random_ >> 33) % static_cast<std::uint64_t>(longest_pause_us_))
            : 0;
    lock.unlock();
    if (pause > 0) std::this_thread::sleep_for(std::chrono::microseconds(pause));
    std::exception_ptr failed;
    try {
      if (!skip) work();
    } catch (...) {
      failed = std::current_exception();
    }
    work = nullptr;
    lock.lock();
    if (failed != nullptr && error_ == nullptr) error_ = failed;
    if (error_ == nullptr) ++done_;
    changed_.notify_all();
  }
}

namespace {

// Copies that are made later, each way by a thread of its own.
class queued_copier final : public copier {
 public:
  explicit queued_copier(int longest_pause_us)
      : up_(31, longest_pause_us), down_(32, longest_pause_us) {}

  completion copy(const void* from, void* to, std::size_t bytes, copy_way way) override {
    queued_stream& lane = way == copy_way::up ? up_ : down_;
    lane.run([=] {
      if (bytes > 0) std::memcpy(to, from, bytes);
    });
    return lane.record();
  }

 private:
  queued_stream up_;
  queued_stream down_;
};

class queued_processor final : public optim::processor {
 public:
  explicit queued_processor(queued_stream& where)
      : where_(where), host_(optim::make_host_processor()) {}

  [[nodiscard]] stream& queue() noexcept override { return where_; }
  [[nodiscard]] memory_place place() const noexcept override { return memory_place::device; }
  [[nodiscard]] memory_resource& host_memory() noexcept override { return pages_; }
  [[nodiscard]] std::unique_ptr<copier> make_copier() override {
    return std::make_unique<queued_copier>(where_.longest_pause());
  }
  [[nodiscard]] std::string pin(void* /*memory*/, std::size_t /*bytes*/) override { return {}; }
  void unpin(void* /*memory*/, std::size_t /*bytes*/) noexcept override {}
  void clear(typed_span out) override {
    where_.run([=, this] { host_->clear(out); });
  }
  void copy(const_typed_span in, typed_span out) override {
    where_.run([=, this] { host_->copy(in, out); });
  }
  void write(const void* host, void* here, std::size_t bytes) override {
    where_.run([=, this] { host_->write(host, here, bytes); });
  }
  void read(const void* here, void* host, std::size_t bytes) override {
    where_.run([=, this] { host_->read(here, host, bytes); });
  }
  void convert(const_typed_span in, typed_span out) override {
    where_.run([=, this] { host_->convert(in, out); });
  }
  void accumulate(const_typed_span in, typed_span out) override {
    where_.run([=, this] { host_->accumulate(in, out); });
  }
  void adopt(const_typed_span in, float* master) override {
    where_.run([=, this] { host_->adopt(in, master); });
  }
  void add_squares(const_typed_span values, double* sum) override {
    where_.run([=, this] { host_->add_squares(values, sum); });
  }
  void add_in_order(const double* values, std::size_t count, double* sum) override {
    where_.run([=, this] { host_->add_in_order(values, count, sum); });
  }
  void quantize(const_typed_span in, int bits, std::byte* out) override {
    where_.run([=, this] { host_->quantize(in, bits, out); });
  }
  void dequantize(const std::byte* in, int terms, int bits, typed_span out,
                  optim::store_mode mode) override {
    where_.run([=, this] { host_->dequantize(in, terms, bits, out, mode); });
  }
  void requantize(const std::byte* in, int terms, std::uint64_t count, int bits,
                  std::byte* out) override {
    where_.run([=, this] { host_->requantize(in, terms, count, bits, out); });
  }
  void set(const optim::step_vote& vote, optim::step_vote* out) override {
    where_.run([=, this] { host_->set(vote, out); });
  }
  void decide(const optim::step_vote* votes, std::size_t count, const optim::decision_rule& rule,
              optim::step_decision* decision) override {
    where_.run([=, this] { host_->decide(votes, count, rule, decision); });
  }
  void scale(typed_span values, const optim::step_decision* decision) override {
    where_.run([=, this] { host_->scale(values, decision); });
  }
  void update(optim::algorithm a, const optim::hyper& constants,
              const optim::step_decision* decision, const optim::update_spans& spans) override {
    where_.run([=, this] { host_->update(a, constants, decision, spans); });
  }
  void update_packed(optim::algorithm a, span<const optim::update_run> runs,
                     const optim::step_decision* decision,
                     const optim::packed_spans& spans) override {
    where_.run([=, this, own = std::vector<optim::update_run>(runs.begin(), runs.end())] {
      host_->update_packed(a, own, decision, spans);
    });
  }
  void pack_master(const_typed_span values, const optim::packed_spans& spans) override {
    where_.run([=, this] { host_->pack_master(values, spans); });
  }
  void unpack_master(const optim::packed_spans& spans, typed_span values) override {
    where_.run([=, this] { host_->unpack_master(spans, values); });
  }

 private:
  queued_stream& where_;
  std::unique_ptr<optim::processor> host_;
  page_resource pages_;
};

class device_memory final : public memory_resource {
 public:
  explicit device_memory(memory_resource& host) : host_(host) {}
  [[nodiscard]] void* allocate(std::size_t bytes) override { return host_.allocate(bytes); }
  void deallocate(void* block, std::size_t bytes) noexcept override {
    host_.deallocate(block, bytes);
  }
  [[nodiscard]] memory_place place() const noexcept override { return memory_place::device; }
  [[nodiscard]] address_space* mappings() noexcept override { return host_.mappings(); }

 private:
  memory_resource& host_;
};

class device_communicator final : public collectives::communicator {
 public:
  explicit device_communicator(collectives::communicator& ranks)
      : communicator({ranks.rank(), ranks.size()}), ranks_(ranks), memory_(ranks.memory()) {}
  explicit device_communicator(std::unique_ptr<collectives::communicator> ranks)
      : device_communicator(*ranks) {
    own_ = std::move(ranks);
  }

  [[nodiscard]] memory_resource& memory() noexcept override { return memory_; }
  void set_deadline(std::chrono::milliseconds deadline) noexcept override {
    ranks_.set_deadline(deadline);
  }
  void abort(const std::string& reason) noexcept override { ranks_.abort(reason); }
  void set_trace(trace_recorder* recorder) noexcept override { ranks_.set_trace(recorder); }
  [[nodiscard]] const char* backend() const noexcept override { return "queued"; }

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
    return std::make_unique<device_communicator>(ranks_.split(color, key));
  }

  std::unique_ptr<collectives::communicator> own_;
  collectives::communicator& ranks_;
  device_memory memory_;
};

}  // namespace

std::unique_ptr<optim::processor> make_queued_processor(queued_stream& where) {
  return std::make_unique<queued_processor>(where);
}

std::unique_ptr<collectives::communicator> on_device(collectives::communicator& ranks) {
  return std::make_unique<device_communicator>(ranks);
}

}  // namespace zero::testing
