// bench_transfer: bytes between host memory and the memory that is worked in: a GPU's where there
// is one, another part of host memory otherwise (`/host`, as if it were a device's). `copy`: by a
// copier, a few copies under way; `lane`: as records of a tier in host memory, by a tier_lane. The
// ceiling is the runtime's own copy of as many bytes in pieces of the same size: memcpy, or
// cudaMemcpyAsync from pinned memory. --bytes is what is moved each time.
#include "measure/measure.hpp"
#include "offload/cuda/plain_copies.hpp"

#include <zero/base/bytes.hpp>
#include <zero/offload/memory_tier.hpp>
#include <zero/offload/tier_lane.hpp>
#include <zero/optim/cuda.hpp>

#include <cstring>
#include <memory>
#include <vector>

namespace zero::bench {
namespace {

constexpr std::uint64_t piece = 4_MiB;  // of a copy, and a record

// A block of a resource for as long as it lives, with something written to it.
class block {
 public:
  block(memory_resource& from, std::uint64_t bytes)
      : from_(from), bytes_(bytes), memory_(static_cast<std::byte*>(from.allocate(bytes))) {}
  block(const block&) = delete;
  block& operator=(const block&) = delete;
  ~block() { from_.deallocate(memory_, bytes_); }
  [[nodiscard]] std::byte* at(std::uint64_t offset) const { return memory_ + offset; }

 private:
  memory_resource& from_;
  std::uint64_t bytes_;
  std::byte* memory_;
};

// Where is computed, what moves bytes there, and the plain copies beside it.
class site {
 public:
  site(bool on_device, std::uint64_t bytes) : bytes_(bytes / piece * piece) {
    if (on_device) device_ = std::make_unique<cuda_device>(0);
    work_ = device_ ? optim::make_cuda_processor(*device_) : optim::make_host_processor();
    if (device_) plain_ = make_plain_copies(*device_);
    copies_ = work_->make_copier();
    host_ = std::make_unique<block>(work_->host_memory(), bytes_);
    here_ = std::make_unique<block>(device_ ? device_->memory() : pages_, bytes_);
    std::memset(host_->at(0), 0x5a, bytes_);
    if (!device_) std::memset(here_->at(0), 0xa5, bytes_);
    tier_ = std::make_unique<offload::memory_tier>(
        work_->host_memory(), std::vector<std::uint64_t>(bytes_ / piece, piece));
    lane_ = std::make_unique<offload::tier_lane>(*copies_, offload::tier_lane_options{});
  }
  [[nodiscard]] double bytes() const { return static_cast<double>(bytes_); }

  double copy(copy_way way) {
    return timed([&] {
      completion last;
      for (std::uint64_t at = 0; at < bytes_; at += piece) {
        last = copies_->copy(from(way, at), to(way, at), piece, way);
      }
      last.wait();  // one way, copies complete in the order they were queued
    });
  }
  double lane(copy_way way) {
    const auto place = device_ ? memory_place::device : memory_place::host;
    return timed([&] {
      for (std::uint64_t at = 0; at < bytes_; at += piece) {
        const offload::move_end end{here_->at(at), place};
        if (way == copy_way::up) {
          lane_->fetch(*tier_, at / piece, end, piece, 0);
        } else {
          lane_->spill(end, piece, *tier_, at / piece, 0);
        }
      }
      lane_->drain();
    });
  }
  double ceiling(copy_way way) {
    if (plain_) return plain_(to(way, 0), from(way, 0), bytes_, piece);
    return timed([&] {
      for (std::uint64_t at = 0; at < bytes_; at += piece) {
        std::memcpy(to(way, at), from(way, at), piece);
        benchmark::ClobberMemory();
      }
    });
  }

 private:
  [[nodiscard]] std::byte* from(copy_way way, std::uint64_t at) const {
    return way == copy_way::up ? host_->at(at) : here_->at(at);
  }
  [[nodiscard]] std::byte* to(copy_way way, std::uint64_t at) const {
    return way == copy_way::up ? here_->at(at) : host_->at(at);
  }

  std::uint64_t bytes_;
  page_resource pages_;
  std::unique_ptr<cuda_device> device_;
  std::unique_ptr<optim::processor> work_;
  plain_copies plain_;
  std::unique_ptr<copier> copies_;
  std::unique_ptr<block> host_;
  std::unique_ptr<block> here_;
  std::unique_ptr<offload::memory_tier> tier_;
  std::unique_ptr<offload::tier_lane> lane_;
};

void register_place(const settings& s, const std::string& name, bool on_device) {
  for (const copy_way way : {copy_way::up, copy_way::down}) {
    const std::string rest = std::string(way == copy_way::up ? "/up/" : "/down/") + name;
    const auto add = [&](const char* what, double (site::*move)(copy_way)) {
      const auto run = [=](benchmark::State& state) {
        site here(on_device, s.bytes);
        take_turns(
            state, here.bytes(), [&] { return (here.*move)(way); },
            [&] { return here.ceiling(way); });
      };
      in_turns(benchmark::RegisterBenchmark((what + rest).c_str(), run), s);
    };
    add("copy", &site::copy);
    add("lane", &site::lane);
  }
}

void register_cases(const settings& s) {
  register_place(s, "host", false);
  if (cuda_device::count() > 0) register_place(s, "device", true);
}

}  // namespace
}  // namespace zero::bench

int main(int argc, char** argv) {
  return zero::bench::run(argc, argv, {15, 128 << 20, "/var/tmp"}, zero::bench::register_cases);
}
