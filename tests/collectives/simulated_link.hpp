#pragma once
// A link between ranks whose devices are threads: what is sent waits in a mailbox of the process
// until the receiving stream comes to it. As with NCCL, both sides' streams wait for each other.

#include "collectives/simulated_device.hpp"
#include "nccl/link.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>

namespace zero::testing {

// The mailboxes of one group.
class mailboxes {
 public:
  explicit mailboxes(int ranks) : size(ranks) {}

  // Sender and receiver meet; the receiver copies. Throws if aborted, and when a minute is over.
  void send(int from, int to, const void* bytes, std::uint64_t count) {
    std::unique_lock lock(mutex_);
    letter& box = boxes_[{from, to}];
    await(lock, [&] { return !box.full; });
    box = {bytes, count, true};
    changed_.notify_all();
    await(lock, [&] { return !box.full; });
  }
  void receive(int from, int to, void* bytes, std::uint64_t count) {
    std::unique_lock lock(mutex_);
    letter& box = boxes_[{from, to}];
    await(lock, [&] { return box.full; });
    if (box.count != count) throw std::runtime_error("sent and received counts differ");
    copy_simulated(bytes, box.bytes, count);
    box.full = false;
    changed_.notify_all();
  }
  void abort() {
    const std::lock_guard lock(mutex_);
    aborted_ = true;
    changed_.notify_all();
  }
  // The group of `color` of the split that is the `number`th.
  std::shared_ptr<mailboxes> part(int number, int color, int members) {
    const std::lock_guard lock(mutex_);
    auto& found = parts_[{number, color}];
    if (found == nullptr) found = std::make_shared<mailboxes>(members);
    return found;
  }
  // Blocks until every rank has said its color; gives all of them.
  std::vector<int> colors(int number, int rank, int color) {
    std::unique_lock lock(mutex_);
    auto& said = colors_[number];
    said.resize(static_cast<std::size_t>(size), -1);
    said[static_cast<std::size_t>(rank)] = color;
    changed_.notify_all();
    await(lock, [&] { return std::count(said.begin(), said.end(), -1) == 0; });
    return said;
  }

  const int size;

 private:
  struct letter {
    const void* bytes = nullptr;
    std::uint64_t count = 0;
    bool full = false;
  };
  template <typename Done>
  void await(std::unique_lock<std::mutex>& lock, Done done) {
    const bool over =
        changed_.wait_for(lock, std::chrono::minutes(1), [&] { return aborted_ || done(); });
    if (aborted_ || !over) throw std::runtime_error("the link was aborted");
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool aborted_ = false;
  std::map<std::pair<int, int>, letter> boxes_;
  std::map<std::pair<int, int>, std::shared_ptr<mailboxes>> parts_;
  std::map<int, std::vector<int>> colors_;
};

class simulated_link final : public collectives::link {
 public:
  simulated_link(std::shared_ptr<mailboxes> boxes, int rank, queued_stream& lane)
      : boxes_(std::move(boxes)), rank_(rank), lane_(lane) {}

  void watch(std::function<bool()>) override {}
  void begin() override { sends_.clear(), receives_.clear(); }
  void send(const void* from, std::uint64_t bytes, int peer) override {
    must_be_device(from);
    sends_.push_back({const_cast<void*>(from), bytes, peer});
  }
  void receive(void* to, std::uint64_t bytes, int peer) override {
    must_be_device(to);
    receives_.push_back({to, bytes, peer});
  }
  void end() override { move(sends_, receives_); }
  void all_gather(const void* in, void* out, std::uint64_t bytes) override {
    must_be_device(in);
    must_be_device(out);
    begin();
    auto* const to = static_cast<std::byte*>(out);
    lane_.run([=, this] {
      std::byte* const own = to + static_cast<std::uint64_t>(rank_) * bytes;
      if (own != in) copy_simulated(own, in, bytes);
    });
    for (int i = 0; i < boxes_->size; ++i) {
      if (i == rank_) continue;
      send(to + static_cast<std::uint64_t>(rank_) * bytes, bytes, i);
      receive(to + static_cast<std::uint64_t>(i) * bytes, bytes, i);
    }
    end();
  }
  void broadcast(void* at, std::uint64_t bytes, int root) override {
    must_be_device(at);
    begin();
    for (int i = 0; i < boxes_->size && rank_ == root; ++i) {
      if (i != root) send(at, bytes, i);
    }
    if (rank_ != root) receive(at, bytes, root);
    end();
  }
  void check() override {}
  void abort() noexcept override { boxes_->abort(); }
  [[nodiscard]] std::unique_ptr<link> split(int color, int position) override {
    const int number = splits_++;
    const std::vector<int> colors = boxes_->colors(number, rank_, color);
    const auto members = static_cast<int>(std::count(colors.begin(), colors.end(), color));
    return std::make_unique<simulated_link>(boxes_->part(number, color, members), position, lane_);
  }

 private:
  struct part {
    void* at;
    std::uint64_t bytes;
    int peer;
  };
  static void must_be_device(const void* at) {
    if (!is_device(at)) throw invalid_argument("a link moves device memory only");
  }
  // Both in the order of peers: the first exchange that is left can always go on.
  void move(std::vector<part> sends, std::vector<part> receives) {
    lane_.run([=, this] {
      std::thread sender([&] {
        try {
          for (const part& s : sends) boxes_->send(rank_, s.peer, s.at, s.bytes);
        } catch (const std::exception&) {
          return;  // aborted: the receiving side says so
        }
      });
      try {
        for (const part& r : receives) boxes_->receive(r.peer, rank_, r.at, r.bytes);
      } catch (...) {
        sender.join();
        throw;
      }
      sender.join();
    });
  }

  std::shared_ptr<mailboxes> boxes_;
  int rank_;
  queued_stream& lane_;
  int splits_ = 0;
  std::vector<part> sends_, receives_;
};

}  // namespace zero::testing
