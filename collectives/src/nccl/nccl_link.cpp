#include "nccl/nccl_link.hpp"

#include "device/poll.hpp"

#include <zero/base/error.hpp>
#include <zero/base/native_cuda.hpp>

#include <atomic>
#include <utility>

namespace zero::collectives {
namespace {

// Sums are not NCCL's, and what it does is a copy: nothing it could choose changes a bit.
ncclConfig_t make_config() noexcept {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  config.splitShare = 0;  // sharing resources, a group could not be aborted without the others
  return config;
}

}  // namespace

nccl_link::nccl_link(ncclComm_t ranks, stream& lane, int ordinal, std::chrono::milliseconds limit)
    : ranks_(ranks), lane_(lane), ordinal_(ordinal), patience_{limit, {}} {
  int size = 0;
  check_nccl(ncclCommCount(ranks_, &size), "ncclCommCount", ranks_);
  sends_.reserve(static_cast<std::size_t>(size));
  receives_.reserve(static_cast<std::size_t>(size));
}

std::shared_ptr<nccl_link> nccl_link::join(int rank, int size, const ncclUniqueId& id, stream& lane,
                                           int ordinal, const nccl_patience& patience) {
  const cuda::current_device here(ordinal);
  ncclConfig_t config = make_config();
  ncclComm_t ranks = nullptr;
  const ncclResult_t begun = ncclCommInitRankConfig(&ranks, size, id, rank, &config);
  if (ranks == nullptr) check_nccl(begun, "ncclCommInitRankConfig", nullptr);
  try {
    settle(begun, "ncclCommInitRankConfig", ranks, patience);
    return std::make_shared<nccl_link>(ranks, lane, ordinal, patience.limit);
  } catch (...) {
    if (ranks != nullptr) static_cast<void>(ncclCommAbort(ranks));
    throw;
  }
}

nccl_link::~nccl_link() {
  if (ranks_ == nullptr) return;
  try {
    const cuda::current_device here(ordinal_);
    static_cast<void>(ncclCommDestroy(ranks_));
  } catch (...) {
    static_cast<void>(ncclCommDestroy(ranks_));  // its device could not be made current
  }
}

// ---- moving bytes -----------------------------------------------------------------------------

void nccl_link::begin() {
  sends_.clear();
  receives_.clear();
}

void nccl_link::send(const void* from, std::uint64_t bytes, int peer) {
  sends_.push_back({const_cast<void*>(from), bytes, peer});
}

void nccl_link::receive(void* to, std::uint64_t bytes, int peer) {
  receives_.push_back({to, bytes, peer});
}

void nccl_link::end() {
  if (sends_.empty() && receives_.empty()) return;
  const std::lock_guard lock(calling_);
  const cuda::current_device here(ordinal_);
  cudaStream_t const queue = cuda::native(lane_);
  check_nccl(ncclGroupStart(), "ncclGroupStart", ranks_);
  ncclResult_t first = ncclSuccess;  // a group that was begun must be ended
  const auto keep = [&](ncclResult_t code) {
    if (first == ncclSuccess && code != ncclInProgress) first = code;
  };
  for (const part& p : sends_) keep(ncclSend(p.at, p.bytes, ncclUint8, p.peer, ranks_, queue));
  for (const part& p : receives_) keep(ncclRecv(p.at, p.bytes, ncclUint8, p.peer, ranks_, queue));
  const ncclResult_t ended = ncclGroupEnd();
  check_nccl(first, "ncclSend or ncclRecv", ranks_);
  settle(ended, "ncclGroupEnd", ranks_, patience_);
}

void nccl_link::all_gather(const void* in, void* out, std::uint64_t bytes) {
  const std::lock_guard lock(calling_);
  const cuda::current_device here(ordinal_);
  settle(ncclAllGather(in, out, bytes, ncclUint8, ranks_, cuda::native(lane_)), "ncclAllGather",
         ranks_, patience_);
}

void nccl_link::broadcast(void* at, std::uint64_t bytes, int root) {
  const std::lock_guard lock(calling_);
  const cuda::current_device here(ordinal_);
  settle(ncclBroadcast(at, at, bytes, ncclUint8, root, ranks_, cuda::native(lane_)),
         "ncclBroadcast", ranks_, patience_);
}

// ---- errors, groups, memory -------------------------------------------------------------------

void nccl_link::check() {
  ncclResult_t state = ncclSuccess;
  check_nccl(ncclCommGetAsyncError(ranks_, &state), "ncclCommGetAsyncError", ranks_);
  if (state != ncclInProgress) check_nccl(state, "work of NCCL", ranks_);
}

// Without the mutex: who holds it may be the one who does not come back.
void nccl_link::abort() noexcept {
  ncclComm_t const ranks = std::exchange(ranks_, nullptr);
  if (ranks != nullptr) static_cast<void>(ncclCommAbort(ranks));
}

std::unique_ptr<link> nccl_link::split(int color, int position) {
  const std::lock_guard lock(calling_);
  const cuda::current_device here(ordinal_);
  ncclConfig_t config = make_config();
  parts_.push_back(std::make_unique<ncclComm_t>(nullptr));
  ncclComm_t& made = *parts_.back();
  settle(ncclCommSplit(ranks_, color, position, &made, &config), "ncclCommSplit", ranks_,
         patience_);
  // What is made may be written by a thread of NCCL.
  const std::atomic_ref<ncclComm_t> there(made);
  if (!poll([&] { return there.load() != nullptr; }, patience_.limit)) {
    throw peer_lost("[collectives.nccl] ncclCommSplit made nothing", {});
  }
  ncclComm_t const part = there.load();
  settle(ncclInProgress, "ncclCommSplit", part, patience_);
  return std::make_unique<nccl_link>(part, lane_, ordinal_, patience_.limit);
}

void* nccl_link::register_memory(void* block, std::uint64_t bytes) noexcept {
  const std::lock_guard lock(calling_);
  if (ranks_ == nullptr || bytes == 0) return nullptr;
  void* handle = nullptr;
  return ncclCommRegister(ranks_, block, bytes, &handle) == ncclSuccess ? handle : nullptr;
}

void nccl_link::deregister_memory(void* handle) noexcept {
  const std::lock_guard lock(calling_);
  if (ranks_ != nullptr && handle != nullptr) {
    static_cast<void>(ncclCommDeregister(ranks_, handle));
  }
}

}  // namespace zero::collectives
