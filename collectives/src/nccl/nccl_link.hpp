#pragma once
// nccl_link: a NCCL communicator as a link, on one stream of one device.
//
// The communicator does not block: every call is polled until NCCL has taken it, to a deadline, and
// given up when the group fails meanwhile. Calls of one communicator take turns by a mutex; abort
// may come while another thread polls.

#include "nccl/link.hpp"
#include "nccl/nccl_call.hpp"

#include <zero/base/stream.hpp>

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace zero::collectives {

class nccl_link final : public link {
 public:
  // Takes `ranks` over. `lane` is a stream of the device `ordinal`, and must outlive it.
  nccl_link(ncclComm_t ranks, stream& lane, int ordinal, std::chrono::milliseconds limit);
  // Blocks until all ranks of it are here. Throws cuda_error, peer_lost.
  [[nodiscard]] static std::shared_ptr<nccl_link> join(int rank, int size, const ncclUniqueId& id,
                                                       stream& lane, int ordinal,
                                                       const nccl_patience& patience);
  ~nccl_link() override;

  void watch(std::function<bool()> going_on) override { patience_.going_on = std::move(going_on); }
  void begin() override;
  void send(const void* from, std::uint64_t bytes, int peer) override;
  void receive(void* to, std::uint64_t bytes, int peer) override;
  void end() override;
  void all_gather(const void* in, void* out, std::uint64_t bytes) override;
  void broadcast(void* at, std::uint64_t bytes, int root) override;
  void check() override;
  void abort() noexcept override;
  [[nodiscard]] std::unique_ptr<link> split(int color, int position) override;

  // Registers memory of this rank, so that peers may read and write it without a copy. nullptr if
  // NCCL would not have it, which costs no more than speed.
  [[nodiscard]] void* register_memory(void* block, std::uint64_t bytes) noexcept;
  void deregister_memory(void* handle) noexcept;

 private:
  struct part {
    void* at;
    std::uint64_t bytes;
    int peer;
  };

  std::mutex calling_;
  ncclComm_t ranks_;
  stream& lane_;
  int ordinal_;
  nccl_patience patience_;
  std::vector<part> sends_, receives_;
  std::vector<std::unique_ptr<ncclComm_t>> parts_;  // NCCL writes here when a split is over
};

}  // namespace zero::collectives
