#include <zero/base/error.hpp>
#include <zero/offload/transfer_queue.hpp>

#include <algorithm>
#include <cerrno>
#include <string>
#include <thread>
#include <utility>

namespace zero::offload {

transfer_queue::transfer_queue(std::unique_ptr<disk_engine> engine, std::size_t alignment,
                               std::chrono::nanoseconds deadline)
    : engine_(std::move(engine)),
      alignment_(alignment),
      deadline_(deadline),
      slots_(engine_->depth()),
      results_(engine_->depth()) {
  if (alignment == 0) throw invalid_argument("[offload.transfer_queue] an alignment of 0");
}

void transfer_queue::start(const disk_request& request) {
  const auto free = std::find_if(slots_.begin(), slots_.end(),
                                 [](const slot& s) { return s.now == phase::free; });
  if (free == slots_.end()) {
    throw invalid_argument("[offload.transfer_queue] " + std::to_string(depth()) +
                           " transfers are under way or given up, which is all there can be");
  }
  ++under_way_;
  free->rest = request;
  free->deadline = clock::now() + deadline_;
  free->outcome = {request.tag, 0, request.offset};
  free->attempts = 0;
  if (request.bytes == 0) {
    end(*free, 0);
  } else {
    submit(static_cast<std::size_t>(free - slots_.begin()));
  }
}

void transfer_queue::submit(std::size_t at) {
  slot& s = slots_[at];
  disk_request request = s.rest;
  request.tag = at;
  const int refused = engine_->submit(request);
  if (refused == 0) {
    s.now = phase::in_engine;
    s.held = true;
    ++in_engine_;
  } else if (refused == EAGAIN || refused == EINTR) {
    pause(s);
  } else {
    end(s, refused);
  }
}

void transfer_queue::pause(slot& s) {
  using std::chrono::microseconds;
  const int doubled = std::min(s.attempts, 8);
  const auto length = s.attempts == 0 ? microseconds(0) : microseconds(40) * (1 << doubled);
  ++s.attempts;
  s.resume = clock::now() + length;
  s.now = phase::paused;
}

void transfer_queue::end(slot& s, int error_number) {
  s.outcome.error_number = error_number;
  s.outcome.offset = s.rest.offset;
  s.now = phase::ended;
  ++ended_;
}

void transfer_queue::settle(const disk_result& result) {
  const auto at = static_cast<std::size_t>(result.tag);
  if (at >= slots_.size()) return;  // of no request of ours
  slot& s = slots_[at];
  if (!s.held) return;
  s.held = false;
  --in_engine_;
  if (s.now == phase::lost) s.now = phase::free;
  if (s.now != phase::in_engine) return;  // reported as timed out, and come to an end after all
  if (result.value == -EINTR || result.value == -EAGAIN) {
    pause(s);
  } else if (result.value < 0) {
    end(s, static_cast<int>(-result.value));
  } else if (result.value == 0) {
    end(s, ENODATA);
  } else if (static_cast<std::uint64_t>(result.value) > s.rest.bytes) {
    end(s, EPROTO);
  } else {
    advance(s, at, static_cast<std::uint64_t>(result.value));
  }
}

void transfer_queue::advance(slot& s, std::size_t at, std::uint64_t moved) {
  // What is left must begin where a block does, or direct I/O refuses it.
  const std::uint64_t whole = moved == s.rest.bytes ? moved : moved / alignment_ * alignment_;
  if (whole == 0) {
    pause(s);
    return;
  }
  s.attempts = 0;
  s.rest.offset += whole;
  s.rest.memory = static_cast<std::byte*>(s.rest.memory) + whole;
  s.rest.bytes -= whole;
  if (s.rest.bytes == 0) {
    end(s, 0);
  } else {
    submit(at);
  }
}

// Resumes what has paused long enough, ends what is overdue; returns when to look again.
transfer_queue::clock::time_point transfer_queue::look_around(clock::time_point now) {
  auto next = clock::time_point::max();
  for (std::size_t at = 0; at < slots_.size(); ++at) {
    slot& s = slots_[at];
    if (s.now != phase::in_engine && s.now != phase::paused) continue;
    if (s.deadline <= now) {
      end(s, ETIMEDOUT);
    } else if (s.now == phase::paused && s.resume <= now) {
      submit(at);
    }
    if (s.now == phase::in_engine) next = std::min(next, s.deadline);
    if (s.now == phase::paused) next = std::min({next, s.deadline, s.resume});
  }
  return next;
}

void transfer_queue::work_engine(clock::time_point until) {
  if (in_engine_ == 0) {
    if (until > clock::now()) std::this_thread::sleep_until(until);
    return;
  }
  const std::size_t count = engine_->reap(results_, until);
  for (std::size_t i = 0; i < count; ++i) settle(results_[i]);
}

std::size_t transfer_queue::finish(span<transfer_outcome> outcomes, wait_for how) {
  if (outcomes.empty() || under_way_ == 0) return 0;
  // What is there already, then, as long as that is nothing, what comes.
  work_engine(clock::time_point{});
  for (;;) {
    const auto next = look_around(clock::now());
    if (ended_ > 0 || how == wait_for::none) break;
    work_engine(next);
  }
  std::size_t count = 0;
  for (slot& s : slots_) {
    if (s.now != phase::ended || count == outcomes.size()) continue;
    outcomes[count++] = s.outcome;
    s.now = s.held ? phase::lost : phase::free;
    --ended_;
    --under_way_;
  }
  return count;
}

bool transfer_queue::drain() {
  const auto held = [&] {
    return std::any_of(slots_.begin(), slots_.end(),
                       [](const slot& s) { return s.held && s.now != phase::in_engine; });
  };
  const auto until = clock::now() + deadline_;
  while (held() && clock::now() < until) work_engine(until);
  return !held();
}

}  // namespace zero::offload
