#include "client_device.hpp"

#include <zero/base/cuda.hpp>
#include <zero/base/error.hpp>
#include <zero/collectives/nccl.hpp>
#include <zero/optim/cuda.hpp>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace zero::client {
namespace {

class gpu final : public client_device {
 public:
  explicit gpu(collectives::device_rank joined)
      : joined_(std::move(joined)), work_(optim::make_cuda_processor(*joined_.device)) {}

  [[nodiscard]] int ordinal() const noexcept override { return joined_.device->ordinal(); }
  [[nodiscard]] collectives::communicator& ranks() noexcept override { return *joined_.ranks; }
  [[nodiscard]] optim::processor& work() noexcept override { return *work_; }
  [[nodiscard]] memory_resource& memory() noexcept override { return joined_.device->memory(); }
  [[nodiscard]] std::unique_ptr<stream> borrow(void* native) override {
    return joined_.device->borrow_stream(native);
  }
  [[nodiscard]] bool reaches(const void* memory) const override {
    return joined_.device->reaches(memory);
  }
  void set_deadline(std::chrono::milliseconds deadline) noexcept override {
    joined_.device->set_deadline(deadline.count());
    joined_.ranks->set_deadline(deadline);
  }

 private:
  collectives::device_rank joined_;
  std::unique_ptr<optim::processor> work_;
};

std::vector<device_offer> offers_of_all(collectives::communicator& peers, int ordinal) {
  const device_offer own{ordinal, cuda_device::count() > ordinal ? 1 : 0};
  std::vector<device_offer> all(static_cast<std::size_t>(peers.size()), own);
  if (peers.size() == 1) return all;
  collectives::call how;
  how.name = "devices of ranks";
  peers
      .all_gather({&own, sizeof own, dtype::byte},
                  {all.data(), all.size() * sizeof own, dtype::byte}, how)
      .wait();
  return all;
}

}  // namespace

collectives::one_device_world& device_meeting::world(int size, int ordinal) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!world_) world_.emplace(collectives::one_device_world::create(size, ordinal));
  return *world_;
}

device_sharing sharing_of(span<const device_offer> offers, bool threads, bool nccl_compiled) {
  for (std::size_t rank = 0; rank < offers.size(); ++rank) {
    if (offers[rank].usable != 0) continue;
    const std::string why = cuda_device::why_none();
    throw invalid_argument("[client.create] device " + std::to_string(offers[rank].ordinal) +
                           " of rank " + std::to_string(rank) + ": " +
                           (why.empty() ? "there is no such GPU" : why) +
                           "; -1 is memory of the host");
  }
  const bool same = std::all_of(offers.begin(), offers.end(), [&](const device_offer& other) {
    return other.ordinal == offers[0].ordinal;
  });
  if (offers.size() == 1 || (threads && same)) return device_sharing::one_for_all;
  for (std::size_t rank = 1; threads && rank < offers.size(); ++rank) {
    for (std::size_t other = 0; other < rank; ++other) {
      if (offers[rank].ordinal != offers[other].ordinal) continue;
      throw invalid_argument("[client.create] device " + std::to_string(offers[rank].ordinal) +
                             " is that of ranks " + std::to_string(other) + " and " +
                             std::to_string(rank) +
                             ", but not of all: threads share one GPU or have one each");
    }
  }
  if (nccl_compiled) return device_sharing::one_for_each;
  throw invalid_argument("[client.create] device " + std::to_string(offers[0].ordinal) +
                         ": ranks with a GPU each need NCCL, without which this library was built");
}

std::unique_ptr<client_device> join_device(collectives::communicator& peers,
                                           device_meeting* meeting, int ordinal) {
  const std::vector<device_offer> offers = offers_of_all(peers, ordinal);
  device_meeting alone;
  if (meeting == nullptr) meeting = &alone;
  if (sharing_of(offers, meeting != &alone, collectives::nccl_compiled()) ==
      device_sharing::one_for_each) {
    return device_of(collectives::join_over_nccl(ordinal, peers));
  }
  return device_of(
      collectives::join_on_one(meeting->world(peers.size(), ordinal), peers.rank(), ordinal));
}

std::unique_ptr<client_device> device_of(collectives::device_rank joined) {
  return std::make_unique<gpu>(std::move(joined));
}

}  // namespace zero::client
