// disk_engine over io_uring. One ring; nothing runs in the background but the kernel.
//
// Completions are worked off by whoever asks for them (COOP_TASKRUN where there is such a thing),
// so nobody is interrupted for one.
#include "engines.hpp"

#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>

#include <liburing.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace zero::offload {
namespace {

constexpr unsigned file_slots = 16;
constexpr unsigned memory_slots = 1024;
constexpr std::size_t largest_region = std::size_t{1} << 30;       // of one registered buffer
constexpr std::size_t smallest_region = std::size_t{256} << 10;    // a part worth its slot
constexpr std::uint64_t largest_request = std::uint64_t{1} << 30;  // the kernel stops at 2 GiB

class uring_engine final : public disk_engine {
 public:
  uring_engine(const io_uring& ring, const disk_engine_options& options)
      : ring_(ring),
        depth_(static_cast<std::size_t>(options.depth)),
        drain_(options.drain),
        regions_(memory_slots) {
    files_.fill(-1);
  }

  ~uring_engine() override {
    const auto until = clock::now() + drain_;
    std::array<disk_result, 16> results;
    try {
      while (outstanding_ > 0 && reap(results, until) > 0) {
      }
    } catch (const error&) {  // the ring is gone; closing it is all that is left
    }
    io_uring_queue_exit(&ring_);
  }

  [[nodiscard]] const char* name() const noexcept override { return "uring"; }
  [[nodiscard]] std::size_t depth() const noexcept override { return depth_; }
  [[nodiscard]] const std::string& note() const noexcept override { return note_; }

  [[nodiscard]] int submit(const disk_request& request) override {
    io_uring_sqe* const entry = outstanding_ < depth_ ? io_uring_get_sqe(&ring_) : nullptr;
    if (entry == nullptr) return EAGAIN;
    prepare(*entry, request);
    ++outstanding_;
    // Where the kernel does not take it now it stays in the ring, and reap hands it over.
    io_uring_submit(&ring_);
    return 0;
  }

  [[nodiscard]] std::size_t reap(span<disk_result> results, clock::time_point until) override {
    while (outstanding_ > 0) {
      hand_over();
      const std::size_t count = take(results);
      if (count > 0) return count;
      const auto left = std::min<clock::duration>(until - clock::now(), std::chrono::hours(1));
      if (left <= clock::duration::zero()) return 0;
      wait(left);
    }
    return 0;
  }

  bool register_file(int file) override {
    if (!files_registered_) {
      if (io_uring_register_files(&ring_, files_.data(), file_slots) != 0) return false;
      files_registered_ = true;
    }
    const auto free = std::find(files_.begin(), files_.end(), -1);
    if (free == files_.end()) return false;
    const auto slot = static_cast<unsigned>(free - files_.begin());
    if (io_uring_register_files_update(&ring_, slot, &file, 1) != 1) return false;
    *free = file;
    return true;
  }

  void unregister_file(int file) noexcept override {
    const auto found = std::find(files_.begin(), files_.end(), file);
    if (file < 0 || found == files_.end()) return;
    const int nothing = -1;
    *found = nothing;
    io_uring_register_files_update(&ring_, static_cast<unsigned>(found - files_.begin()), &nothing,
                                   1);
  }

  bool register_memory(void* memory, std::size_t bytes) override {
    if (!regions_registered_) {
      const int result = io_uring_register_buffers_sparse(&ring_, memory_slots);
      if (result < 0) return keep(result, 0, bytes);
      regions_registered_ = true;
    }
    auto* const begin = static_cast<std::byte*>(memory);
    std::size_t done = 0;
    // Where the limit on locked memory is in the way, in halves of what did not fit: requests
    // within one of the parts are the better for it.
    for (std::size_t most = largest_region; done < bytes;) {
      const std::size_t part = std::min(most, bytes - done);
      const int result = add(begin + done, part, memory);
      if (result >= 0) {
        done += part;
        continue;
      }
      most = part / 2 / smallest_region * smallest_region;
      if (result != -ENOMEM || most == 0) return keep(result, done, bytes);
    }
    return true;
  }

  void unregister_memory(void* memory) noexcept override {
    for (auto slot = regions_.begin(); slot != regions_.end(); ++slot) {
      if (slot->begin == nullptr || slot->block != memory) continue;
      update(slot, nullptr, 0);
      *slot = {};
    }
  }

 private:
  struct region {
    std::byte* begin = nullptr;
    std::size_t bytes = 0;
    void* block = nullptr;  // what it was registered as a part of
  };
  using region_slot = std::vector<region>::iterator;

  // Takes down that memory was registered in part or not at all: false.
  bool keep(int result, std::size_t done, std::size_t bytes) {
    if (note_.empty()) {
      const std::string part = format_bytes(done) + " of " + format_bytes(bytes) + " of ";
      note_ = (done > 0 ? part : "") + std::string("memory is ") + (done > 0 ? "" : "not ") +
              "registered with io_uring (" + std::strerror(-result) +
              (result == -ENOMEM ? ": the limit on locked memory" : "") +
              "): " + (done > 0 ? "the rest" : "it") + " is looked up for each transfer";
    }
    return false;
  }

  // One more region of `block`, or minus an errno.
  int add(std::byte* begin, std::size_t bytes, void* block) {
    const auto slot = std::find_if(regions_.begin(), regions_.end(),
                                   [](const region& r) { return r.begin == nullptr; });
    if (slot == regions_.end()) return -ENOBUFS;
    const int result = update(slot, begin, bytes);
    if (result < 0) return result;
    *slot = {begin, bytes, block};
    regions_used_ = std::max(regions_used_, static_cast<std::size_t>(slot - regions_.begin()) + 1);
    return result;
  }

  int update(region_slot slot, void* begin, std::size_t bytes) noexcept {
    const iovec what{begin, bytes};
    return io_uring_register_buffers_update_tag(
        &ring_, static_cast<unsigned>(slot - regions_.begin()), &what, nullptr, 1);
  }

  // The slot of the region the memory lies in as a whole, or -1.
  [[nodiscard]] int region_of(const void* memory, std::uint64_t bytes) const noexcept {
    if (!regions_registered_) return -1;
    const auto* const begin = static_cast<const std::byte*>(memory);
    for (std::size_t i = 0; i < regions_used_; ++i) {
      const region& r = regions_[i];
      if (r.begin != nullptr && begin >= r.begin && begin + bytes <= r.begin + r.bytes) {
        return static_cast<int>(i);
      }
    }
    return -1;
  }

  void prepare(io_uring_sqe& entry, const disk_request& r) const noexcept {
    const auto bytes = static_cast<unsigned>(std::min(r.bytes, largest_request));
    const int slot = region_of(r.memory, bytes);
    const auto found = std::find(files_.begin(), files_.end(), r.file);
    const int file = found == files_.end() ? r.file : static_cast<int>(found - files_.begin());
    if (r.way == direction::read && slot >= 0) {
      io_uring_prep_read_fixed(&entry, file, r.memory, bytes, r.offset, slot);
    } else if (r.way == direction::read) {
      io_uring_prep_read(&entry, file, r.memory, bytes, r.offset);
    } else if (slot >= 0) {
      io_uring_prep_write_fixed(&entry, file, r.memory, bytes, r.offset, slot);
    } else {
      io_uring_prep_write(&entry, file, r.memory, bytes, r.offset);
    }
    if (found != files_.end()) entry.flags |= IOSQE_FIXED_FILE;
    io_uring_sqe_set_data64(&entry, r.tag);
  }

  static void fail(int result) {
    if (result == -EAGAIN || result == -EBUSY || result == -EINTR || result == -ETIME) return;
    throw io_error("[offload.uring] waiting for", "io_uring", -result, 0, error_class::resource);
  }

  void hand_over() {
    if (io_uring_sq_ready(&ring_) == 0) return;
    const int result = io_uring_submit(&ring_);
    if (result < 0) fail(result);
  }

  std::size_t take(span<disk_result> results) noexcept {
    std::array<io_uring_cqe*, 64> entries{};
    const auto most = static_cast<unsigned>(std::min(entries.size(), results.size()));
    const unsigned count = io_uring_peek_batch_cqe(&ring_, entries.data(), most);
    for (unsigned i = 0; i < count; ++i) {
      results[i] = {io_uring_cqe_get_data64(entries[i]), entries[i]->res};
    }
    io_uring_cq_advance(&ring_, count);
    outstanding_ -= count;
    return count;
  }

  void wait(clock::duration left) {
    using std::chrono::nanoseconds;
    const auto ns = std::chrono::duration_cast<nanoseconds>(left).count();
    __kernel_timespec time{ns / 1000000000, ns % 1000000000};
    io_uring_cqe* entry = nullptr;
    const int result = io_uring_wait_cqe_timeout(&ring_, &entry, &time);
    if (result < 0) fail(result);
  }

  io_uring ring_;
  std::size_t depth_;
  std::chrono::milliseconds drain_;
  std::size_t outstanding_ = 0;
  bool files_registered_ = false;
  bool regions_registered_ = false;
  std::array<int, file_slots> files_{};
  std::vector<region> regions_;
  std::size_t regions_used_ = 0;  // no slot from here on has been taken
  std::string note_;
};

}  // namespace

bool uring_compiled() noexcept { return true; }

uring_attempt try_uring_engine(const disk_engine_options& options) {
  io_uring ring{};
  int result = -EINVAL;
  // Older kernels refuse flags they do not know.
  for (const unsigned flags : {IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, 0U}) {
    io_uring_params wanted{};
    wanted.flags = flags;
    result = io_uring_queue_init_params(static_cast<unsigned>(options.depth), &ring, &wanted);
    if (result != -EINVAL) break;
  }
  if (result < 0) return {nullptr, std::strerror(-result), -result};
  // Without it a wait with a deadline would be a request of its own.
  if ((ring.features & IORING_FEAT_EXT_ARG) == 0) {
    io_uring_queue_exit(&ring);
    return {nullptr, "the kernel is older than 5.11", ENOSYS};
  }
  return {std::make_unique<uring_engine>(ring, options), "", 0};
}

}  // namespace zero::offload
