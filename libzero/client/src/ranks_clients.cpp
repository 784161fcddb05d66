// Ranks that a client has already: of its MPI_Comm, its ncclComm_t, or its own functions.

#include "ranks_making.hpp"

#include <zero/base/cuda.hpp>
#include <zero/collectives/mpi.hpp>
#include <zero/collectives/nccl.hpp>
#include <zero/collectives/transport.hpp>

namespace zero::client {
namespace {

std::unique_ptr<zero_ranks> from_mpi(const void* mpi_comm) {
  if (mpi_comm == nullptr) {
    throw invalid_argument("[client.ranks] mpi_comm is null; expected a pointer to an MPI_Comm");
  }
  collectives::mpi_options options;
  options.ranks = mpi_comm;
  auto ranks = collectives::make_mpi(options);
  int local_rank = 0;
  for (int r = 0; r < ranks->rank(); ++r) {
    local_rank += ranks->host_of(r) == ranks->host_of(ranks->rank()) ? 1 : 0;
  }
  return ranks_over(std::move(ranks), local_rank);
}

std::unique_ptr<zero_ranks> from_nccl(void* nccl_comm, int32_t ordinal) {
  if (!collectives::nccl_compiled()) {
    throw invalid_argument("[client.ranks] this library was built without NCCL");
  }
  if (nccl_comm == nullptr) throw invalid_argument("[client.ranks] nccl_comm is null");
  collectives::device_rank joined;
  joined.device = std::make_unique<cuda_device>(ordinal);
  const collectives::nccl_ranks found = collectives::ranks_of_nccl(nccl_comm, *joined.device);
  joined.ranks = collectives::make_nccl(*joined.device, found.who, found.exchange);
  auto made = ranks_over(nullptr, found.who.rank);  // NCCL's ranks are of one machine here
  made->device = device_of(std::move(joined));
  return made;
}

// The client's functions, whose results are errors if they are not 0.
class client_transport final : public collectives::transport {
 public:
  explicit client_transport(const zero_transport& functions) : functions_(functions) {}

  void all_gather(const void* own, void* all, std::size_t bytes) override {
    check(functions_.all_gather(functions_.user, own, all, bytes), "all_gather");
  }
  void all_to_all(const void* in, void* out, std::size_t bytes_of_piece) override {
    check(functions_.all_to_all(functions_.user, in, out, bytes_of_piece), "all_to_all");
  }
  void broadcast(void* bytes, std::size_t count, int root) override {
    check(functions_.broadcast(functions_.user, bytes, count, root), "broadcast");
  }
  [[nodiscard]] bool has_broadcast() const noexcept override {
    return functions_.broadcast != nullptr;
  }

 private:
  static void check(int result, const char* function) {
    if (result == 0) return;
    throw callback_failed(std::string("[client.ranks] ") + function + " of zero_transport", result);
  }
  zero_transport functions_;
};

std::unique_ptr<zero_ranks> from_transport(const zero_transport& functions) {
  if (functions.all_gather == nullptr || functions.all_to_all == nullptr) {
    throw invalid_argument(std::string("[client.ranks] zero_transport: ") +
                           (functions.all_gather == nullptr ? "all_gather" : "all_to_all") +
                           " is null");
  }
  return ranks_over(collectives::make_transport(std::make_shared<client_transport>(functions),
                                                {functions.rank, functions.size}),
                    functions.rank);
}

}  // namespace
}  // namespace zero::client

zero_status zero_ranks_mpi(const void* mpi_comm, zero_ranks** out, zero_message* why) {
  using namespace zero::client;
  return make_ranks(out, why, [&] { return from_mpi(mpi_comm); });
}

zero_status zero_ranks_nccl(void* nccl_comm, int32_t device, zero_ranks** out, zero_message* why) {
  using namespace zero::client;
  return make_ranks(out, why, [&] { return from_nccl(nccl_comm, device); });
}

zero_status zero_ranks_transport(const zero_transport* transport, zero_ranks** out,
                                 zero_message* why) {
  using namespace zero::client;
  return make_ranks(out, why, [&] { return from_transport(taken(transport, "zero_transport")); });
}
