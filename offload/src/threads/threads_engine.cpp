// disk_engine over pread and pwrite: each request is one call by one of a few threads.
#include "engines.hpp"

#include <zero/base/error.hpp>

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace zero::offload {
namespace {

template <typename T>
class fixed_queue {
 public:
  explicit fixed_queue(std::size_t capacity) : slots_(capacity) {}
  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
  void push(const T& value) noexcept { slots_[(first_ + count_++) % slots_.size()] = value; }
  T pop() noexcept {
    const T value = slots_[first_];
    first_ = (first_ + 1) % slots_.size();
    --count_;
    return value;
  }

 private:
  std::vector<T> slots_;
  std::size_t first_ = 0;
  std::size_t count_ = 0;
};

// What the threads share with the engine. It outlives the engine if a thread is stuck in the
// kernel.
struct desk {
  explicit desk(std::size_t depth) : waiting(depth), done(depth) {}

  std::mutex mutex;
  std::condition_variable work;
  std::condition_variable changed;
  fixed_queue<disk_request> waiting;
  fixed_queue<disk_result> done;
  std::size_t running = 0;  // threads that have not ended
  bool stop = false;
};

std::int64_t transfer(const disk_request& r) noexcept {
  const auto at = static_cast<off_t>(r.offset);
  const ssize_t moved = r.way == direction::read ? pread(r.file, r.memory, r.bytes, at)
                                                 : pwrite(r.file, r.memory, r.bytes, at);
  return moved < 0 ? -errno : moved;
}

void work_off(desk& shared) {
  std::unique_lock lock(shared.mutex);
  for (;;) {
    shared.work.wait(lock, [&] { return shared.stop || !shared.waiting.empty(); });
    if (shared.stop) break;
    const disk_request request = shared.waiting.pop();
    lock.unlock();
    const disk_result result{request.tag, transfer(request)};
    lock.lock();
    shared.done.push(result);
    shared.changed.notify_one();
  }
  --shared.running;
  shared.changed.notify_one();
}

class threads_engine final : public disk_engine {
 public:
  threads_engine(const disk_engine_options& options, std::string note)
      : depth_(static_cast<std::size_t>(options.depth)),
        drain_(options.drain),
        note_(std::move(note)),
        desk_(std::make_shared<desk>(depth_)) {
    const int count = options.threads > 0 ? options.threads : std::min(options.depth, 8);
    // Signals belong to the client's threads.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      threads_.reserve(static_cast<std::size_t>(count));
      for (int i = 0; i < count; ++i) {
        threads_.emplace_back([shared = desk_] { work_off(*shared); });
        const std::lock_guard lock(desk_->mutex);
        ++desk_->running;
      }
    } catch (...) {
      pthread_sigmask(SIG_SETMASK, &before, nullptr);
      end();
      throw;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  ~threads_engine() override { end(); }

  [[nodiscard]] const char* name() const noexcept override { return "threads"; }
  [[nodiscard]] std::size_t depth() const noexcept override { return depth_; }
  [[nodiscard]] const std::string& note() const noexcept override { return note_; }

  [[nodiscard]] int submit(const disk_request& request) override {
    if (outstanding_ == depth_) return EAGAIN;
    ++outstanding_;
    {
      const std::lock_guard lock(desk_->mutex);
      desk_->waiting.push(request);
    }
    desk_->work.notify_one();
    return 0;
  }

  [[nodiscard]] std::size_t reap(span<disk_result> results, clock::time_point until) override {
    if (outstanding_ == 0) return 0;
    // Further than a wait can be told is as good as never.
    const auto latest = std::min(until, clock::now() + std::chrono::hours(1));
    std::unique_lock lock(desk_->mutex);
    desk_->changed.wait_until(lock, latest, [&] { return !desk_->done.empty(); });
    std::size_t count = 0;
    while (count < results.size() && !desk_->done.empty()) results[count++] = desk_->done.pop();
    outstanding_ -= count;
    return count;
  }

  bool register_file(int) override { return false; }
  void unregister_file(int) noexcept override {}
  bool register_memory(void*, std::size_t) override { return false; }
  void unregister_memory(void*) noexcept override {}

 private:
  // What no thread has begun is dropped; what is in the kernel is waited for, but not for ever.
  void end() noexcept {
    std::unique_lock lock(desk_->mutex);
    desk_->stop = true;
    desk_->work.notify_all();
    const bool ended =
        desk_->changed.wait_until(lock, clock::now() + drain_, [&] { return desk_->running == 0; });
    lock.unlock();
    for (std::thread& t : threads_) ended ? t.join() : t.detach();
  }

  std::size_t depth_;
  std::chrono::milliseconds drain_;
  std::string note_;
  std::size_t outstanding_ = 0;
  std::shared_ptr<desk> desk_;
  std::vector<std::thread> threads_;
};

}  // namespace

std::unique_ptr<disk_engine> make_threads_engine(const disk_engine_options& options,
                                                 std::string note) {
  try {
    return std::make_unique<threads_engine>(options, std::move(note));
  } catch (const std::system_error& refused) {
    throw error(std::string("[offload.threads] starting threads: ") + refused.what(),
                error_class::resource);
  }
}

}  // namespace zero::offload
