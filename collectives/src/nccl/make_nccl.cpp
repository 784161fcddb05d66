// Ranks with a GPU each come together: rank 0 offers the control pages and NCCL's unique id, the
// others take them, and all wait for NCCL.
#include "cuda/cuda_queue.hpp"
#include "nccl/arena_offer.hpp"
#include "nccl/exchange_ranks.hpp"
#include "nccl/nccl_link.hpp"
#include "nccl/registered_memory.hpp"
#include "shared_memory/poison.hpp"

#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>
#include <zero/base/native_cuda.hpp>
#include <zero/collectives/nccl.hpp>

#include <cstdlib>
#include <cstring>
#include <string>

namespace zero::collectives {
namespace {

constexpr std::uint64_t staging_of_a_rank = std::uint64_t{64} << 20;

std::string text_of(int version) {
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
         std::to_string(version % 100);
}

struct meeting {
  ncclUniqueId id;
  std::shared_ptr<const arena> pages;
};

meeting come_together(world w, const bootstrap& exchange, std::chrono::milliseconds patience) {
  meeting found{};
  std::vector<std::uint8_t> bytes;
  if (w.rank == 0) {
    check_nccl(ncclGetUniqueId(&found.id), "ncclGetUniqueId", nullptr);
    arena_offer offer(w.size);
    bytes.resize(sizeof found.id);
    std::memcpy(bytes.data(), &found.id, sizeof found.id);
    bytes.insert(bytes.end(), offer.name().begin(), offer.name().end());
    exchange(bytes);
    found.pages = offer.hand_out(patience);
    return found;
  }
  exchange(bytes);
  if (bytes.size() <= sizeof found.id) {
    throw desync("[collectives.nccl] rank " + std::to_string(w.rank) + " was given " +
                     std::to_string(bytes.size()) + " bytes that are no invitation",
                 {0});
  }
  std::memcpy(&found.id, bytes.data(), sizeof found.id);
  const std::string name(bytes.begin() + sizeof found.id, bytes.end());
  found.pages = accept_arena(name, w.rank, patience);
  return found;
}

// NCCL's ranks, given up at once when any of them fails; the others are told why.
std::shared_ptr<nccl_link> join_link(world w, const meeting& found, stream& lane, int ordinal,
                                     std::chrono::milliseconds patience) {
  poison_record& poison = found.pages->block(found.pages->header().world_block).poison;
  try {
    return nccl_link::join(w.rank, w.size, found.id, lane, ordinal,
                           {patience, [&poison] { return !is_set(poison); }});
  } catch (const std::exception& why) {
    if (is_set(poison)) throw_poison(poison, "nccl");
    set_poison(poison, error_class::peer_lost, {w.rank},
               "rank " + std::to_string(w.rank) + " failed to start NCCL: " + why.what());
    throw;
  }
}

// Registered, where NCCL has it so; gone before the link is.
exchange_staging make_staging(const std::shared_ptr<nccl_link>& peers, int ordinal,
                              std::uint64_t bytes, bool& registered) {
  const cuda::current_device here(ordinal);
  void* block = nullptr;
  check_nccl(ncclMemAlloc(&block, bytes), "ncclMemAlloc", nullptr);
  void* const handle = peers->register_memory(block, bytes);
  registered = handle != nullptr;
  exchange_staging staging;
  staging.bytes = bytes;
  staging.memory = {static_cast<std::byte*>(block), [peers, handle](std::byte* at) {
                      peers->deregister_memory(handle);
                      static_cast<void>(ncclMemFree(at));
                    }};
  return staging;
}

// What decides how fast NCCL is. Nothing of it decides a bit: sums are not NCCL's.
std::string describe_settings(const exchange_staging& staging, bool registered) {
  std::string text = "NCCL " + nccl_version() +
                     ", non-blocking, splitShare 0, sums in the order of ranks over send and "
                     "receive, staging " +
                     format_bytes(staging.bytes) + (registered ? " registered" : " not registered");
  for (const char* name : {"NCCL_ALGO", "NCCL_PROTO", "NCCL_NVLS_ENABLE", "NCCL_MIN_CTAS",
                           "NCCL_MAX_CTAS", "NCCL_P2P_DISABLE", "NCCL_SHM_DISABLE",
                           "NCCL_IB_DISABLE", "NCCL_CUMEM_ENABLE", "NCCL_LOCAL_REGISTER"}) {
    const char* const value = std::getenv(name);
    if (value != nullptr) text += std::string(", ") + name + "=" + value;
  }
  return text;
}

}  // namespace

bool nccl_compiled() noexcept { return true; }

std::string nccl_version() {
  int version = 0;
  return ncclGetVersion(&version) == ncclSuccess ? text_of(version) : "";
}

std::unique_ptr<communicator> make_nccl(cuda_device& device, world w, const bootstrap& exchange,
                                        nccl_options* options) {
  if (w.size < 1 || w.size > static_cast<int>(most_sources) || w.rank < 0 || w.rank >= w.size) {
    throw invalid_argument("[collectives.nccl] rank " + std::to_string(w.rank) + " of " +
                           std::to_string(w.size) + ": accepted are 1 to " +
                           std::to_string(most_sources) + " ranks");
  }
  const nccl_options defaults;
  const std::chrono::milliseconds patience(options != nullptr ? options->deadline_milliseconds
                                                              : defaults.deadline_milliseconds);
  const meeting found = come_together(w, exchange, patience);
  const std::shared_ptr<device_queue> queue = make_cuda_queue(device);
  const auto peers = join_link(w, found, queue->lane(), device.ordinal(), patience);
  bool registered = false;
  const exchange_staging staging =
      make_staging(peers, device.ordinal(), staging_of_a_rank, registered);
  if (options != nullptr) options->settings = describe_settings(staging, registered);
  auto memory = std::make_shared<registered_memory>(device.memory(), peers);
  auto joined = join_exchange(found.pages, w.rank, queue, staging, peers, memory, "nccl");
  joined->set_deadline(patience);
  return joined;
}

}  // namespace zero::collectives
